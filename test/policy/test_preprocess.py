"""Pictures as the policy sees them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import InputError
from so_arm_policy.policy.preprocess import resize


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_flat_picture_stays_flat_at_any_size(h: int, w: int, height: int, width: int, level: int) -> None:
    resized = resize(np.full((h, w, 3), level, np.uint8), height, width)
    assert resized.shape == (height, width, 3)
    assert resized.dtype == np.uint8
    assert (resized == level).all()


def test_a_quarter_of_the_size_is_the_mean_of_sixteen_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    mean = rgb.reshape(4, 4, 6, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(rgb, 4, 6) - mean).max() <= 0.5


def test_the_right_size_passes_unchanged_and_a_mirrored_view_is_read() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    assert resize(rgb, 8, 12) is rgb
    assert (resize(rgb[::-1], 4, 6) == resize(rgb[::-1].copy(), 4, 6)).all()


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((8, 12), np.uint8),
        np.zeros((8, 12, 4), np.uint8),
        np.zeros((8, 12, 3), np.float32),
        np.zeros((0, 12, 3), np.uint8),
        [[1, 2, 3]],
        None,
    ],
)
def test_other_shapes_and_types_are_refused(rgb: object) -> None:
    with pytest.raises(InputError, match="image: got .*expected"):
        resize(rgb, 4, 6)  # type: ignore[arg-type]
