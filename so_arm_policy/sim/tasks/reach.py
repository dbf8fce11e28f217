"""Reach: bring the fingertip to the cube the instruction names, and stay there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.scene import COLORS, CUBE_SIZE_M, Scene, random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Episode, TaskStatus

REACHED_M = 0.02
HOLD_S = 0.5
PHRASES = ("touch the {} cube", "reach for the {} cube", "go to the {} cube")


@dataclass(frozen=True)
class Reach:
    """One arm touches one of three cubes from above.

    Success: the fingertip stays within 2 cm of the surface of the named cube for 0.5 s.
    """

    name: str = "reach"
    time_limit_s: float = 8.0

    def corpus(self) -> list[str]:
        """Every instruction of the task."""
        return [phrase.format(color) for phrase in PHRASES for color in COLORS]

    def sample(self, seed: int) -> Episode:
        """Draw an episode: scene, instruction, the cube meant."""
        scene = random_scene(seed)
        rng = np.random.default_rng([seed, 202])
        target = int(rng.integers(len(scene.cubes)))
        phrase = PHRASES[rng.integers(len(PHRASES))]
        return Episode(seed=seed, scene=scene, instruction=phrase.format(scene.cubes[target].color), target=target)

    def instructions(self, scene: Scene) -> Sequence[str]:
        """Return one instruction for each cube of `scene`, in order."""
        return [PHRASES[0].format(cube.color) for cube in scene.cubes]

    def target(self, scene: Scene, instruction: str) -> int:
        """Return the number of the cube that `instruction` names. Raises InputError where the scene has none."""
        text = " ".join(instruction.lower().split()).rstrip(".!")
        for number, cube in enumerate(scene.cubes):
            if text in [phrase.format(cube.color) for phrase in PHRASES]:
                return number
        raise InputError(f"instruction: got {instruction!r}, expected e.g. one of {self.instructions(scene)}")

    def tracker(self, target: int) -> "ReachTracker":
        """Return what judges one episode, fed once a tick."""
        return ReachTracker(target)


class ReachTracker:
    """Counts how long the fingertip has been at the target cube."""

    def __init__(self, target: int) -> None:
        """target: number of the cube in the scene."""
        self._target = target
        self._ticks = 0

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        distance = surface_distance(simulator, self._target)
        self._ticks = self._ticks + 1 if distance <= REACHED_M else 0
        held = self._ticks / CONTROL_HZ
        return TaskStatus(success=held >= HOLD_S, distance_m=distance, held_s=held)


def surface_distance(simulator: Simulator, cube: int) -> float:
    """Distance from the first arm's fingertip to the surface of `cube`, m; 0 inside."""
    R_world_cube = simulator.cube_rotation(cube)
    local: FloatArray = R_world_cube.T @ (simulator.fingertip() - simulator.cube_position(cube))
    return float(np.linalg.norm(np.maximum(np.abs(local) - CUBE_SIZE_M / 2, 0.0)))
