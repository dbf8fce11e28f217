"""A learned policy with the planner behind it: the supervisor hands over when the policy's monitors raise a doubt."""

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment, StandIn
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.monitors import Monitors
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.tasks.task import Episode


class HybridAgent:
    """Acts as the policy. On ROS the same is `so-arm up --safety hybrid.yaml`."""

    def __init__(self, bundle: Bundle, robot: RobotConfig, fallback: StandIn, monitors: Monitors | None = None) -> None:
        """fallback: who takes over; monitors: by default the bundle's. Raises ConfigError without any."""
        monitors = monitors or bundle.monitors()
        if monitors is None:
            raise ConfigError(
                f"hybrid: got bundle {bundle.manifest.id!r} without monitors, expected one with; `so-arm calibrate` it"
            )
        self._policy = PolicyAgent(bundle, robot, monitors=monitors)
        self.name = self._policy.name
        self.fallback = fallback
        self.safety = SupervisorConfig(
            sources=(self.name, fallback.name),
            fallback=fallback.name,
            on_novelty="fallback",
            on_disagreement="fallback",
        )

    def add_latency(self, ticks: int) -> None:
        """Let every context of the policy arrive so much later; who stands behind it has pictures of its own."""
        self._policy.add_latency(ticks)

    def reset(self, episode: Episode) -> None:
        """Begin `episode` as the policy."""
        self._policy.reset(episode)

    def propose(self, moment: Moment) -> Proposal | None:
        """Return what the policy wants."""
        return self._policy.propose(moment)

    def report(self) -> AgentReport:
        """Say what the policy did."""
        return self._policy.report()
