"""How far a context is from those of successful runs: a Mahalanobis distance with few axes, fitted once.

The features are the values of the context's first layer, token by token, for pooled over the tokens they tell less.
There are many more of them than episodes to fit, so their covariance is shrunk to a few axes of large
spread and one spread for all else, which is probabilistic PCA (Tipping and Bishop, "Probabilistic principal component
analysis", J. R. Statist. Soc. B 61, 1999): well conditioned whatever the number of samples.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError

EXPLAINED = 0.9  # share of the variance that lies along the axes
MOST_AXES = 64
LEAST_SHARE = 1e-6  # of the mean variance, that what is left of it counts as at least


def features(keys_values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what novelty looks at, (d,), of keys and values (layers, 2, heads, tokens, head_size)."""
    return np.asarray(keys_values[0, 1], dtype=np.float32).reshape(-1)


@dataclass(frozen=True, eq=False)
class Familiar:
    """What was seen in successful runs. mean: (d,); axes: (k, d), orthonormal; spread: (k,), along them; rest: else.

    float32, spreads as standard deviations.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    rest: np.float32

    def distance(self, seen: npt.NDArray[np.float32]) -> float:
        """Return how far the features `seen` (d,) are from the mean: root mean square, 1 for what was fitted."""
        away = seen.astype(np.float64) - self.mean
        along = self.axes @ away
        left = max(0.0, float(away @ away) - float(along @ along))
        squared = float(((along / self.spread) ** 2).sum()) + left / float(self.rest) ** 2
        return float(np.sqrt(squared / len(away)))


def fit(seen: npt.NDArray[np.float32]) -> Familiar:
    """Return what `seen` (samples, d) has in common. Raises ShapeError without samples that differ, or not finite."""
    if seen.ndim != 2 or len(seen) < 2 or not np.isfinite(seen).all():
        raise ShapeError(f"novelty: got samples of shape {seen.shape}, expected two or more finite rows")
    mean = seen.mean(axis=0, dtype=np.float64)
    away = seen - mean
    variances, columns = np.linalg.eigh(away.T @ away / len(seen))
    variances, columns = variances[::-1].clip(0.0), columns[:, ::-1]
    total = float(variances.sum())
    if not total > 0.0:
        raise ShapeError(f"novelty: got {len(seen)} samples that are all the same, expected some that differ")
    k = min(_axes_for(variances / total), MOST_AXES, len(variances) - 1)
    least = LEAST_SHARE * total / len(variances)
    rest = max(float(variances[k:].mean()), least)
    return Familiar(
        mean=mean.astype(np.float32),
        axes=np.ascontiguousarray(columns[:, :k].T, dtype=np.float32),
        spread=np.sqrt(variances[:k].clip(rest)).astype(np.float32),
        rest=np.float32(np.sqrt(rest)),
    )


def _axes_for(shares: FloatArray) -> int:
    """Return how many of the largest `shares` make up EXPLAINED of all."""
    return int(np.searchsorted(np.cumsum(shares), EXPLAINED)) + 1
