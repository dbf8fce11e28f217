"""How smooth a motion is, as one number that depends neither on its length in radians nor on its duration."""

import math

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError

DIFFERENCES = 3  # of positions give the jerk


def log_dimensionless_jerk(positions: FloatArray, dt_s: float) -> float | None:
    """Return -ln(duration^3 / peak speed^2 * integral of jerk^2) of a motion; None for one without any.

    positions: (T, n), dt_s apart; speed and jerk are Euclidean norms over the n columns, so that turned axes change
    nothing. Higher, that is less negative, is smoother: a minimum-jerk reach has -ln(204.8) = -5.32, pauses and
    corrections lower it. After Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet, "On the analysis of movement
    smoothness", Journal of NeuroEngineering and Rehabilitation 12:112, 2015 (LDLJ). Raises ShapeError.
    """
    if positions.ndim != 2 or not np.isfinite(positions).all() or not 0.0 < dt_s < math.inf:
        raise ShapeError(f"smoothness: got positions {positions.shape} every {dt_s} s, expected finite (T, n)")
    if len(positions) <= DIFFERENCES:
        return None
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=1) / dt_s
    jerk = np.linalg.norm(np.diff(positions, n=DIFFERENCES, axis=0), axis=1) / dt_s**DIFFERENCES
    peak, roughness = float(speed.max()), float((jerk**2).sum()) * dt_s
    if peak == 0.0 or roughness == 0.0:
        return None
    duration_s = (len(positions) - 1) * dt_s
    return -math.log(duration_s**3 / peak**2 * roughness)
