"""The pictures of episodes to be, heard from a bag once more; of no more than the few under way at a time."""

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.conversion.listening import CAMERA, Listener
from so_arm_policy.learn.conversion.stretches import Ints
from so_arm_policy.learn.datasets.arrow_files import WriteError

Pictures = dict[str, npt.NDArray[np.uint8]]
Sizes = Mapping[str, tuple[int, int]]  # height, width


def filled(
    listener: Listener,
    shown: Sequence[Mapping[str, Ints]],
    sizes: Sizes,
    scratch: Path,
) -> Iterator[Pictures]:
    """Yield for each episode its pictures by camera, (T, height, width, 3).

    shown: of each episode and camera, which of the camera's pictures its rows show, (T,). Raises InputError when the
    bag has changed meanwhile, WriteError when there is no room for them in the folder `scratch`.
    """
    waiting = _Waiting(shown, sizes, scratch)
    yield from waiting.complete()
    if waiting.left:
        seen: Counter[str] = Counter()
        for heard in listener.hear(pictures_only=True):
            camera = heard.role.removeprefix(CAMERA)
            waiting.put(camera, seen[camera], np.asarray(heard.value))
            seen[camera] += 1
            yield from waiting.complete()
            if not waiting.left:
                return
        raise InputError("bag: got fewer pictures than before, expected it to stay as it was")


class _Waiting:
    """Episodes that wait for pictures. left: how many do."""

    def __init__(
        self, shown: Sequence[Mapping[str, Ints]], sizes: Mapping[str, tuple[int, int]], scratch: Path
    ) -> None:
        self._shown, self._sizes, self._scratch = shown, sizes, scratch
        self._next = 0
        self._missing = [sum(len(numbers) for numbers in episode.values()) for episode in shown]
        self._arrays: dict[int, Pictures] = {}
        self._rows: dict[tuple[str, int], list[tuple[int, Ints]]] = defaultdict(list)
        for episode, cameras in enumerate(shown):
            for camera, numbers in cameras.items():
                for number in np.unique(numbers):
                    self._rows[camera, int(number)].append((episode, np.flatnonzero(numbers == number)))

    @property
    def left(self) -> int:
        return len(self._shown) - self._next

    def put(self, camera: str, number: int, rgb: npt.NDArray[np.uint8]) -> None:
        for episode, rows in self._rows.pop((camera, number), ()):
            if episode not in self._arrays:
                self._arrays[episode] = {c: self._room(len(n), self._sizes[c]) for c, n in self._shown[episode].items()}
            self._arrays[episode][camera][rows] = rgb
            self._missing[episode] -= len(rows)

    def complete(self) -> Iterator[Pictures]:
        while self.left and not self._missing[self._next]:
            self._next += 1
            yield self._arrays.pop(self._next - 1, {})

    def _room(self, count: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Return an array on the disk, which is gone with it; room is taken first, as a full disk would kill later."""
        shape = (count, *size, 3)
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as file:
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
                return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
        except OSError as error:
            raise WriteError(f"{self._scratch}: got {error.strerror or error}, expected room for pictures") from error
