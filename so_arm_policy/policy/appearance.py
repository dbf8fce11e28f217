"""How a camera's pictures look in a few numbers, and how far that is from those of successful runs.

A context keeps of a picture what its policy was trained to look for: one made of a dark, tinted or covered picture may
be like any other, and so says nothing of why the policy errs. These numbers are of the picture itself: exposure, colour
of the light, and how much detail there is, as logarithms, so that they differ by what the light is multiplied by.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.values import Image

Numbers = npt.NDArray[np.float64]

EXPOSURE = (5, 25, 50, 75, 95)  # percentiles of luminance
GRID = (8, 6)  # columns and rows of the parts whose detail is compared
DETAIL = (0.1, 0.5, 0.9)  # of the parts, by how much detail they have
STATISTICS = len(EXPOSURE) + 4 + len(DETAIL) + 1
DARKEST, DULLEST = 0.02, 0.0005  # added before a logarithm is taken, of 1 as the brightest: noise counts for nothing
LEAST_SPREAD = 0.01  # what a statistic varies by at the least, however alike all samples are
RIDGE = 0.05  # of its variance, that is added to that of each statistic: some of them nearly say the same


def appearance(rgb: Image) -> Numbers:
    """Return the statistics, (STATISTICS,), of a picture (height, width, 3) of any size from GRID on."""
    picture = rgb.astype(np.float32) / np.float32(255.0)
    luminance = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    detail = np.abs(luminance - cv2.blur(luminance, (3, 3)))
    parts = cv2.resize(detail, GRID, interpolation=cv2.INTER_AREA)
    colors = picture.reshape(-1, 3)
    mean, median = np.log(colors.mean(axis=0) + DARKEST), np.log(np.median(colors, axis=0) + DARKEST)
    numbers = (
        np.log(np.percentile(luminance, EXPOSURE) + DARKEST),
        (mean[0] - mean[1], mean[2] - mean[1], median[0] - median[1], median[2] - median[1]),
        np.log(np.quantile(parts, DETAIL) + DULLEST),
        (np.log(np.median(detail) + DULLEST),),
    )
    return np.concatenate(numbers).astype(np.float64)


@dataclass(frozen=True, eq=False)
class FamiliarAppearance:
    """How pictures of successful runs look. mean: (cameras, s); whiten: (cameras, s, s), to spreads of 1."""

    mean: Numbers
    whiten: Numbers

    def distances(self, seen: Numbers) -> Numbers:
        """Return the Mahalanobis distance of each camera's statistics in `seen` (cameras, s): (cameras,), as rms."""
        away = np.einsum("cij,cj->ci", self.whiten, seen - self.mean)
        return np.sqrt((away**2).mean(axis=1))


def fit_appearance(seen: Numbers) -> FamiliarAppearance:
    """Return what `seen` (samples, cameras, s) has in common. Raises ShapeError without two finite samples."""
    if seen.ndim != 3 or len(seen) < 2 or not np.isfinite(seen).all():
        raise ShapeError(f"appearance: got samples of shape {seen.shape}, expected two or more finite ones")
    return FamiliarAppearance(
        mean=seen.mean(axis=0),
        whiten=np.array([_whiten(seen[:, camera]) for camera in range(seen.shape[1])]),
    )


def _whiten(seen: Numbers) -> Numbers:
    """Return the matrix that makes the covariance of `seen` (samples, s) that of independent numbers."""
    away = seen - seen.mean(axis=0)
    covariance = away.T @ away / len(seen)
    spread = np.sqrt(covariance.diagonal().clip(LEAST_SPREAD**2))
    scaled = covariance / np.outer(spread, spread) + RIDGE * np.eye(len(spread))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(scaled)) / spread)
