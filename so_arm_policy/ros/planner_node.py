"""The source `planner`: does what it is told by what the cameras show, with planned motions."""

import functools
import sys
from dataclasses import dataclass, field

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.control.planner.thinking import Thought
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.surroundings import surroundings
from so_arm_policy.ros.node import percentiles
from so_arm_policy.ros.params import safety_parameter
from so_arm_policy.ros.rules import read_rules
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.seeing_node import SeeingNode
from so_arm_policy.ros.thread_desk import ThreadDesk
from so_arm_policy.ros.tick_node import TickNodeConfig
from so_arm_policy.sim.expert import arm_iks


@dataclass(frozen=True, kw_only=True)
class PlannerNodeConfig(TickNodeConfig):
    """Parameters of the planner node. safety: of the supervisor that it is behind."""

    safety: str = safety_parameter()
    motion: PlannerConfig = field(default_factory=PlannerConfig)


class PlannerNode(SeeingNode[PlannerNodeConfig]):
    """Thinks in a thread of its own, which the ticks never wait for."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("planner", PlannerNodeConfig)
        self._desk: ThreadDesk[Thought] = ThreadDesk()
        scene = surroundings(self.robot, read_rules(self.config.safety))
        means = Means(robot=self.robot, iks=arm_iks(self.robot), surroundings=scene)
        self.source = self._planner = Planner(means, self.config.motion, self._desk)
        self._said = ""

    def start(self) -> None:
        """Begin to think, to look, and the ticks."""
        super().start()
        self.spawn("thoughts", functools.partial(self._desk.run, self.stopping))

    def stop(self) -> None:
        """End all of them."""
        self._desk.close()
        super().stop()

    def standby(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return what to propose while the arm is held; then it goes on."""
        return self._planner.standby(now_ns, sample)

    def tick(self, tick: Tick) -> None:
        """Propose, and say when it has given up."""
        super().tick(tick)
        if self._planner.trouble != self._said:
            self._said = self._planner.trouble
            if self._said:
                self.report("trouble", self.trouble(), warn=True)

    def trouble(self) -> str:
        """Return why it last gave up, or that it is blind, and which camera that is; else ""."""
        trouble = self._planner.trouble
        return f"{trouble}; last pictures: {self.sight()}" if self._planner.blind else trouble

    def facts(self) -> dict[str, object]:
        """Return what the planner is at, why it last gave up, and how long it thinks."""
        return {
            **super().facts(),
            "stage": self._planner.stage,
            "trouble": self.trouble(),
            **percentiles("thought", self._desk.times),
        }


def main() -> int:
    """Run the node."""
    return run_node(PlannerNode)


if __name__ == "__main__":
    sys.exit(main())
