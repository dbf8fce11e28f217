"""How smooth a motion is, as one number that depends neither on how far it goes nor on its duration."""

import math

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError

DIFFERENCES = 3  # of positions give the jerk
# Of the spectral arc length: as in its authors' code.
HIGHEST_HZ = 10.0
SMALLEST = 0.05
PADDING = 4  # the spectrum is sampled 2^4 times as densely as the speed needs


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


def spectral_arc_length(speed: FloatArray, dt_s: float) -> float | None:
    """Return SPARC of a speed profile: minus the arc length of its normalised amplitude spectrum; None at rest.

    speed: (T,), dt_s apart, in any unit. Both axes of the spectrum are scaled to 1, up to the last frequency of at most
    10 Hz at which it is at least 5 % of its largest value. Higher, that is less negative, is smoother: a minimum-jerk
    reach has about -1.4, each pause or correction lowers it. After Balasubramanian, Melendez-Calderon and Burdet, "A
    robust and sensitive metric for quantifying movement smoothness", IEEE Transactions on Biomedical Engineering 59,
    2012, with the adaptive cut-off of the article cited above, 2015 (SPARC). Raises ShapeError.
    """
    if speed.ndim != 1 or not np.isfinite(speed).all() or not 0.0 < dt_s < math.inf:
        raise ShapeError(f"smoothness: got speeds {speed.shape} every {dt_s} s, expected finite (T,)")
    if not speed.any():
        return None
    size = 2 ** (math.ceil(math.log2(len(speed))) + PADDING)
    frequency = np.arange(size // 2 + 1) / (size * dt_s)
    amplitude = np.abs(np.fft.rfft(speed, size))
    amplitude = amplitude[frequency <= HIGHEST_HZ] / amplitude.max()
    above = np.flatnonzero(amplitude >= SMALLEST)
    if len(above) == 0 or above[0] == above[-1]:
        return None
    part = amplitude[above[0] : above[-1] + 1]
    return -float(np.hypot(1.0 / (len(part) - 1), np.diff(part)).sum())
