"""LeRobot's own ACT, as large as it is by default, with random weights, on pictures and joints of the sizes here."""

import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch

CAMERAS = ("overhead", "wrist")


@dataclass(frozen=True)
class LerobotAct:
    """run: makes one chunk, in torch eager, pictures included; parameters: of the whole policy."""

    run: Callable[[], object]
    parameters: int
    version: str


def lerobot_act(joints: int, horizon: int, height: int, width: int) -> LerobotAct:
    """Make the policy. Raises ImportError where lerobot, or something that it needs, is not installed."""
    _prepare()
    import lerobot  # noqa: PLC0415 - optional
    from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: PLC0415
    from lerobot.policies.act.configuration_act import ACTConfig  # noqa: PLC0415
    from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: PLC0415

    cameras = [f"observation.images.{name}" for name in CAMERAS]
    pictures = {name: PolicyFeature(FeatureType.VISUAL, (3, height, width)) for name in cameras}
    config = ACTConfig(
        chunk_size=horizon,
        n_action_steps=horizon,
        pretrained_backbone_weights=None,
        device="cpu",
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (joints,)), **pictures},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (joints,))},
    )
    policy = ACTPolicy(config).eval()
    seen = {name: torch.rand(1, 3, height, width) for name in cameras}
    batch = {"observation.state": torch.randn(1, joints), **seen}

    def run() -> object:
        with torch.inference_mode():
            return policy.predict_action_chunk(batch)

    run()
    return LerobotAct(run, sum(p.numel() for p in policy.parameters()), lerobot.__version__)


def _prepare() -> None:
    """Let lerobot load beside a newer torch, and without what its other policies need."""
    try:
        import torchvision  # noqa: F401, PLC0415
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        # Only compiled operators are lost, which ACT does not use.
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    spec = importlib.util.find_spec("lerobot")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("lerobot is not installed")
    policies = types.ModuleType("lerobot.policies")  # its own __init__ imports every policy
    policies.__path__ = [f"{spec.submodule_search_locations[0]}/policies"]
    sys.modules["lerobot.policies"] = policies
