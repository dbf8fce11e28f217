"""What data teach the two systems: demonstrations of tasks of the simulator, or recordings of anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.demonstrations.recordings import Ints, Recordings
from so_arm_policy.learn.lessons.action_batches import ActionBatch, ActionBatches
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.lessons.grounding import SceneObjective, check_scene
from so_arm_policy.learn.lessons.imitation import ImitationObjective, check_imitation
from so_arm_policy.learn.lessons.imitation_batches import RecordedActionBatches, RecordedSceneBatches
from so_arm_policy.learn.lessons.scene_batches import SceneBatches
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.learn.train import Drawn
from so_arm_policy.sim.tasks.task import Task

Episodes = npt.NDArray[np.bool_]  # (E,) which to draw from


class Lessons(Protocol):
    """What a training learns from its data."""

    @property
    def data(self) -> Recordings:
        """The rows and pictures."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Tasks that the bundle will be for."""
        ...

    @property
    def corpus(self) -> Sequence[str]:
        """Every instruction that it must understand."""
        ...

    def objective(self, encoder: SceneEncoder) -> nn.Module:
        """Return what System 2 is trained to."""
        ...

    def scenes(self, episodes: Episodes, words: Words, grid: tuple[int, int]) -> Drawn[Any]:
        """Return its batches. grid: rows and columns of patches of a picture."""
        ...

    def check(self, encoder: SceneEncoder, episodes: Episodes, words: Words) -> dict[str, float]:
        """Return its errors on `episodes` that it was not trained on."""
        ...

    def actions(self, episodes: Episodes, context: Tensor, horizon: int, prefix: int) -> Drawn[ActionBatch]:
        """Return the batches of System 1."""
        ...


@dataclass(frozen=True)
class TaskLessons:
    """Demonstrations of tasks, with labels: System 2 learns to find what is meant, System 1 to do as the expert."""

    data: Demonstrations
    tasks: tuple[Task, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(task.name for task in self.tasks)

    @property
    def corpus(self) -> Sequence[str]:
        """All that the tasks can say."""
        return [text for task in self.tasks for text in task.corpus()]

    def objective(self, encoder: SceneEncoder) -> nn.Module:
        """Return what System 2 is trained to."""
        return SceneObjective(encoder)

    def scenes(self, episodes: Episodes, words: Words, grid: tuple[int, int]) -> SceneBatches:
        """Return its batches."""
        return SceneBatches(self.data, frames_in(self.data, episodes), words, grid, tasks=self.tasks)

    def check(self, encoder: SceneEncoder, episodes: Episodes, words: Words) -> dict[str, float]:
        """Return its errors on `episodes`; those with "new_phrases" in phrases that no training sees."""
        grid, tasks = encoder.config.grid, tuple(task for task in self.tasks if task.phrasings.held_out)
        figures = check_scene(encoder, self.scenes(episodes, words, grid))
        if tasks:
            frames = frames_in(self.data, episodes)
            asked = SceneBatches(self.data, frames, words, grid, tasks=tasks, held_out=True)
            new = check_scene(encoder, asked)
            figures |= {f"new_phrases_{name}": new[name] for name in ("found", "right_step")}
        return figures

    def actions(self, episodes: Episodes, context: Tensor, horizon: int, prefix: int) -> ActionBatches:
        """Return the batches of System 1."""
        return ActionBatches(self.data, episodes, context, horizon, prefix)


@dataclass(frozen=True)
class RecordedLessons:
    """Recordings of `robot`: System 2 learns where the hand goes next, System 1 the commands. name: of the task."""

    data: Recordings
    robot: RobotConfig
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name,)

    @property
    def corpus(self) -> Sequence[str]:
        """All that was said in the recordings."""
        return sorted(set(self.data.instructions))

    def objective(self, encoder: SceneEncoder) -> nn.Module:
        """Return what System 2 is trained to."""
        return ImitationObjective(encoder)

    def scenes(self, episodes: Episodes, words: Words, grid: tuple[int, int]) -> RecordedSceneBatches:
        """Return its batches."""
        del grid  # nobody says which patches show what
        return RecordedSceneBatches(self.data, frames_in(self.data, episodes), words, self.robot)

    def check(self, encoder: SceneEncoder, episodes: Episodes, words: Words) -> dict[str, float]:
        """Return its errors on `episodes`."""
        return check_imitation(encoder, self.scenes(episodes, words, encoder.config.grid))

    def actions(self, episodes: Episodes, context: Tensor, horizon: int, prefix: int) -> RecordedActionBatches:
        """Return the batches of System 1."""
        return RecordedActionBatches(self.data, episodes, context, horizon, prefix)


def frames_in(data: Recordings, episodes: Episodes) -> Ints:
    """Return the numbers of the frames of `episodes`."""
    return np.flatnonzero(episodes[data.episode[data.frames]])
