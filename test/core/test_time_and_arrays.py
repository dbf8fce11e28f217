"""The tick grid, arrays and paths."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from so_arm_policy.core.arrays import frozen, vector
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.timegrid import NS, TimeGrid

rates = st.integers(1, 10_000)
origins = st.integers(0, 2 * 10**18)


@given(origins, rates, st.integers(-10, 10**10))
def test_the_grid_does_not_drift(origin, rate, tick):
    grid = TimeGrid(origin_ns=origin, rate_hz=rate)
    exact = origin * rate + tick * NS
    assert 0 <= exact - grid.due_ns(tick) * rate < rate
    assert grid.due_ns(tick + rate) - grid.due_ns(tick) == NS


@given(origins, rates, st.integers(0, 10**15))
def test_the_newest_due_tick(origin, rate, later):
    grid = TimeGrid(origin_ns=origin, rate_hz=rate)
    tick = grid.tick_at(origin + later)
    assert grid.due_ns(tick) <= origin + later < grid.due_ns(tick + 1)


@given(rates, st.integers(0, 10**9))
def test_every_tick_is_found_at_its_own_time(rate, tick):
    grid = TimeGrid(origin_ns=17, rate_hz=rate)
    assert grid.tick_at(grid.due_ns(tick)) == tick
    assert grid.tick_at(grid.due_ns(tick) - 1) == tick - 1
    assert grid.period_ns == NS // rate


@pytest.mark.parametrize("rate", [0, -1, 10_001])
def test_a_rate_nobody_can_keep_is_refused(rate):
    with pytest.raises(ConfigError, match="expected 1..10000"):
        TimeGrid(origin_ns=0, rate_hz=rate)


def test_arrays_are_checked_copies():
    source = np.zeros((2, 3), dtype=np.float32)
    made = frozen(source, (None, 3))
    source[:] = 1.0
    assert made.dtype == np.float64
    assert not made.any()
    with pytest.raises(ValueError, match="read-only"):
        made[0, 0] = 1.0


@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 3, 1), (None, None, None)])
def test_a_wrong_shape_says_got_and_expected(shape):
    with pytest.raises(ShapeError, match=r"pose: got shape \(2, 3\), expected"):
        frozen(np.zeros((2, 3)), shape, "pose")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(ShapeError, match="not finite"):
        vector([0.0, value])


def test_shipped_files_are_found_and_others_listed(tmp_path):
    assert find_shipped("config", "safety.yaml").is_file()
    assert find_shipped("config", str(tmp_path)) == tmp_path
    with pytest.raises(ConfigError, match=r"'savety.yaml'.*safety.yaml"):
        find_shipped("config", "savety.yaml")
