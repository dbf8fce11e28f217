"""How an object moves over the table by itself: at constant speed along a smooth closed curve."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

POINTS = 720


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Object number `object` goes round at `speed` m/s; the path begins where the scene put it.

    radius, angle: Fourier series, in m and rad, of its polar coordinates about the origin: mean, then cosine and sine
    of each harmonic. start: where on the curve (0..2 pi) it begins.
    """

    object: int
    speed: float
    radius: tuple[float, ...]
    angle: tuple[float, ...]
    start: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no path on the table."""
        for name, series in (("radius", self.radius), ("angle", self.angle)):
            if len(series) % 2 == 0 or len(series) > 15 or not all(math.isfinite(v) and abs(v) < 10 for v in series):
                raise ConfigError(f"motion: got {name} {series}, expected an odd number of finite coefficients")
        if not 0.0 < self.speed <= 1.0:
            raise ConfigError(f"motion: got speed {self.speed}, expected 0 < speed <= 1 m/s")
        if not math.isfinite(self.start):
            raise ConfigError(f"motion: got start {self.start}, expected a finite number")
        if not self.length_m > 1e-3:
            raise ConfigError(f"motion: got a path {self.length_m} m long, expected more than 1 mm")

    @cached_property
    def _curve(self) -> tuple[FloatArray, FloatArray]:
        """Points of the closed curve, (POINTS + 1, 2) m, and the way to each from the start, (POINTS + 1,) m."""
        turn = self.start + np.linspace(0.0, 2 * math.pi, POINTS + 1)
        radius, angle = _series(self.radius, turn), _series(self.angle, turn)
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        return points, way

    @property
    def length_m(self) -> float:
        """Length of the closed curve."""
        return float(self._curve[1][-1])

    @property
    def points(self) -> FloatArray:
        """The curve, (POINTS + 1, 2) m."""
        return self._curve[0]

    def at(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Return place (2,) m and velocity (2,) m/s at `time_s` after the start."""
        points, way = self._curve
        now, step = self.speed * time_s, 1e-3
        here = [np.interp((now + d) % way[-1], way, points[:, k]) for d in (0.0, step) for k in (0, 1)]
        here[2:] = [(b - a) / step for a, b in zip(here[:2], here[2:], strict=True)]
        return np.array(here[:2]), self.speed * np.array(here[2:])

    def tightest_m(self) -> float:
        """Smallest radius of curvature of the curve, m."""
        points = self._curve[0][:-1]
        first = np.roll(points, -1, axis=0) - points
        turn = np.angle(np.exp(1j * np.diff(np.unwrap(np.arctan2(first[:, 1], first[:, 0])), append=np.nan)))
        lengths = np.linalg.norm(first, axis=1)
        return float(np.nanmin(lengths / np.maximum(np.abs(turn), 1e-9)))


def _series(coefficients: tuple[float, ...], turn: FloatArray) -> FloatArray:
    total = np.full_like(turn, coefficients[0])
    for k in range(1, len(coefficients) // 2 + 1):
        total += coefficients[2 * k - 1] * np.cos(k * turn) + coefficients[2 * k] * np.sin(k * turn)
    return total
