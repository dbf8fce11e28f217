"""Instructions one after another: the order is fair, no wait is without end, no try is cut short."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.director import GRACE_S, Director, Order, TaskReading, instruction_sequence
from so_arm_policy.evaluate.recording import Outcome

COLORS = ["touch the red cube", "touch the green cube", "touch the blue cube"]


def reading(instruction: str, time_s: float = 1.0, done_s: float | None = None, seed: int = 0) -> TaskReading:
    return TaskReading(seed=seed, instruction=instruction, distance_m=0.07, time_s=time_s, done_s=done_s)


def begun(duration_s: float = 60.0) -> Director:
    director = Director(8.0, duration_s)
    director.begin(0.0, Order(COLORS[0], 0))
    return director


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


def test_ends_when_done() -> None:
    director = begun()
    assert director.number == 1
    ended = director.update(2.5, reading(COLORS[0], done_s=2.4))
    assert ended is not None
    assert (ended.outcome, ended.start_s, ended.end_s, ended.distance_m) == (Outcome.DONE, 0.0, 2.5, 0.07)
    assert director.order is None
    assert director.update(2.6, reading(COLORS[0], done_s=2.4)) is None
    director.begin(3.0, Order(COLORS[1], 5))
    assert director.number == 2
    ended = director.update(4.0, reading(COLORS[1], done_s=0.9, seed=5))
    assert ended is not None
    assert (ended.outcome, ended.seed) == (Outcome.DONE, 5)


def test_ends_when_the_judge_s_time_is_over() -> None:
    director = begun()
    assert director.update(8.05, reading(COLORS[0], time_s=7.9)) is None
    ended = director.update(8.1, reading(COLORS[0], time_s=8.0))
    assert ended is not None
    assert (ended.outcome, ended.distance_m) == (Outcome.FAILED, 0.07)


def test_done_with_the_last_tick_is_done_however_late_that_is_heard() -> None:
    ended = begun().update(8.4, reading(COLORS[0], time_s=8.3, done_s=8.0))
    assert ended is not None
    assert ended.outcome is Outcome.DONE
    ended = begun().update(8.4, reading(COLORS[0], time_s=8.3, done_s=8.1))
    assert ended is not None
    assert ended.outcome is Outcome.FAILED


def test_a_slow_simulator_takes_longer_than_the_clock() -> None:
    director = begun()
    for now_s in range(1, 16):
        assert director.update(float(now_s), reading(COLORS[0], time_s=now_s / 2)) is None
    ended = director.update(16.0, reading(COLORS[0], time_s=8.0))
    assert ended is not None
    assert ended.outcome is Outcome.FAILED


def test_a_judge_that_fell_silent_ends_the_try() -> None:
    director, last = begun(), reading(COLORS[0], time_s=2.0)
    assert director.update(3.0, last) is None
    assert director.update(3.0 + 8.0, last) is None
    assert director.update(3.0 + 8.0 + GRACE_S, last) is not None


def test_what_the_end_of_the_run_cuts_off_has_failed_unless_it_began_too_late() -> None:
    director = begun(duration_s=12.0)
    director.update(11.0, reading(COLORS[0], time_s=5.0))
    ended = director.finish(12.0)
    assert ended is not None
    assert (ended.outcome, ended.end_s) == (Outcome.FAILED, 12.0)
    assert director.finish(12.0) is None
    director.begin(11.9, Order(COLORS[1], 0))
    assert director.finish(12.0) is None


@pytest.mark.parametrize("other", [{"instruction": COLORS[1]}, {"instruction": COLORS[0], "seed": 1}])
def test_a_reading_about_something_else_counts_for_nothing(other: dict[str, object]) -> None:
    director = begun()
    assert director.update(1.0, reading(done_s=1.0, **other)) is None  # type: ignore[arg-type]
    assert director.update(8.5, None) is None
    ended = director.update(8.0 + GRACE_S, None)
    assert ended is not None
    assert ended.outcome is Outcome.FAILED
    assert ended.distance_m != ended.distance_m  # nan: nothing was heard


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), min_size=1, max_size=200))
def test_a_try_that_cannot_have_its_whole_time_does_not_count(steps: list[tuple[float, bool]]) -> None:
    limit_s, duration_s, now_s = 4.0, 30.0, 0.0
    director, orders = Director(limit_s, duration_s), itertools.cycle(COLORS)
    for step_s, success in steps:
        if director.order is None:
            director.begin(now_s, Order(next(orders), 0))
        told, began_s = director.order, now_s
        now_s += step_s
        assert told is not None
        director.update(now_s, reading(told.instruction, 0.5, done_s=now_s - began_s if success else None))
    for t in director.tries:
        assert (t.outcome is Outcome.LATE) == (t.start_s + limit_s + GRACE_S > duration_s)
        assert t.outcome is not Outcome.FAILED or t.end_s - t.start_s >= limit_s
    assert [t.number for t in director.tries] == list(range(1, len(director.tries) + 1))


def test_a_run_too_short_for_one_try_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 9 s"):
        Director(8.0, 8.5)
