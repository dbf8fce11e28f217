"""What the last seconds of a bag held, by key, and how decisions made again compare with the recorded ones."""

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from so_arm_policy.core.timegrid import NS

KEPT_NS = 6 * NS  # longer than anything that a decision follows from is of use

T = TypeVar("T")


@dataclass
class Parity:
    """Decisions of one kind.

    lost: not in the bag themselves, where that is known; missing: what they followed from is not in the bag; first: the
    first that differs; unknown_since: from where on to the end none could be compared.
    """

    compared: int = 0
    same: int = 0
    lost: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    unknown_since: str = ""
    first: str = ""

    def count(self, same: bool, what: str) -> None:
        """Count a comparison."""
        self.compared += 1
        self.same += same
        if not same and not self.first:
            self.first = what


class Recent(Generic[T]):
    """Values of the last seconds by their key."""

    def __init__(self) -> None:
        """Begin empty."""
        self._values: dict[Hashable, T] = {}
        self._order: deque[tuple[int, Hashable]] = deque()

    def put(self, time_ns: int, key: Hashable, value: T) -> None:
        """Keep `value`, and forget what is too old by now."""
        self._values[key] = value
        self._order.append((time_ns, key))
        while self._order and time_ns - self._order[0][0] > KEPT_NS:
            self._values.pop(self._order.popleft()[1], None)

    def get(self, key: Hashable) -> T | None:
        """Return the newest value of `key`, None where there is none."""
        return self._values.get(key)
