"""A box for the newest value, between one thread that makes values and one that uses them."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds one value; a newer one replaces it. `put` never waits for the taker."""

    def __init__(self) -> None:
        """Begin empty."""
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    def put(self, value: T) -> bool:
        """Store `value`; True when it replaced one that nobody took."""
        with self._changed:
            replaced = self._value is not None
            self._value = value
            self._changed.notify()
        return replaced

    def take(self) -> T | None:
        """Return the value and leave the box empty; None when it is."""
        with self._changed:
            value, self._value = self._value, None
            return value

    def wait(self, timeout_s: float) -> T | None:
        """Like `take`, but wait for a value; None after `timeout_s` or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._closed, timeout_s)
            value, self._value = self._value, None
            return None if self._closed else value

    def close(self) -> None:
        """Wake whoever waits, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
