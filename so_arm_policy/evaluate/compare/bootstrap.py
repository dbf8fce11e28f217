"""How sure the mean of paired differences is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

RESAMPLES = 10_000
AT_ONCE = 500
SEED = 0
FEWEST = 2


def mean_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean of `differences`, one of each shared seed; None of fewer than 2.

    Whole pairs are drawn anew, 10 000 times, always the same ones; the interval lies between the percentiles of their
    means. After Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13. For few seeds it is too
    narrow. Raises ConfigError.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ConfigError(f"bootstrap: got differences of shape {values.shape}, expected finite (n,)")
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"bootstrap: got confidence {confidence}, expected 0 < confidence < 1")
    if len(values) < FEWEST:
        return None
    low, high = np.quantile(resampled_means(values), [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def resampled_means(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return the means over seeds, (RESAMPLES, ...), of `values` (n, ...), whose n seeds are drawn anew each time."""
    rng = np.random.default_rng(SEED)
    means = [
        values[rng.integers(len(values), size=(AT_ONCE, len(values)))].mean(1) for _ in range(RESAMPLES // AT_ONCE)
    ]
    return np.concatenate(means)
