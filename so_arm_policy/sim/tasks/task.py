"""What every task offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.language import Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator

# Episodes as in training; with phrasings that no training sees; about pairs of colour and kind that no training sees.
SPLITS = ("train", "phrases", "pairs")


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One try: the scene, what the policy is told, and what that means."""

    seed: int
    scene: Scene
    instruction: str
    goal: Goal


@dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """How far the task is: distance to the goal (m), how long it has been held (s), and whether that is success."""

    success: bool
    distance_m: float
    held_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Focus:
    """What matters now. source: where the object is that comes next, place: where it should go, (3,) m, world frame.

    progress: how many steps of the goal are done; len(goal.steps) when all are.
    """

    source: FloatArray
    place: FloatArray
    progress: int


class Tracker(Protocol):
    """Judges one episode from the physical state."""

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        ...


class Task(Protocol):
    """One task: what it looks like for a seed, what the robot is told, when it is done, how an expert does it."""

    @property
    def name(self) -> str:
        """Word by which people choose the task."""
        ...

    @property
    def time_limit_s(self) -> float:
        """Simulated seconds after which an episode has failed."""
        ...

    @property
    def robot(self) -> str:
        """Name of the robot that does it."""
        ...

    @property
    def phrasings(self) -> Phrasings:
        """How the task is put into words."""
        ...

    def corpus(self) -> list[str]:
        """Training instructions with every word of the task."""
        ...

    def sample(self, seed: int, split: str = "train") -> Episode:
        """Draw an episode; the same for the same seed. Raises ConfigError for a split that the task does not have."""
        ...

    def instructions(self, scene: Scene) -> Sequence[str]:
        """Return one instruction for each different thing the robot could be told in `scene`."""
        ...

    def meaning(self, scene: Scene, instruction: str) -> Goal:
        """Return what `instruction` means in `scene`, in any phrasing. Raises InputError."""
        ...

    def tracker(self, goal: Goal) -> Tracker:
        """Return what judges one episode."""
        ...

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return what matters now, from the physical state alone."""
        ...

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Return the expert's way from now on, in any pose of the arms. iks: of each arm. Raises InputError."""
        ...

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:
        """Whether a new plan is due. q: (n,) rad, the reference; seen: (k, 3) m, the objects when `plan` was made."""
        ...
