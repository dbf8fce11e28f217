"""Inferences beside the tick: one worker thread, never waited for."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.ros.realtime import stay_in_background

WAIT_S = 0.2

Q = TypeVar("Q")
R = TypeVar("R")


class InferenceWorker(Generic[Q, R]):
    """Runs `infer` on one request at a time. The tick thread asks and takes; `run` belongs in a thread of its own.

    times: how long inferences took. late: how often one was due while the worker was still busy.
    """

    def __init__(self, infer: Callable[[Q], R], done: Callable[[R], None], failed: Callable[[str], None]) -> None:
        """done: called in the worker's thread with each result; failed: with the reason when there is none."""
        self._infer, self._done, self._failed = infer, done, failed
        self._requests: Latest[Q] = Latest()
        self._results: Latest[R] = Latest()
        self._busy = False
        self.times = Histogram()
        self.late = 0

    def is_free(self) -> bool:
        """Whether `ask` may be called now; a no is counted as late."""
        self.late += self._busy
        return not self._busy

    def ask(self, request: Q) -> None:
        """Hand over the next inference."""
        self._busy = True
        self._requests.put(request)

    def take(self) -> R | None:
        """Return the newest result that was not taken, or None."""
        return self._results.take()

    def close(self) -> None:
        """Let `run` end."""
        self._requests.close()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`."""
        stay_in_background()
        while not stopping.is_set():
            request = self._requests.wait(WAIT_S)
            if request is None:
                continue
            began_ns = time.monotonic_ns()
            try:
                result = self._infer(request)
            except BundleError as error:
                self._failed(str(error))
            else:
                self.times.add(time.monotonic_ns() - began_ns)
                self._results.put(result)
                self._done(result)
            self._busy = False
