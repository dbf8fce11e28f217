"""Smoothness of motions whose value is known."""

import math

import numpy as np
import pytest

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.evaluate.smoothness import log_dimensionless_jerk

S = np.linspace(0.0, 1.0, 2001)
MINIMUM_JERK = (10 * S**3 - 15 * S**4 + 6 * S**5)[:, None]


def test_a_minimum_jerk_reach_has_the_value_of_the_formula():
    """Jerk is 60 - 360 s + 360 s^2, so that its square integrates to 720; the peak speed is 15 / 8."""
    assert log_dimensionless_jerk(MINIMUM_JERK, 1 / 2000) == pytest.approx(-math.log(720 / (15 / 8) ** 2), abs=0.01)


def test_a_sine_has_the_value_of_the_formula():
    """One period: jerk w^3 cos, its square integrates to w^6 / 2; the peak speed is w."""
    assert log_dimensionless_jerk(np.sin(2 * np.pi * S)[:, None], 1 / 2000) == pytest.approx(
        -math.log((2 * np.pi) ** 4 / 2), abs=0.01
    )


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("dt_s", [1e-4, 1 / 120])
def test_neither_size_nor_duration_nor_the_choice_of_axes_counts(scale, dt_s):
    plain = log_dimensionless_jerk(MINIMUM_JERK, 1 / 2000)
    two = np.hstack([0.6 * MINIMUM_JERK, -0.8 * MINIMUM_JERK]) * scale + 3.0
    assert log_dimensionless_jerk(two, dt_s) == pytest.approx(plain, abs=1e-6)


def test_a_tremble_and_a_pause_are_less_smooth():
    plain = log_dimensionless_jerk(MINIMUM_JERK, 1 / 2000)
    trembling = MINIMUM_JERK + 1e-3 * np.sin(2 * np.pi * 20 * S)[:, None]
    paused = np.vstack([MINIMUM_JERK, np.full((1000, 1), 1.0), 1.0 + MINIMUM_JERK])
    assert log_dimensionless_jerk(trembling, 1 / 2000) < plain - 1
    assert log_dimensionless_jerk(paused, 1 / 2000) < plain - 1


@pytest.mark.parametrize("positions", [np.zeros((100, 6)), np.arange(3.0)[:, None], np.arange(9.0)[:, None]])
def test_what_does_not_move_or_never_changes_its_speed_has_no_value(positions):
    assert log_dimensionless_jerk(positions, 1 / 120) is None


@pytest.mark.parametrize(("positions", "dt_s"), [(np.zeros(5), 0.1), (np.full((9, 2), np.nan), 0.1), (S[:, None], 0.0)])
def test_what_is_no_motion_is_refused(positions, dt_s):
    with pytest.raises(ShapeError, match="smoothness: got"):
        log_dimensionless_jerk(positions, dt_s)
