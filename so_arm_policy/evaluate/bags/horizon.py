"""Predicted against recorded actions: the error of each joint, by how far ahead it was predicted."""

from collections import deque

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Chunk

GAP_NS = NS // 5  # recorded actions further apart say nothing of what lies between


class HorizonError:
    """Grows as chunks and actions come, in order of time; needs no more memory for a longer bag."""

    def __init__(self, joints: int) -> None:
        """joints: of the robot."""
        self._joints = joints
        self._chunks: deque[tuple[Chunk, int]] = deque()  # with the first row that is not compared yet
        self._last: tuple[int, FloatArray] | None = None
        self._sums = np.zeros((0, joints))
        self._squares = np.zeros((0, joints))
        self._counts = np.zeros(0, dtype=np.int64)

    @property
    def counts(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Comparisons by row of the horizon, (h,)."""
        return self._counts

    @property
    def mean(self) -> FloatArray:
        """Mean absolute error, (h, n) rad; nan where nothing was compared."""
        return self._sums / np.where(self._counts, self._counts, np.nan)[:, None]

    @property
    def rms(self) -> FloatArray:
        """Root of the mean squared error, (h, n) rad."""
        return np.sqrt(self._squares / np.where(self._counts, self._counts, np.nan)[:, None])

    def predicted(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        self._chunks.append((chunk, 0))
        more = len(chunk.positions) - len(self._counts)
        if more > 0:
            self._sums = np.pad(self._sums, ((0, more), (0, 0)))
            self._squares = np.pad(self._squares, ((0, more), (0, 0)))
            self._counts = np.pad(self._counts, (0, more))

    def recorded(self, time_ns: int, q: FloatArray) -> None:
        """Take in what was done at `time_ns`, (n,) rad."""
        before, self._last = self._last, (time_ns, q)
        if before is None or not 0 < time_ns - before[0] <= GAP_NS:
            return
        left: deque[tuple[Chunk, int]] = deque()
        for chunk, row in self._chunks:
            row = self._compare(chunk, row, before, (time_ns, q))
            if row < len(chunk.positions):
                left.append((chunk, row))
        self._chunks = left

    def forget(self) -> None:
        """Compare no chunk across what comes now: time has jumped."""
        self._chunks.clear()
        self._last = None

    def _compare(self, chunk: Chunk, row: int, before: tuple[int, FloatArray], now: tuple[int, FloatArray]) -> int:
        """Compare the rows due up to now; return the first that is not."""
        while row < len(chunk.positions) and (due_ns := chunk.start_ns + row * chunk.dt_ns) <= now[0]:
            if due_ns >= before[0]:
                share = (due_ns - before[0]) / (now[0] - before[0])
                error = chunk.positions[row] - (before[1] + share * (now[1] - before[1]))
                self._sums[row] += np.abs(error)
                self._squares[row] += error * error
                self._counts[row] += 1
            row += 1
        return row
