"""Kalman filter of a point that moves at almost constant velocity, fed with measurements that arrive late."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.timegrid import NS


@dataclass(frozen=True, kw_only=True)
class KalmanConfig:
    """What is believed of the point and of who measures it.

    measurement_m: standard deviation of a measured coordinate, m. acceleration: spectral density of the white
    acceleration, m/s^2 per sqrt(Hz). first_speed: standard deviation of a coordinate's velocity before it was seen to
    move, m/s. gate: a measurement this many standard deviations off is not believed; outliers: so many of them in
    succession are, and the filter begins anew there.
    """

    measurement_m: float = 0.002
    acceleration: float = 0.1
    first_speed: float = 0.06
    gate: float = 6.0
    outliers: int = 3

    def __post_init__(self) -> None:
        """Refuse what is no deviation. Raises ConfigError."""
        for name in ("measurement_m", "acceleration", "first_speed", "gate"):
            if not 0.0 < getattr(self, name) <= 100.0:
                raise ConfigError(f"kalman: got {name} {getattr(self, name)}, expected 0 < {name} <= 100")
        if not 1 <= self.outliers <= 100:
            raise ConfigError(f"kalman: got outliers {self.outliers}, expected 1..100")


class PointKalman:
    """Constant-velocity filter in `dims` dimensions, each on its own axis.

    State x = (position, velocity); P its covariance. After Bar-Shalom, Li & Kirubarajan, Estimation with Applications
    to Tracking and Navigation, 2001: 5.4 (filter), 6.2.2 (continuous white-noise acceleration), 5.4.2 (gate on the
    normalised innovation squared). Time is that of the measurements; `at` predicts from the newest to any later time.
    """

    def __init__(self, dims: int, config: KalmanConfig | None = None) -> None:
        """dims: 1 to 3."""
        if not 1 <= dims <= 3:
            raise ConfigError(f"kalman: got {dims} dimensions, expected 1..3")
        self._dims = dims
        self._config = config or KalmanConfig()
        self._H = np.eye(dims, 2 * dims)
        self._R = self._config.measurement_m**2 * np.eye(dims)
        self.reset()

    def reset(self) -> None:
        """Forget the point."""
        self.stamp_ns: int | None = None
        self._x, self._P = np.zeros(2 * self._dims), np.eye(2 * self._dims)
        self._refused = 0

    def update(self, z: FloatArray, stamp_ns: int) -> None:
        """Take in the measurement `z` (dims,) m of `stamp_ns`.

        Raises ShapeError, and InputError where the stamp is not later than the last one; nothing changes then.
        """
        z = vector(z, self._dims, "kalman measurement")
        if self.stamp_ns is None:
            self._begin(z, stamp_ns)
            return
        if stamp_ns <= self.stamp_ns:
            late_ms = (self.stamp_ns - stamp_ns) / 1e6
            raise InputError(f"kalman: got a measurement {late_ms:.1f} ms before the last one, expected a later one")
        x, P = self._predicted(stamp_ns)
        H, R = self._H, self._R
        innovation = z - H @ x
        S = H @ P @ H.T + R
        if innovation @ np.linalg.solve(S, innovation) > self._config.gate**2:
            self._refused += 1
            if self._refused >= self._config.outliers:
                self._begin(z, stamp_ns)
            return
        K = np.linalg.solve(S, H @ P).T
        A = np.eye(len(x)) - K @ H
        self._x, self._P = x + K @ innovation, A @ P @ A.T + K @ R @ K.T  # Joseph's form stays positive
        self.stamp_ns, self._refused = stamp_ns, 0

    def at(self, now_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (dims,) m and velocity (dims,) m/s predicted for `now_ns`; before the stamp, as of then.

        Raises InputError before the first measurement.
        """
        x, _ = self._predicted(now_ns)
        return x[: self._dims], x[self._dims :]

    def covariance(self, now_ns: int) -> FloatArray:
        """Covariance of position and velocity at `now_ns`, (2 dims, 2 dims). Raises InputError."""
        return self._predicted(now_ns)[1]

    def _begin(self, z: FloatArray, stamp_ns: int) -> None:
        speed = self._config.first_speed**2 * np.eye(self._dims)
        none = np.zeros((self._dims, self._dims))
        self._x, self._P = np.concatenate([z, np.zeros(self._dims)]), np.block([[self._R, none], [none, speed]])
        self.stamp_ns, self._refused = stamp_ns, 0

    def _predicted(self, now_ns: int) -> tuple[FloatArray, FloatArray]:
        if self.stamp_ns is None:
            raise InputError("kalman: got no measurement yet, expected one before asking where the point is")
        dt = max(0, now_ns - self.stamp_ns) / NS
        identity = np.eye(self._dims)
        F = np.kron(np.array([[1.0, dt], [0.0, 1.0]]), identity)
        Q = np.kron(np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]), identity) * self._config.acceleration**2
        return F @ self._x, F @ self._P @ F.T + Q
