"""Parameters of the nodes that run a graph of a bundle."""

from dataclasses import dataclass

from so_arm_policy.policy.providers import PROVIDERS, Provider
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.tick_node import TickNodeConfig


@dataclass(frozen=True, kw_only=True)
class InferenceConfig(TickNodeConfig):
    """What system1 and system2 have in common."""

    bundle: str = parameter("reach_flow", "policy bundle: a shipped name (bundles) or the path of a folder")
    threads: int = parameter(1, "threads of an inference", low=1, high=64)
    provider: str = parameter(
        "cpu", "where inferences run (docs/deployment.md); one that is not there is an error", choices=tuple(PROVIDERS)
    )
    engine_cache: str = parameter("", "folder of TensorRT's engines; empty: in ~/.cache/so_arm_policy/engines")

    def where(self) -> Provider:
        """Return the provider."""
        return Provider(name=self.provider, engine_cache=self.engine_cache)
