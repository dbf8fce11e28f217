"""What all tasks about objects share: episodes and words from a task's goals, and success as something held."""

from collections.abc import Sequence

import numpy as np

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.language import Phrasings
from so_arm_policy.sim.scene import ObjectSet, Scene, random_scene
from so_arm_policy.sim.tasks.task import SPLITS, Episode, TaskStatus


class ObjectTask:
    """What tasks about objects share: a task says which goals a scene offers, the rest follows from its phrasings."""

    @property
    def objects(self) -> ObjectSet:
        """What scenes are made of."""
        raise NotImplementedError

    @property
    def phrasings(self) -> Phrasings:
        """How the task is put into words."""
        raise NotImplementedError

    def goals(self, scene: Scene) -> list[Goal]:
        """Return every different thing the robot could be told in `scene`."""
        raise NotImplementedError

    def draw(self, scene: Scene, objects: ObjectSet, rng: np.random.Generator) -> tuple[Scene, Goal]:
        """Draw what is meant in `scene`, and return the scene as this task has it. The order of draws is fixed."""
        named = objects.targets(scene)
        goals = [goal for goal in self.goals(scene) if any(step.object in named for step in goal.steps)]
        return scene, goals[int(rng.integers(len(goals)))]

    def corpus(self) -> list[str]:
        """Training instructions with every word of the task."""
        return self.phrasings.corpus(self.objects)

    def sample(self, seed: int, split: str = "train") -> Episode:
        """Draw an episode: scene, what is meant, instruction. Raises ConfigError for a split that there is not."""
        if split not in SPLITS:
            raise ConfigError(f"split: got {split!r}, expected one of {list(SPLITS)}")
        objects = self.objects.with_held_out() if split == "pairs" else self.objects
        rng = np.random.default_rng([seed, 202])
        scene, goal = self.draw(random_scene(seed, objects), objects, rng)
        held_out = split == "phrases"
        number = len(self.phrasings.held_out if held_out else self.phrasings.train)
        if not number:
            raise ConfigError(
                "split 'phrases': got a task without held-out phrasings, expected one in scenes of all objects"
            )
        instruction = self.phrasings.say(int(rng.integers(number)), scene, goal, held_out=held_out)
        return Episode(seed=seed, scene=scene, instruction=instruction, goal=goal)

    def instructions(self, scene: Scene) -> Sequence[str]:
        """Return one instruction for each of `goals`, in order."""
        return [self.phrasings.say(0, scene, goal) for goal in self.goals(scene)]

    def meaning(self, scene: Scene, instruction: str) -> Goal:
        """Return what `instruction` means. Raises InputError where the scene does not offer it."""
        goal = self.phrasings.read(scene, instruction)
        if goal is None or goal not in self.goals(scene):
            examples = list(self.instructions(scene))[:6]
            raise InputError(f"instruction: got {instruction!r}, expected e.g. one of {examples}")
        return goal


class Held:
    """Counts for how long something has been true: every tracker's success."""

    def __init__(self, needed_s: float) -> None:
        """needed_s: how long it must be true without a break."""
        self._needed_s, self._ticks = needed_s, 0

    def status(self, good: bool, distance_m: float) -> TaskStatus:
        """Return the status of this tick; call once a tick."""
        self._ticks = self._ticks + 1 if good else 0
        held = self._ticks / CONTROL_HZ
        return TaskStatus(success=held >= self._needed_s, distance_m=distance_m, held_s=held)
