"""Rows of an episode in the making, 30 a second; pictures and where things are only with some of them."""

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.datasets.writer import EpisodeRecord
from so_arm_policy.learn.demonstrations.labels import Labels

ROW_TICKS = 4  # one row of a demonstration every 4 ticks: 30 Hz
FPS = CONTROL_HZ // ROW_TICKS


class EpisodeRows:
    """Grows row by row; `record` makes an episode of a dataset of it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._q: list[FloatArray] = []
        self._action: list[FloatArray] = []
        self._labels: list[Labels] = []
        self._pictures: list[npt.NDArray[np.uint8]] = []
        self._picture_rows: list[int] = []
        self._scene: Labels = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._q)

    def see(self, pictures: npt.NDArray[np.uint8], scene: Labels) -> None:
        """Take what every camera sees, (cameras, H, W, 3), and the columns SCENE, for the row that is added next."""
        self._pictures.append(pictures)
        self._picture_rows.append(len(self))
        self._scene = scene

    def add(self, q: FloatArray, action: FloatArray, labels: Labels) -> None:
        """Add a row: q, action (n,) rad measured and commanded, and its other columns beside those of `see`."""
        self._q.append(q)
        self._action.append(action)
        self._labels.append({**self._scene, **labels})

    def record(self, instruction: str, cameras: tuple[str, ...]) -> EpisodeRecord:
        """Return all rows as an episode told `instruction`. cameras: names, in the order of the pictures."""
        pictures = np.stack(self._pictures)
        return EpisodeRecord(
            task=instruction,
            q=np.stack(self._q),
            action=np.stack(self._action),
            pictures={camera: pictures[:, i] for i, camera in enumerate(cameras)},
            picture_rows=np.array(self._picture_rows),
            extras={name: np.stack([labels[name] for labels in self._labels]) for name in self._labels[0]},
        )
