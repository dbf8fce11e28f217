"""What is believed of where a thing is by now, from where it was seen."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from so_arm_policy.control.kalman import KalmanConfig, PointKalman
from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import NS

PATIENCE_S = 0.5
AVERAGED = 6  # sightings
# So far off, a sighting is a mistake, unless so many in succession are.
ELSEWHERE_M, ELSEWHERE_SIGHTINGS = 0.03, 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Whereabouts:
    """position: (3,) m; velocity: (3,) m/s."""

    position: FloatArray
    velocity: FloatArray


class Estimator(Protocol):
    """Turns sightings of one thing into where it is now."""

    def reset(self) -> None:
        """Forget the thing."""

    def see(self, position: FloatArray, stamp_ns: int) -> None:
        """Take note of a sighting, (3,) m. Raises ShapeError and, for stamps out of order, InputError."""

    def at(self, now_ns: int) -> Whereabouts | None:
        """Return where it is at `now_ns`, or None before it was seen."""


class Standing:
    """The thing stands where it was seen, in the mean of the newest sightings; moved by somebody, it stands there."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.reset()

    def reset(self) -> None:
        """Forget the thing."""
        self._mean: FloatArray | None = None
        self._stamp_ns = 0
        self._count = self._elsewhere = 0

    def see(self, position: FloatArray, stamp_ns: int) -> None:
        """Take note of a sighting, (3,) m. Raises ShapeError, and InputError for a stamp that is not later."""
        position = vector(position, 3, "sighting")
        if self._mean is None:
            self._mean, self._stamp_ns, self._count = position, stamp_ns, 1
            return
        if stamp_ns <= self._stamp_ns:
            late_ms = (self._stamp_ns - stamp_ns) / 1e6
            raise InputError(f"sighting: got one {late_ms:.1f} ms before the last one, expected a later one")
        self._stamp_ns = stamp_ns
        self._elsewhere = self._elsewhere + 1 if float(np.linalg.norm(position - self._mean)) > ELSEWHERE_M else 0
        if self._elsewhere >= ELSEWHERE_SIGHTINGS:
            self._mean, self._count, self._elsewhere = position, 1, 0
        elif not self._elsewhere:
            self._count = min(self._count + 1, AVERAGED)
            self._mean = self._mean + (position - self._mean) / self._count

    def at(self, now_ns: int) -> Whereabouts | None:  # noqa: ARG002
        """Return where it stands."""
        return None if self._mean is None else Whereabouts(position=self._mean, velocity=np.zeros(3))


class Followed:
    """The thing moves over the table, at one height; unseen, it goes on for a while and then stands there."""

    def __init__(self, config: KalmanConfig | None = None, patience_s: float = PATIENCE_S) -> None:
        """patience_s: how long it is believed to go on."""
        self._kalman = PointKalman(2, config)
        self._patience_ns = round(patience_s * NS)
        self.reset()

    def reset(self) -> None:
        """Forget the thing."""
        self._kalman.reset()
        self._height, self._count = 0.0, 0

    def see(self, position: FloatArray, stamp_ns: int) -> None:
        """Take note of a sighting, (3,) m. Raises ShapeError, and InputError for a stamp that is not later."""
        position = vector(position, 3, "sighting")
        self._kalman.update(position[:2], stamp_ns)
        self._count = min(self._count + 1, AVERAGED)
        self._height += (float(position[2]) - self._height) / self._count

    def at(self, now_ns: int) -> Whereabouts | None:
        """Return where it is at `now_ns`, or None before it was seen."""
        if self._kalman.stamp_ns is None:
            return None
        latest = self._kalman.stamp_ns + self._patience_ns
        place, velocity = self._kalman.at(min(now_ns, latest))
        if now_ns > latest:
            velocity = np.zeros(2)
        return Whereabouts(position=np.append(place, self._height), velocity=np.append(velocity, 0.0))
