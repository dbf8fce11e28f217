"""Intervals against published values, and what must hold for any counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.statistics import clopper_pearson_interval, mean, percentile, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_values_of_newcombe_1998_table_1(successes: int, trials: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, method 3."""
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_exact_values_of_newcombe_1998_table_1(successes: int, trials: int, low: float, high: float) -> None:
    """The same paper, method 5."""
    assert clopper_pearson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.9, 0.97])
def test_the_exact_interval_never_holds_the_rate_too_seldom(rate: float) -> None:
    n = 40
    held = sum(
        math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
        for k in range(n + 1)
        if clopper_pearson_interval(k, n)[0] <= rate <= clopper_pearson_interval(k, n)[1]
    )
    assert held >= 0.95


@given(st.integers(1, 10_000), st.data())
def test_it_holds_the_rate_stays_in_bounds_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=1e-12)


@given(st.integers(0, 100), st.integers(2, 50))
def test_more_trials_at_the_same_rate_say_more(percent: int, factor: int) -> None:
    few, many = wilson_interval(percent, 100), wilson_interval(percent * factor, 100 * factor)
    assert many[1] - many[0] < few[1] - few[0]


def test_nothing_tried_nothing_known() -> None:
    assert wilson_interval(0, 0) == clopper_pearson_interval(0, 0) == (0.0, 1.0)
    assert percentile([], 50) is None
    assert mean([]) is None
    assert percentile([1.0, 2.0, 3.0], 50) == mean([1.0, 2.0, 3.0]) == 2.0


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_impossible_counts_are_refused(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ConfigError, match="interval: got"):
        wilson_interval(successes, trials, confidence)
    with pytest.raises(ConfigError, match="interval: got"):
        clopper_pearson_interval(successes, trials, confidence)
