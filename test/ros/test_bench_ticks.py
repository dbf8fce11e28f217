"""How bench/ticks.py turns times of events into punctuality."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from ticks_loops import PERIOD_NS, arrival_figures, timer_figures  # noqa: E402


@pytest.fixture
def even():
    """Two thousand events, each up to about half a millisecond after its place on the grid."""
    late_ns = np.random.default_rng(0).exponential(5e4, 2000).clip(max=5e5)
    return [int(5e9 + k * PERIOD_NS + late) for k, late in enumerate(late_ns)]


def test_even_events_miss_nothing_and_are_a_little_late(even):
    figures = arrival_figures(even)
    assert (figures["ticks"], figures["missed"]) == (2000, 0)
    assert figures["rate_hz"] == pytest.approx(120.0, abs=0.01)
    assert max(figures["bins"]) <= 51


def test_a_burst_after_a_stall_is_late_and_not_missing(even):
    times = [t if not 100 <= k < 106 else even[106] for k, t in enumerate(even)]
    figures = arrival_figures(times)
    assert figures["missed"] == 0
    assert sorted(figures["bins"])[-1] * 1e4 == pytest.approx(6 * PERIOD_NS, rel=0.05)


def test_events_that_never_came_are_missing_and_not_late(even):
    figures = arrival_figures(even[:100] + even[105:])
    assert figures["missed"] == 5
    assert max(figures["bins"]) <= 51


def test_a_timer_that_stalled_ran_late_once_and_left_out_the_rest(even):
    times = even[:100] + [even[105] + 3_000_000] + even[106:]
    figures = timer_figures(times)
    assert figures["missed"] == 5
    assert sorted(figures["bins"])[-1] * 1e4 == pytest.approx(5 * PERIOD_NS + 3e6, rel=0.05)
    assert sorted(figures["bins"])[-2] <= 51
