"""Where a learner reaches a baseline: on successes whose crossing is known."""

import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.crossing import crossing, first_reached, isotonic

COUNTS = (10, 100, 1000)


def successes(rates, seeds=50):
    """(K, n): the first seeds of n succeed, so that the share is the rate."""
    return np.array([np.arange(seeds) < round(rate * seeds) for rate in rates])


def test_isotonic_rates_are_those_of_scipy():
    rng = np.random.default_rng(3)
    rates = rng.random((40, 6))
    fitted = isotonic(rates)
    for row, expected in zip(fitted, rates, strict=True):
        assert row == pytest.approx(isotonic_regression(expected).x)
    rising = np.sort(rates, axis=1)
    assert np.array_equal(isotonic(rising).round(12), rising.round(12))
    assert (np.diff(fitted) >= -1e-12).all()


def test_between_counts_the_logarithm_is_what_counts():
    found = crossing("planner", COUNTS, successes([0.2, 0.6, 1.0]), successes([0.8])[0])
    assert found.at == pytest.approx(10**2.5)
    assert 100 < found.low < found.at < found.high <= 1000
    assert (found.first, found.last, found.seeds, found.never, found.before) == (10, 1000, 50, 0.0, 0.0)
    assert found.text.startswith("reaches planner (80.0 %) at 316 demonstrations (95 %: ")
    # What falls again is pooled: 0.6, 0.4 is twice 0.5.
    assert crossing("p", (1, 10, 100, 1000), successes([0.0, 0.6, 0.4, 0.9]), successes([0.7])[0]).at == (
        pytest.approx(10**2.5)
    )
    assert first_reached(np.array([0.0, 1.0, 2.0]), np.array([[0.1, 0.5, 0.5]]), np.array([0.5])) == [1.0]


def test_a_sure_crossing_has_no_width():
    found = crossing("expert", COUNTS, successes([0.0, 1.0, 1.0]), successes([1.0])[0])
    assert (found.at, found.low, found.high) == (100.0, 100.0, 100.0)


def test_where_it_never_crosses_the_direction_is_said():
    below = crossing("planner", COUNTS, successes([0.1, 0.3, 0.5]), successes([1.0])[0])
    assert (below.at, below.low, below.high, below.never) == (math.inf, math.inf, math.inf, 1.0)
    assert below.text == (
        "never reaches planner (100.0 %) up to 1000 demonstrations: below, -50.0 points at 1000 "
        "(95 %: >1000..>1000, 50 shared seeds)"
    )
    above = crossing("hold", COUNTS, successes([0.5, 0.6, 0.7]), successes([0.0])[0])
    assert (above.at, above.low, above.high, above.before) == (0.0, 0.0, 0.0, 1.0)
    assert above.text == "at or above hold (0.0 %) from 10 demonstrations on (95 %: <=10..<=10, 50 shared seeds)"


def test_a_doubtful_crossing_may_lie_beyond_the_counts():
    found = crossing("planner", COUNTS, successes([0.1, 0.5, 0.92]), successes([0.9])[0][::-1])
    assert 100 < found.at < 1000
    assert found.low < found.at
    assert found.high == math.inf
    assert 0.025 < found.never < 0.5
    assert ">1000" in found.text


def test_within_a_margin_is_sooner():
    learned, level = successes([0.2, 0.6, 1.0]), successes([0.8])[0]
    near = crossing("planner", COUNTS, learned, level, margin=0.1)
    assert near.at == pytest.approx(10**2.25)
    assert near.level == pytest.approx(0.7)
    assert "within 10 points of planner (80.0 %)" in near.text


def test_seeds_are_drawn_with_the_baseline():
    """On seeds that are easy and hard for both, the learner of 100 equals the baseline whatever seeds are drawn."""
    level = successes([0.5])[0]
    same = crossing("twin", COUNTS, np.array([level & False, level, level]), level)
    assert (same.at, same.low, same.high) == (100.0, 100.0, 100.0)
    other = crossing("stranger", COUNTS, np.array([level & False, level, level]), level[::-1])
    assert other.low < 100.0
    assert other.high == math.inf


def test_the_interval_mostly_holds_the_truth():
    """Success that grows from 0.2 to 0.9 along the logarithm, against 0.6: crossed at 10 ** (1 + 2 * 4 / 7)."""
    truth, counts = 10 ** (1 + 2 * 4 / 7), (10, 32, 100, 316, 1000)
    rates = np.linspace(0.2, 0.9, 5)
    rng = np.random.default_rng(11)
    holds = 0
    for _ in range(20):
        found = crossing("p", counts, rng.random((5, 60)) < rates[:, None], rng.random(60) < 0.6)
        holds += found.low <= truth <= found.high
    assert holds >= 17


def test_one_seed_says_nothing():
    found = crossing("p", COUNTS, successes([0, 1, 1], 1), successes([1.0], 1)[0])
    assert (found.at, found.low, found.high) == (100.0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("counts", "shape", "margin", "message"),
    [
        ((10, 100), (3, 5), 0.0, r"got successes of shape \(3, 5\) for 2 counts and 5 seeds"),
        ((10, 10, 20), (3, 5), 0.0, r"got counts \[10, 10, 20\], expected positive ones that grow"),
        ((0, 10, 20), (3, 5), 0.0, "expected positive ones that grow"),
        (COUNTS, (3, 0), 0.0, "expected .counts, seeds., some of each"),
        (COUNTS, (3, 5), float("nan"), "got a margin of nan"),
    ],
)
def test_what_does_not_fit_is_refused(counts, shape, margin, message):
    with pytest.raises(ConfigError, match=message):
        crossing("p", counts, np.zeros(shape, dtype=bool), np.zeros(shape[1], dtype=bool), margin)
