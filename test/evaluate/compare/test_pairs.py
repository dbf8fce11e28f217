"""Paired tests against published values, and what must hold for any counts."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.bootstrap import mean_interval
from so_arm_policy.evaluate.compare.holm import holm
from so_arm_policy.evaluate.compare.pairs import Pairs, difference_interval, mcnemar_p
from so_arm_policy.evaluate.compare.verdicts import A_BETTER, B_BETTER, NOT_DISTINGUISHABLE, judge, verdict

COUNTS = st.builds(
    Pairs,
    both=st.integers(0, 60),
    only_a=st.integers(0, 60),
    only_b=st.integers(0, 60),
    neither=st.integers(0, 60),
)


def mirrored(pairs: Pairs) -> Pairs:
    return Pairs(both=pairs.both, only_a=pairs.only_b, only_b=pairs.only_a, neither=pairs.neither)


def test_pairs_are_counted() -> None:
    a, b = [True, True, True, False, False], [True, False, False, True, False]
    pairs = Pairs.of(a, b)
    assert pairs == Pairs(both=1, only_a=2, only_b=1, neither=1)
    assert pairs.seeds == 5
    assert pairs.difference == pytest.approx(3 / 5 - 2 / 5)
    with pytest.raises(ConfigError, match="pairs: got 1 and 0 episodes"):
        Pairs.of([True], [])
    with pytest.raises(ConfigError, match="at least 0"):
        Pairs(both=0, only_a=-1, only_b=0, neither=0)


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        # Cavo et al. 2012, as in the tests of the R package contingencytables (Newcombe_square_and_add_CI_paired_2x2).
        (Pairs(both=59, only_a=6, only_b=16, neither=80), -0.1186, -0.0046),
        # Bentur et al. 2009, in Fagerland, Lydersen and Laake 2014.
        (Pairs(both=1, only_a=1, only_b=7, neither=12), -0.507, -0.026),
        # Altman, Machin, Bryant and Gardner, "Statistics with confidence", 2000, page 52.
        (Pairs(both=14, only_a=5, only_b=0, neither=22), 0.011, 0.226),
    ],
)
def test_published_intervals_of_differences(pairs: Pairs, low: float, high: float) -> None:
    assert difference_interval(pairs) == pytest.approx((low, high), abs=6e-4)


def test_the_interval_holds_the_difference_about_as_often_as_it_says() -> None:
    """Every table of 25 seeds, weighted by its probability: both succeed on 60 %, A alone on 20 %, B alone on 10 %."""
    n, (both, only_a, only_b) = 25, (0.6, 0.2, 0.1)
    held = 0.0
    for i, j, k in product(range(n + 1), repeat=3):
        rest = n - i - j - k
        if rest < 0:
            continue
        low, high = difference_interval(Pairs(both=i, only_a=j, only_b=k, neither=rest))
        if low <= only_a - only_b <= high:
            ways = math.factorial(n) // math.prod(map(math.factorial, (i, j, k, rest)))
            held += ways * both**i * only_a**j * only_b**k * (1 - both - only_a - only_b) ** rest
    assert 0.94 <= held <= 0.99


@given(COUNTS)
def test_the_interval_holds_what_was_measured_and_mirrors(pairs: Pairs) -> None:
    low, high = difference_interval(pairs)
    assert -1.0 <= low <= pairs.difference + 1e-12
    assert pairs.difference - 1e-12 <= high <= 1.0
    assert difference_interval(mirrored(pairs)) == pytest.approx((-high, -low), abs=1e-12)


def test_mcnemar_of_a_published_table() -> None:
    """Bentur et al. 2009, 1 against 7: Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013."""
    assert mcnemar_p(Pairs(both=1, only_a=1, only_b=7, neither=12)) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar_p(Pairs(both=9, only_a=0, only_b=0, neither=1)) == 1.0


@given(COUNTS)
def test_mcnemar_sums_the_coin_tosses_and_takes_no_sides(pairs: Pairs) -> None:
    n, k = pairs.discordant, min(pairs.only_a, pairs.only_b)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar_p(pairs) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    assert mcnemar_p(mirrored(pairs)) == mcnemar_p(pairs)


def test_holm_of_a_worked_example() -> None:
    """Four tests: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 but never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    with pytest.raises(ConfigError, match="within 0..1"):
        holm([float("nan")])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_the_closed_test_rejects(p_values: list[float]) -> None:
    """A hypothesis falls when Bonferroni rejects every intersection that holds it (Marcus, Peritz and Gabriel 1976)."""
    number = range(len(p_values))
    for index, corrected in enumerate(holm(p_values)):
        groups = [g for size in range(1, len(p_values) + 1) for g in combinations(number, size) if index in g]
        assert corrected == pytest.approx(max(min(1.0, len(g) * min(p_values[i] for i in g)) for g in groups))


def test_a_verdict_needs_the_corrected_p() -> None:
    pairs = Pairs(both=10, only_a=9, only_b=1, neither=0)
    assert verdict(pairs, 0.05) == A_BETTER
    assert verdict(mirrored(pairs), 0.05) == B_BETTER
    assert verdict(pairs, 0.0501) == NOT_DISTINGUISHABLE
    with pytest.raises(ConfigError, match="within 0..1"):
        verdict(pairs, float("nan"))


def test_couples_are_judged_together() -> None:
    good, bad, fair = [True] * 40, [False] * 12 + [True] * 28, [True] * 39 + [False]
    alone = judge([(good, bad)])[0]
    clear, mirrored_one, unclear = judge([(good, bad), (bad, good), (good, fair)])
    assert (alone.verdict, alone.p_holm) == (A_BETTER, alone.p)
    assert (clear.verdict, mirrored_one.verdict, unclear.verdict) == (A_BETTER, B_BETTER, NOT_DISTINGUISHABLE)
    assert clear.p_holm == pytest.approx(3 * alone.p)
    assert clear.difference == pytest.approx(0.3)
    assert 0.0 < clear.low < 0.3 < clear.high
    assert alone.p < alone.p_anytime < 0.05
    assert unclear.p_anytime == 1.0


def test_many_equal_couples_are_seldom_told_apart() -> None:
    """Ten pairs of equally good controllers, 300 times: one or more false verdicts in at most 5 % of the families."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        results = rng.random((5, 60)) < 0.7
        found = judge([(results[i].tolist(), results[j].tolist()) for i, j in combinations(range(5), 2)])
        wrong += any(pair.verdict != NOT_DISTINGUISHABLE for pair in found)
    assert wrong <= 15


def test_the_bootstrap_agrees_with_the_normal_interval_where_that_is_right() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 400)
    low, high = mean_interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert mean_interval(values.tolist()) == (low, high)
    assert mean_interval((values + 1).tolist()) == pytest.approx((low + 1, high + 1))
    assert mean_interval([0.2]) is None
    assert mean_interval([0.25, 0.25]) == (0.25, 0.25)
    with pytest.raises(ConfigError, match="finite"):
        mean_interval([0.1, float("nan")])
