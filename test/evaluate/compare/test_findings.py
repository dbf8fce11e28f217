"""What is said of a task: winners, ties, and what no seed can say."""

from dataclasses import replace

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.page.findings import CAMERA_ONLY, EVERYONE, claim, claims_of, findings, power_rows
from so_arm_policy.evaluate.compare.page.quality import SUCCESS, best, sign_tests
from so_arm_policy.evaluate.compare.power import mcnemar_power
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.summary import compare_pairs, summarise


def episodes(name: str, successes: int, *, of: int = 40, first: int = 0, sees: str = "cameras", time_s: float = 2.0):
    """Rows of one controller that succeeds on its first seeds."""
    return [
        EpisodeRow(
            task="reach",
            controller=name,
            family="hand-crafted",
            sees=sees,
            robot="so101",
            seed=first + i,
            instruction="reach",
            success=i < successes,
            time_s=time_s + 0.01 * (i % 5) if i < successes else None,
            failure_stage=None if i < successes else "approach",
            failure_reason=None if i < successes else "timeout",
        )
        for i in range(of)
    ]


def found(*rows: EpisodeRow):
    return findings(summarise(rows, []), compare_pairs(rows))


def test_a_claim_is_the_same_seen_from_either_side() -> None:
    (couple,) = compare_pairs([*episodes("a", 38, time_s=2.0), *episodes("b", 20, time_s=3.0)])
    a, b = claim(couple, "a"), claim(couple, "b")
    assert (a.difference, a.low, a.high) == (-b.difference, -b.high, -b.low)
    assert (a.only_first, a.only_second) == (b.only_second, b.only_first) == (18, 0)
    assert a.better == b.better == "a"
    assert a.time_s.mean == -b.time_s.mean == pytest.approx(-1.0)
    assert a.time_s.low == -b.time_s.high
    assert a.difference == 45.0
    with pytest.raises(ConfigError, match="got 'c', expected 'a' or 'b'"):
        claim(couple, "c")


def test_a_clear_winner_wins() -> None:
    (finding,) = found(*episodes("b", 20), *episodes("a", 38), *episodes("c", 0))
    assert finding.lead == "a wins: 38 of 40 (95.0 %)."
    assert finding.text == "a beats b and c by at least 45.0 points."
    assert [each.second for each in finding.claims] == ["b", "c"]


def test_what_cannot_be_told_apart_is_not_told_apart() -> None:
    (finding,) = found(*episodes("b", 38), *episodes("a", 37), *episodes("c", 5))
    assert finding.lead == "No single winner."
    assert finding.text.startswith("a (37/40) is not distinguishable from b (38/40); b beats c by 82.5 points.")
    (finding,) = found(*episodes("b", 38), *episodes("a", 37))
    assert finding.lead == "No difference found."


def test_the_same_sight_is_judged_apart() -> None:
    rows = [*episodes("seer", 40, sees="privileged"), *episodes("a", 30), *episodes("b", 5)]
    everyone, fair = found(*rows)
    assert (everyone.scope, everyone.lead) == (EVERYONE, "seer wins: 40 of 40 (100.0 %).")
    assert (fair.scope, fair.lead) == (CAMERA_ONLY, "a wins: 30 of 40 (75.0 %).")


def test_without_shared_seeds_nobody_wins() -> None:
    (finding,) = found(*episodes("a", 40), *episodes("b", 0, first=100))
    assert finding.lead == "No single winner."
    assert finding.text == "a shares no seed with b."
    (alone,) = found(*episodes("a", 40))
    assert alone.lead == "Only a was run: 40 of 40 (100.0 %)."
    (broken,) = found(*[replace(row, success=False, failure_stage="setup") for row in episodes("a", 40)])
    assert broken.lead == "Nothing could be run."


def test_every_pair_has_its_claim_the_better_first() -> None:
    rows = [*episodes("z", 40), *episodes("m", 20), *episodes("a", 0)]
    claims = claims_of("reach", summarise(rows, []), compare_pairs(rows))
    assert [(each.first, each.second) for each in claims] == [("z", "m"), ("z", "a"), ("m", "a")]
    assert all(each.difference > 0 for each in claims)


def test_the_note_on_power_is_that_of_the_test() -> None:
    couples = compare_pairs([*episodes("b", 38), *episodes("a", 34), *episodes("c", 0)])
    share, rows = power_rows("reach", couples)
    assert share == pytest.approx(4 / 40)
    for row in rows:
        apart = max(row.points / 100, share)
        only = (apart + row.points / 100) / 2, (apart - row.points / 100) / 2
        assert mcnemar_power(row.seeds, *only, alpha=0.05 / 3) >= 0.8 > mcnemar_power(row.seeds - 1, *only, 0.05 / 3)
    assert [row.seeds for row in rows] == sorted((row.seeds for row in rows), reverse=True)
    assert power_rows("track", couples) == (0.0, [])


def test_the_quicker_is_marked_only_where_the_sign_test_says_so() -> None:
    rows = [*episodes("a", 40, time_s=2.0), *episodes("b", 40, time_s=3.0)]
    (test,) = [each for each in sign_tests(rows) if each.metric == "time_s"]
    assert (test.a_better, test.b_better, test.better) == (40, 0, "a")
    # Three metrics are judged together; the two that were not measured have no seeds that tell.
    assert test.p_holm == pytest.approx(3 * 2 / 2**40)
    assert best(summarise(rows, []), compare_pairs(rows), sign_tests(rows)) == {("reach", "a", "time_s")}
    few = [row for row in rows if row.seed < 5]
    assert best(summarise(few, []), compare_pairs(few), sign_tests(few)) == set()


def test_one_that_is_as_quick_takes_the_mark_away() -> None:
    rows = [*episodes("a", 40, time_s=2.0), *episodes("b", 40, time_s=3.0), *episodes("c", 40, time_s=2.0)]
    assert best(summarise(rows, []), compare_pairs(rows), sign_tests(rows)) == set()
    rows = [*episodes("a", 40, time_s=3.0), *episodes("b", 10, time_s=2.0)]
    marks = best(summarise(rows, []), compare_pairs(rows), sign_tests(rows))
    assert marks == {("reach", "a", SUCCESS), ("reach", "b", "time_s")}
