"""What every task offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One try: the scene, what the policy is told, and the number of the cube that is meant."""

    seed: int
    scene: Scene
    instruction: str
    target: int


@dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """How far the task is: distance to the goal (m), how long it has been held (s), and whether that is success."""

    success: bool
    distance_m: float
    held_s: float


class Tracker(Protocol):
    """Judges one episode from the physical state."""

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        ...


class Task(Protocol):
    """One task: what it looks like for a seed, what the robot is told, when it is done."""

    @property
    def name(self) -> str:
        """Word by which people choose the task."""
        ...

    @property
    def time_limit_s(self) -> float:
        """Simulated seconds after which an episode has failed."""
        ...

    def corpus(self) -> list[str]:
        """Every instruction of the task."""
        ...

    def sample(self, seed: int) -> Episode:
        """Draw an episode; the same for the same seed."""
        ...

    def instructions(self, scene: Scene) -> Sequence[str]:
        """Return one instruction for each object of `scene`."""
        ...

    def target(self, scene: Scene, instruction: str) -> int:
        """Return the number of the object that `instruction` names. Raises InputError."""
        ...

    def tracker(self, target: int) -> Tracker:
        """Return what judges one episode."""
        ...
