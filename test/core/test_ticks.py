"""The tick loop, on a clock that the test moves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.ticks import BIN_NS, Histogram, Tick, TickLoop, percentile_ms

PERIOD_NS = 1_000_000_000 // 120


class FakeTime:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_123
        self.oversleep_ns = 0

    def now(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9) + self.oversleep_ns


def run(works_ns: list[int], oversleep_ns: int = 0, phase: float = 0.0) -> tuple[TickLoop, list[Tick]]:
    time, seen = FakeTime(), []
    time.oversleep_ns = oversleep_ns
    works = iter(works_ns)

    def work(tick: Tick) -> None:
        seen.append(tick)
        time.now_ns += next(works)

    loop = TickLoop(work, phase=phase, now_ns=time.now, sleep=time.sleep)
    loop.run(ticks=len(works_ns))
    return loop, seen


def test_quick_work_misses_nothing_and_never_drifts():
    loop, seen = run([1_000_000] * 600)
    assert (loop.ticks, loop.missed) == (600, 0)
    assert [t.index for t in seen] == list(range(1, 601))
    assert seen[-1].due_ns - seen[0].due_ns == pytest.approx(599 / 120 * 1e9, abs=2)


def test_oversleeping_is_lateness_and_does_not_add_up():
    loop, seen = run([0] * 240, oversleep_ns=700_000)
    assert loop.missed == 0
    assert {t.now_ns - t.due_ns for t in seen} <= {699_999, 700_000, 700_001}
    assert loop.report().p50_ms == pytest.approx(0.7, abs=0.02)


def test_a_tick_overtaken_by_one_period_runs_late_and_is_not_missed():
    loop, seen = run([int(1.5 * PERIOD_NS), 0, 0])
    assert [t.index for t in seen] == [1, 2, 3]
    assert loop.missed == 0
    assert seen[1].now_ns - seen[1].due_ns == pytest.approx(PERIOD_NS / 2, abs=10)


def test_a_long_stall_is_counted_and_followed_by_one_tick_not_a_burst():
    loop, seen = run([10 * PERIOD_NS + 1000, 0, 0])
    assert [t.index for t in seen] == [1, 11, 12]
    assert loop.missed == 9


@given(st.lists(st.integers(0, 6 * PERIOD_NS), min_size=1, max_size=40))
def test_ticks_and_missed_ticks_together_are_the_whole_grid(works_ns):
    loop, seen = run([*works_ns, 0])
    assert loop.ticks + loop.missed == seen[-1].index
    assert all(t.now_ns >= t.due_ns for t in seen)
    assert all(a.index < b.index for a, b in zip(seen, seen[1:], strict=False))


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.999])
def test_ticks_lie_at_their_phase_of_the_machines_periods_whenever_the_loop_began(phase):
    loop, seen = run([0, 3 * PERIOD_NS, 0], phase=phase)
    off = [(t.due_ns * 120 / 1e9 - phase + 0.5) % 1.0 - 0.5 for t in seen]
    assert off == pytest.approx([0.0] * 3, abs=1e-6)
    assert 0 < seen[0].due_ns - FakeTime().now_ns <= PERIOD_NS + 1


@pytest.mark.parametrize("phase", [-0.1, 1.0, math.nan])
def test_a_phase_outside_of_a_period_is_refused(phase):
    with pytest.raises(ConfigError, match="expected 0 to below 1"):
        TickLoop(lambda tick: None, phase=phase)


def test_stop_ends_the_loop_and_errors_come_through():
    loop = TickLoop(lambda tick: loop.stop(), now_ns=(time := FakeTime()).now, sleep=time.sleep)
    loop.run()
    assert loop.ticks == 1

    def broken(tick: Tick) -> None:
        raise ValueError("from work")

    with pytest.raises(ValueError, match="from work"):
        TickLoop(broken, now_ns=time.now, sleep=time.sleep).run()


def test_a_rate_no_grid_has_is_refused():
    with pytest.raises(ConfigError, match="expected 1..10000"):
        TickLoop(lambda tick: None, rate_hz=0)


@given(st.lists(st.integers(-1000, 60_000_000), min_size=1, max_size=200), st.sampled_from([0, 50, 99, 100]))
def test_histogram_percentiles_are_within_a_bin_of_the_exact_ones(durations_ns, percent):
    histogram = Histogram()
    for duration in durations_ns:
        histogram.add(duration)
    ordered = sorted(max(d, 0) for d in durations_ns)
    exact = ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]
    if exact < 49_000_000:
        assert exact <= histogram.percentile_ms(percent) * 1e6 + BIN_NS
        assert histogram.percentile_ms(percent) * 1e6 <= exact + BIN_NS
    assert histogram.count == len(durations_ns)
    assert sum(histogram.sparse().values()) == len(durations_ns)


def test_an_empty_histogram_has_no_percentile_and_nonsense_is_refused():
    assert math.isnan(Histogram().percentile_ms(99))
    with pytest.raises(ConfigError, match="expected 0..100"):
        percentile_ms({1: 1}, 101.0)
