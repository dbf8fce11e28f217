"""Looking while seeds are added: how often it misleads, and how many seeds a difference needs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.anytime import anytime_p, e_values, log_e_value
from so_arm_policy.evaluate.compare.pairs import Pairs, mcnemar_p
from so_arm_policy.evaluate.compare.power import mcnemar_power, seeds_needed

RUNS, SEEDS, ALPHA = 2000, 300, 0.05


def simulated(p_a: float, p_b: float, runs: int = RUNS) -> tuple[np.ndarray, np.ndarray]:
    """Successes of two controllers on many sequences of seeds, (runs, SEEDS) each; the same every time."""
    rng = np.random.default_rng(20)
    return rng.random((runs, SEEDS)) < p_a, rng.random((runs, SEEDS)) < p_b


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_fair_coin_wins_nothing_in_the_mean(a: int, b: int) -> None:
    """The martingale of the proof: the mean of the two next values is the present one."""
    now = log_e_value(a, b)
    after = [math.exp(log_e_value(a + 1, b) - now), math.exp(log_e_value(a, b + 1) - now)]
    assert sum(after) / 2 == pytest.approx(1.0, rel=1e-9)


def test_the_evidence_begins_at_one_and_ignores_agreement() -> None:
    assert log_e_value(0, 0) == 0.0
    assert e_values([True, False], [True, False]).tolist() == pytest.approx([1.0, 1.0])
    a, b = [True, True, False, True], [False, True, True, False]
    running = e_values(a, b)
    assert running == pytest.approx([math.exp(log_e_value(*counts)) for counts in [(1, 0), (1, 0), (1, 1), (2, 1)]])
    assert anytime_p([], []) == 1.0


def test_stopping_at_the_best_moment_misleads_seldom() -> None:
    """Equally good controllers, looked at after every seed and stopped at the first p <= 5 %: Ville's inequality."""
    a, b = simulated(0.8, 0.8)
    misled = sum(e_values(x, y).max() >= 1 / ALPHA for x, y in zip(a, b, strict=True))
    assert 0 < misled <= ALPHA * RUNS


def test_mcnemar_after_every_seed_misleads_often() -> None:
    """Why there is an always-valid test: the same simulation, with a p that is valid for one look only."""
    a, b = simulated(0.8, 0.8, runs=200)
    misled = 0
    for x, y in zip(a, b, strict=True):
        wins, losses = np.cumsum(x & ~y), np.cumsum(y & ~x)
        looks = [Pairs(both=0, only_a=int(w), only_b=int(v), neither=0) for w, v in zip(wins, losses, strict=True)]
        misled += any(mcnemar_p(pairs) <= ALPHA for pairs in looks)
    assert misled > 2 * ALPHA * 200


def test_a_large_difference_is_found() -> None:
    a, b = simulated(0.9, 0.7, runs=200)
    found = sum(anytime_p(x, y) <= ALPHA for x, y in zip(a, b, strict=True))
    assert found >= 0.99 * 200


def test_evidence_refuses_what_is_no_pair() -> None:
    with pytest.raises(ConfigError, match="evidence: got 1 and 2 episodes"):
        e_values([True], [True, False])
    with pytest.raises(ConfigError, match="evidence: got -1"):
        log_e_value(-1, 0)


def test_the_power_of_a_published_example() -> None:
    """O'Brien 2002, as in the manual of G*Power 3.1: one-sided 5 %, 50 pairs of 8 % and 32 %, power 0.839343.

    Two-sided at 10 % is one-sided at 5 % but for the other tail.
    """
    assert mcnemar_power(50, 0.08, 0.32, alpha=0.1) == pytest.approx(0.839343, abs=5e-5)


@pytest.mark.parametrize(("only_a", "only_b"), [(0.3, 0.05), (0.1, 0.1), (0.6, 0.4), (0.0, 0.2)])
def test_the_power_is_that_of_every_table_there_is(only_a: float, only_b: float) -> None:
    n, found = 20, 0.0
    for i in range(n + 1):
        for j in range(n + 1 - i):
            ways = math.factorial(n) // (math.factorial(i) * math.factorial(j) * math.factorial(n - i - j))
            chance = ways * only_a**i * only_b**j * (1 - only_a - only_b) ** (n - i - j)
            found += chance * (mcnemar_p(Pairs(both=n - i - j, only_a=i, only_b=j, neither=0)) <= ALPHA)
    assert mcnemar_power(n, only_a, only_b) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(("only_a", "only_b"), [(0.3, 0.05), (0.08, 0.03), (0.0, 0.05)])
def test_the_seeds_needed_are_just_enough(only_a: float, only_b: float) -> None:
    n = seeds_needed(only_a, only_b)
    assert n is not None
    assert mcnemar_power(n, only_a, only_b) >= 0.8 > mcnemar_power(n - 1, only_a, only_b)
    assert seeds_needed(only_b, only_a) == n
    assert seeds_needed(only_a, only_b, alpha=0.005) > n


def test_no_difference_is_never_seen() -> None:
    assert seeds_needed(0.1, 0.1, alpha=0.01) is None
    assert mcnemar_power(400, 0.1, 0.1) <= 0.05


@pytest.mark.parametrize(
    ("only_a", "only_b", "alpha"), [(0.0, 0.0, 0.05), (0.7, 0.4, 0.05), (0.1, float("nan"), 0.05), (0.1, 0.2, 1.0)]
)
def test_impossible_claims_are_refused(only_a: float, only_b: float, alpha: float) -> None:
    with pytest.raises(ConfigError, match="power: got"):
        seeds_needed(only_a, only_b, alpha)
    with pytest.raises(ConfigError, match="power: got"):
        mcnemar_power(10, only_a, only_b, alpha)
