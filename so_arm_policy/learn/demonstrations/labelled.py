"""Demonstrations of this package: recordings that also say what the expert was about, and where things are.

Beside them may lie datasets of scenes alone, of a policy at work: nothing in them says what an expert would do.

N rows, E episodes, F pictured rows ("frames"), K objects, W stages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.reader import Dataset
from so_arm_policy.learn.demonstrations.labels import EXPERT, SCENE
from so_arm_policy.learn.demonstrations.recordings import Ints, Recorded, Recordings, decoded, frames_of
from so_arm_policy.sim.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Source(Recorded):
    """One task's dataset."""

    task: Task


class Demonstrations(Recordings):
    """Recordings with labels. tasks: of the sources; task_of: (N,) each row's, by number.

    demonstrated: (E,) whether an expert did it; rows of other episodes have zeros for the columns EXPERT.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Join `sources`. Raises InputError when a column is missing."""
        super().__init__(sources)
        datasets = [source.dataset for source in sources]
        self.tasks = tuple(source.task for source in sources)
        self.task_of: Ints = np.repeat(np.arange(len(sources)), [len(d) for d in datasets])
        taught = [_demonstrates(dataset) for dataset in datasets]
        if not any(taught):
            raise InputError("demonstrations: got scenes of policies alone, expected demonstrations beside them")
        self.demonstrated = np.repeat(taught, [len(d) for d in datasets])
        self.expert = {name: _expert_column(name, datasets) for name in EXPERT}
        self.scene = {name: np.concatenate([s.dataset.column(name)[s.frames] for s in sources]) for name in SCENE}

    def labels(self) -> Iterable[npt.NDArray[np.generic]]:
        """Return the columns EXPERT of all rows and SCENE of all frames."""
        return (*self.expert.values(), *self.scene.values())


def _demonstrates(dataset: Dataset) -> bool:
    return EXPERT[0] in dataset.extras


def _expert_column(name: str, datasets: Sequence[Dataset]) -> npt.NDArray[np.generic]:
    """Return column `name` of all rows of all `datasets`, zeros where no expert acted."""
    found = [dataset.column(name) if _demonstrates(dataset) else None for dataset in datasets]
    like = next(column for column in found if column is not None)
    blank = (np.zeros((len(d.q), *like.shape[1:]), like.dtype) for d in datasets)
    return np.concatenate([zeros if column is None else column for column, zeros in zip(found, blank, strict=True)])


def open_source(task: Task, dataset: Dataset, size: tuple[int, int]) -> Source:
    """Open `dataset`, whose pictures are decoded once and kept beside it in `size` (height, width).

    The columns EXPERT may lack all together: then it shows scenes, and demonstrates nothing. Raises InputError when it
    has not the columns of `so-arm collect`, or pictures cannot be decoded or kept.
    """
    needed = (*SCENE, *(EXPERT if any(name in dataset.extras for name in EXPERT) else ()))
    missing = [name for name in needed if name not in dataset.extras]
    if missing:
        got = f"{dataset.folder}: got columns {dataset.extras}, expected {missing} too, as so-arm collects"
        raise InputError(f"{got}; `so-arm imitate` trains on recordings without them")
    rows = [dataset.picture_rows(episode) for episode in range(len(dataset))]
    path = dataset.folder / f"pictures_{size[1]}x{size[0]}.npy"
    pictures = decoded(dataset, rows, dataset.cameras, size, path)
    frames = frames_of(dataset, rows)
    return Source(task=task, dataset=dataset, cameras=dataset.cameras, frames=frames, pictures=pictures)
