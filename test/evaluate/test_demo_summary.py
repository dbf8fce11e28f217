"""Figures from recordings whose right answer is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.demo_summary import kill_text, rate_hz, summarise_demo, table
from so_arm_policy.evaluate.recorder import NodeHistory, Recorder
from so_arm_policy.evaluate.recording import Kill, ModeChange, Outcome, Recording, Series, Try
from so_arm_policy.sim.scene import random_scene

DURATION_S = 10.0
KILL_S, STAND_S, BACK_S = 4.0, 4.09, 6.5


@pytest.fixture
def recording(robot: RobotConfig) -> Recording:
    """An arm that moves, stands from STAND_S to BACK_S, and moves again; system1's chunks stop in between."""
    recorder = Recorder(robot, random_scene(0), state_size=3)
    q = np.zeros(len(robot.joints))
    for tick in range(round(DURATION_S * CONTROL_HZ)):
        time_s = tick / CONTROL_HZ
        if not STAND_S < time_s < BACK_S:
            q = q + 0.01
        recorder.command(time_s, q)
        if not KILL_S < time_s < BACK_S:
            recorder.chunk(time_s, context_age_s=0.1)
    tries = tuple(
        Try(number=i + 1, instruction="x", seed=0, start_s=s, end_s=s + 2.0, outcome=Outcome.DONE, distance_m=0.0)
        for i, s in enumerate((0.0, 2.0, 4.0, 6.0, 8.0))
    )
    finished = recorder.finish(
        bundle_id="b", source="system1", task="reach", seed=0, duration_s=DURATION_S, tries=tries, kills=(), nodes=()
    )
    modes = (
        ModeChange(time_s=0.0, mode="ACTIVE", reason=""),
        ModeChange(time_s=KILL_S + 0.06, mode="HOLD", reason="nothing new"),
        ModeChange(time_s=BACK_S + 0.2, mode="ACTIVE", reason=""),
    )
    return replace(finished, modes=modes, kills=(Kill(node="system1", time_s=KILL_S),))


def test_a_kill_is_told_as_it_was(recording: Recording) -> None:
    (effect,) = summarise_demo(recording).kills
    assert effect.hold_s == pytest.approx(0.06)
    assert effect.still_s == pytest.approx(STAND_S - KILL_S, abs=1.01 / CONTROL_HZ)
    assert effect.back_s == pytest.approx(BACK_S - KILL_S, abs=1.01 / CONTROL_HZ)
    assert effect.resumed_s == pytest.approx(BACK_S - KILL_S + 0.2)
    assert (effect.held, effect.tasks_after) == ("nothing new", 2)
    assert "hold declared after 60 ms" in kill_text(effect)
    assert "back after 2.5 s, followed again after 2.7 s, 2 tasks done after that" in kill_text(effect)


def test_a_stop_is_named(recording: Recording) -> None:
    stop = ModeChange(time_s=7.04, mode="ESTOP", reason="elbow_flex: blocked")
    summary = summarise_demo(replace(recording, modes=(*recording.modes, stop)))
    assert summary.stops == ("at 7.0 s: elbow_flex: blocked",)
    assert "at 7.0 s: elbow_flex: blocked" in [row.note for row in table(summary)]
    assert summarise_demo(recording).stops == ()


def test_a_kill_that_the_motion_outlives_needs_no_stop(recording: Recording) -> None:
    killed = replace(recording, kills=(Kill(node="system1", time_s=7.0),), modes=())
    (effect,) = summarise_demo(killed).kills
    assert (effect.hold_s, effect.still_s) == (None, None)
    assert "the command never had to stop" in kill_text(effect)


def test_a_node_that_stays_away_is_named_so(recording: Recording) -> None:
    effect = summarise_demo(replace(recording, kills=(Kill(node="wrist_camera", time_s=KILL_S),))).kills[0]
    assert effect.back_s is None
    assert "never back" in kill_text(effect)


def test_an_arm_that_stood_already_says_so(recording: Recording) -> None:
    effect = summarise_demo(replace(recording, kills=(Kill(node="system1", time_s=5.0),))).kills[0]
    assert effect.still_s == 0.0


def test_a_supervisor_killed_on_purpose_does_not_count_as_slow(recording: Recording) -> None:
    times = recording.arrivals["joint_command"]
    away = (times > KILL_S) & (times < KILL_S + 1.0)
    arrivals = {**recording.arrivals, "joint_command": times[~away]}
    hurt = replace(recording, arrivals=arrivals, kills=())
    assert summarise_demo(hurt).command_hz == pytest.approx(CONTROL_HZ * 0.9, rel=2e-3)
    on_purpose = replace(hurt, kills=(Kill(node="safety_supervisor", time_s=KILL_S),))
    assert "robot side held by itself" in kill_text(summarise_demo(on_purpose).kills[0])
    assert summarise_demo(on_purpose).command_hz == pytest.approx(CONTROL_HZ)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=50))
def test_rate_is_intervals_over_time(intervals: list[float]) -> None:
    times = np.cumsum([0.0, *intervals])
    assert rate_hz(times) == pytest.approx(len(intervals) / sum(intervals))


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0]])
def test_too_few_messages_have_no_rate(times: list[float]) -> None:
    assert rate_hz(np.array(times)) is None


@given(
    before=st.integers(0, 100),
    runs=st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=6), min_size=1, max_size=4),
)
def test_counters_go_on_across_restarts(before: int, runs: list[list[int]]) -> None:
    """Each run counts up from zero by the given steps; the first one had counted `before` when the recording began."""
    history = NodeHistory("system1")

    def hear(ticks: int, recording: bool) -> None:
        bins = json.dumps({"3": ticks})
        history.hear({"ticks": str(ticks), "ticks_missed": "0", "lateness_histogram_10us": bins}, recording)

    hear(before, recording=False)
    expected, count = 0, before
    for number, steps in enumerate(runs):
        if number:
            # A restart shows as a count below the last one; one that overtook it cannot be told from going on.
            last, count = count, 0
            steps = [min(steps[0], last - 1), *steps[1:]] if last > 1 else []
        for step in steps:
            count, expected = count + step, expected + step
            hear(count, recording=True)
    record = history.record(starts=len(runs), rss_mib=1.0)
    assert record.ticks == expected
    assert record.missed == 0
    assert sum(record.lateness.values()) == expected


def test_diagnostics_that_make_no_sense_count_for_nothing() -> None:
    history = NodeHistory("system1")
    for facts in ({}, {"ticks": "many"}, {"lateness_histogram_10us": "[1]"}, {"lateness_histogram_10us": "{"}):
        history.hear(facts, recording=True)
    assert history.record(starts=1, rss_mib=1.0).ticks == 0


def test_a_series_keeps_its_order_and_shape() -> None:
    series = Series(np.array([0.0, 1.0, 1.0, 2.0]), np.arange(4.0)[:, None])
    assert series.between(1.0, 2.0).values[:, 0].tolist() == [1.0, 2.0]
    assert series.before(-0.1) is None
    assert series.before(1.5) == 2.0
    with pytest.raises(ShapeError, match="decrease"):
        Series(np.array([1.0, 0.0]), np.zeros((2, 1)))
    with pytest.raises(ShapeError, match="shape"):
        Series(np.zeros(2), np.zeros((3, 1)))
