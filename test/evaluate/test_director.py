"""Instructions one after another: the order is fair, no wait is without end, no try is cut short."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.director import Director, TaskReading, instruction_sequence
from so_arm_policy.evaluate.recording import Outcome

COLORS = ["touch the red cube", "touch the green cube", "touch the blue cube"]


def reading(instruction: str, success: bool = False, distance_m: float = 0.1) -> TaskReading:
    return TaskReading(instruction=instruction, distance_m=distance_m, success=success)


@given(seed=st.integers(0, 2**31), names=st.sets(st.text(min_size=1), min_size=2, max_size=5))
def test_the_order_changes_the_target_every_time_and_is_fair(seed: int, names: set[str]) -> None:
    rounds = 6
    order = list(itertools.islice(instruction_sequence(sorted(names), seed), rounds * len(names)))
    assert all(a != b for a, b in itertools.pairwise(order))
    assert all(order.count(name) == rounds for name in names)
    again = list(itertools.islice(instruction_sequence(sorted(names), seed), rounds * len(names)))
    assert order == again


def test_one_instruction_is_no_sequence() -> None:
    with pytest.raises(ConfigError, match="at least two"):
        next(instruction_sequence(["same", "same"], 0))


def test_moves_on_when_done() -> None:
    director = Director(iter(COLORS), 8.0, 60.0)
    assert director.update(0.0, None) is None
    assert director.instruction == COLORS[0]
    assert director.number == 1
    ended = director.update(2.5, reading(COLORS[0], success=True, distance_m=0.01))
    assert ended is not None
    assert (ended.outcome, ended.start_s, ended.end_s, ended.distance_m) == (Outcome.DONE, 0.0, 2.5, 0.01)
    assert director.instruction == COLORS[1]


def test_moves_on_when_the_time_is_over() -> None:
    director = Director(iter(COLORS), 8.0, 60.0)
    director.update(0.0, None)
    assert director.update(7.9, reading(COLORS[0])) is None
    ended = director.update(8.0, reading(COLORS[0], distance_m=0.07))
    assert ended is not None
    assert (ended.outcome, ended.distance_m) == (Outcome.FAILED, 0.07)


def test_a_reading_about_another_instruction_counts_for_nothing() -> None:
    director = Director(iter(COLORS), 8.0, 60.0)
    director.update(0.0, None)
    assert director.update(1.0, reading(COLORS[1], success=True)) is None
    ended = director.update(8.0, None)
    assert ended is not None
    assert ended.distance_m != ended.distance_m  # nan: nothing was heard


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), min_size=1, max_size=200))
def test_a_try_that_cannot_have_its_whole_time_does_not_count(steps: list[tuple[float, bool]]) -> None:
    limit_s, duration_s, now_s = 4.0, 30.0, 0.0
    director = Director(itertools.cycle(COLORS), limit_s, duration_s)
    for step_s, success in steps:
        told = director.instruction
        director.update(now_s, reading(told, success) if told else None)
        now_s += step_s
    for t in director.tries:
        assert (t.outcome is Outcome.LATE) == (t.start_s + limit_s > duration_s)
        assert t.outcome is not Outcome.FAILED or t.end_s - t.start_s >= limit_s
    assert [t.number for t in director.tries] == list(range(1, len(director.tries) + 1))
    if director.tries and director.tries[-1].end_s >= duration_s:
        assert director.instruction is None


def test_a_run_too_short_for_one_try_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8 s"):
        Director(iter(COLORS), 8.0, 5.0)
