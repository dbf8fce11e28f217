"""Smoothness of motions whose value is known."""

import math

import numpy as np
import pytest

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.evaluate.smoothness import log_dimensionless_jerk, spectral_arc_length

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


def speed_of(position):
    return np.diff(position[:, 0]) * 2000


def reach_at(begin_s, duration_s, rate_hz=120, total_s=4.0):
    """Speed profile of one minimum-jerk reach, at rest before and after."""
    s = (np.arange(0.0, total_s, 1 / rate_hz) - begin_s) / duration_s
    return np.where((s > 0) & (s < 1), 30 * s**2 * (1 - s) ** 2, 0.0)


def test_the_spectral_arc_length_has_the_value_of_its_authors_code():
    """Doctest of smoothness.py in github.com/siva82kb/SPARC: a Gaussian speed profile."""
    t = np.arange(-1, 1, 0.01)
    assert spectral_arc_length(np.exp(-5 * t**2), 0.01) == pytest.approx(-1.41403, abs=5e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("duration_s", [0.5, 1.0, 2.0])
def test_a_minimum_jerk_reach_has_an_arc_length_of_1_4_at_any_size_and_duration(scale, duration_s):
    """Its main lobe falls from 1 to 0.05 over a width of 1: at least sqrt(0.95^2 + 1) = 1.38, and bent a little."""
    assert spectral_arc_length(scale * reach_at(0.0, duration_s), 1 / 120) == pytest.approx(-1.40, abs=0.01)


def test_rest_before_and_after_changes_nothing():
    late = reach_at(2.0, 1.0)
    assert spectral_arc_length(late, 1 / 120) == pytest.approx(
        spectral_arc_length(reach_at(0.0, 1.0), 1 / 120), abs=0.01
    )


def test_each_further_submovement_lowers_the_arc_length():
    values = []
    for count in range(1, 5):
        speed = sum(reach_at(0.8 * i, 0.8) for i in range(count))
        values.append(spectral_arc_length(speed, 1 / 120))
    assert all(later < earlier - 0.2 for earlier, later in zip(values, values[1:], strict=False))


def test_a_tremble_lowers_the_arc_length():
    trembling = speed_of(MINIMUM_JERK) + 0.1 * np.sin(2 * np.pi * 8 * S[1:])
    assert spectral_arc_length(trembling, 1 / 2000) < spectral_arc_length(speed_of(MINIMUM_JERK), 1 / 2000) - 0.1


def test_rest_has_no_arc_length_and_what_is_no_speed_is_refused():
    assert spectral_arc_length(np.zeros(100), 1 / 120) is None
    assert spectral_arc_length(np.zeros(0), 1 / 120) is None
    for speed, dt_s in ((np.zeros((9, 2)), 0.1), (np.full(9, np.nan), 0.1), (np.ones(9), 0.0)):
        with pytest.raises(ShapeError, match="smoothness: got"):
            spectral_arc_length(speed, dt_s)
