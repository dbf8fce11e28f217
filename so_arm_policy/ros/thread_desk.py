"""Thinking beside the ticks: the desk of a planner in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.ros.inference import InferenceWorker

T = TypeVar("T")


class ThreadDesk(Generic[T]):
    """A Desk. The tick thread begins and takes; `run` belongs in a thread of its own and does one thing at a time."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._number = 0
        self._worker: InferenceWorker[tuple[int, Callable[[], T]], tuple[int, T | SoArmError]] = InferenceWorker(
            _tried, lambda _: None, lambda _: None
        )

    @property
    def times(self) -> Histogram:
        """How long thoughts took."""
        return self._worker.times

    def begin(self, now_ns: int, work: Callable[[], T]) -> None:  # noqa: ARG002 - takes as long as it takes
        """Begin to work; what was begun before is forgotten: it never comes out of `take`."""
        self._number += 1
        self._worker.ask((self._number, work))

    def take(self, now_ns: int) -> T | None:  # noqa: ARG002
        """Return the result once, as soon as there is one. Raises what the work raised."""
        done = self._worker.take()
        if done is None or done[0] != self._number:
            return None
        if isinstance(done[1], SoArmError):
            raise done[1]
        return done[1]

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`."""
        self._worker.run(stopping)

    def close(self) -> None:
        """Let `run` end."""
        self._worker.close()


def _tried(asked: tuple[int, Callable[[], T]]) -> tuple[int, T | SoArmError]:
    """Do the work; its errors are results too. Any other exception is a fault of the code, and ends the node."""
    number, work = asked
    try:
        return number, work()
    except SoArmError as error:
        return number, error
