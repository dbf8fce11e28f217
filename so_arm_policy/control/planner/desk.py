"""Where a planner thinks, beside its ticks: one thought at a time."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Desk(Protocol[T]):
    """Works out one thing at a time."""

    def begin(self, now_ns: int, work: Callable[[], T]) -> None:
        """Begin to work; what was begun before is forgotten."""

    def take(self, now_ns: int) -> T | None:
        """Return the result once, as soon as there is one. Raises what the work raised."""


class LockstepDesk(Generic[T]):
    """Thinks in no time and tells the result after a time that is always the same: for simulated time."""

    def __init__(self, delay_ns: int) -> None:
        """delay_ns: how long every thought takes."""
        self._delay_ns = delay_ns
        self._ready_ns: int | None = None

    def begin(self, now_ns: int, work: Callable[[], T]) -> None:
        """Begin to work."""
        self._ready_ns, self._work = now_ns + self._delay_ns, work

    def take(self, now_ns: int) -> T | None:
        """Return the result when its time has come."""
        if self._ready_ns is None or now_ns < self._ready_ns:
            return None
        self._ready_ns = None
        return self._work()
