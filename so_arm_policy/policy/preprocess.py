"""Pictures as a policy sees them; training and run time call the same function."""

import cv2
import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.values import Image


def resize(rgb: Image, height: int, width: int) -> Image:
    """Return `rgb` (h, w, 3) uint8 as (height, width, 3) uint8, each pixel the mean of the area it covers.

    Raises InputError for another shape or type.
    """
    check_rgb(rgb)
    if rgb.shape[:2] == (height, width):
        return rgb
    resized = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def check_rgb(rgb: Image, size: tuple[int, int] | None = None, name: str = "image") -> None:
    """Raise InputError unless `rgb` is an (h, w, 3) uint8 array, of `size` (h, w) where that is given."""
    expected = f"({size[0]}, {size[1]}, 3)" if size else "(height, width, 3)"
    if not isinstance(rgb, np.ndarray):
        raise InputError(f"{name}: got {type(rgb).__name__}, expected a {expected} uint8 array")
    fits = rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size > 0 and (size is None or rgb.shape[:2] == size)
    if not fits or rgb.dtype != np.uint8:
        raise InputError(f"{name}: got shape {rgb.shape} of {rgb.dtype}, expected {expected} of uint8")
