"""Checked, read-only arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import ShapeError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def vector(values: npt.ArrayLike, size: int | None = None, name: str = "vector") -> FloatArray:
    """Return `values` as a read-only float64 array of shape (size,). Raises ShapeError, also when not finite."""
    return frozen(values, (size,), name)


def frozen(values: npt.ArrayLike, shape: Sequence[int | None], name: str = "array") -> FloatArray:
    """Return a read-only float64 copy of `values`; None in `shape` matches any length.

    Raises ShapeError when the shape differs or a value is not finite.
    """
    array = np.array(values, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        want is None or got == want for got, want in zip(array.shape, shape, strict=False)
    )
    if not fits:
        raise ShapeError(f"{name}: got shape {array.shape}, expected {tuple(shape)}")
    if not np.isfinite(array).all():
        raise ShapeError(f"{name}: got a value that is not finite in {array.tolist()}")
    array.setflags(write=False)
    return array
