"""Live faults: the judge on series made by hand, and a few cases on a real stack."""

import argparse
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.referee import Ratios
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import live_faults_command
from so_arm_policy.ros.live_fault_cases import After, Expect, Rig
from so_arm_policy.ros.live_fault_judge import Rest, Series, astray, judge_limits, judge_rest, on_ticks, together
from so_arm_policy.ros.live_fault_table import LIVE_CASES, case_of
from so_arm_policy.ros.live_faults import LiveResult, Outcome, problems_of, run_cases

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
DT = 1.0 / 120.0
ONSET_S = 100.5
WITHIN = Ratios(velocity=0.5)


def series(way, at=None):
    """Return a series in which the first joint goes the given way, rad, from a second before the onset on."""
    q = np.tile(ROBOT.home, (len(way), 1))
    q[:, 0] += way
    time_s = ONSET_S - 0.5 + DT * (np.arange(len(way)) + 0.8) if at is None else np.asarray(at)
    return Series(time_s=time_s, began_s=time_s, number=np.arange(1, len(way) + 1), q=q)


def braked(ticks=240, brake=70, speed=1.2):
    """Return a way that begins from rest, brakes to a stop from tick `brake` on, and stands, within all limits."""
    v = np.minimum(np.maximum(np.arange(ticks) - 3, 0) * 16.0 * DT, speed)
    v[brake:] = np.maximum(speed - (np.arange(ticks - brake) + 1) * 16.0 * DT, 0.0)
    return np.cumsum(v) * DT


def test_names_are_different_and_every_case_is_long_enough_to_show_that_the_arm_stays():
    assert len({case.name for case in LIVE_CASES}) == len(LIVE_CASES)
    assert all(case.watched_s > case.bound_s > 0.0 for case in LIVE_CASES)
    assert case_of("source killed").expect is Expect.STOPS
    with pytest.raises(ConfigError, match="expected one of"):
        case_of("sourcekilled")


def test_an_arm_that_brakes_and_stays_is_contained():
    rest = judge_rest(series(braked()), ONSET_S, ONSET_S + 1.4)
    assert rest.standstill_s == pytest.approx(0.18, abs=0.06)
    assert rest.stays
    assert 0.1 < rest.furthest_rad < 0.3
    assert problems_of(case_of("source killed"), rest, WITHIN, After.BY_ITSELF) == []


def test_an_arm_that_goes_on_is_not_contained():
    rest = judge_rest(series(np.arange(240) * DT), ONSET_S, ONSET_S + 1.4)
    assert rest.standstill_s is None
    assert not rest.stays
    assert problems_of(case_of("source killed"), rest, WITHIN, After.BY_ITSELF) == ["never came to rest"]


def test_an_arm_that_moves_again_or_stands_too_late_is_not_contained():
    way = braked()
    way[200:] += np.linspace(0.0, 0.2, 40)
    again = judge_rest(series(way), ONSET_S, ONSET_S + 1.4)
    assert again.standstill_s is not None
    assert not again.stays
    case = case_of("source killed")
    assert "moved again" in problems_of(case, again, WITHIN, After.BY_ITSELF)[0]
    late = judge_rest(series(braked(360, brake=200)), ONSET_S, ONSET_S + 2.4)
    assert "at most" in problems_of(case, late, WITHIN, After.BY_ITSELF)[0]


def test_a_fault_that_takes_time_to_be_noticed_is_judged_by_the_rest_that_lasts():
    way = np.concatenate([braked(), braked()[-1] + braked()])
    onset_s, end_s = ONSET_S, ONSET_S + 3.4
    assert not judge_rest(series(way), onset_s, end_s).stays
    rest = judge_rest(series(way), onset_s, end_s, patient=True)
    assert rest.stays
    assert rest.standstill_s == pytest.approx(2.18, abs=0.06)


def test_a_turn_of_the_way_is_no_rest():
    rest = judge_rest(series(0.5 * np.sin(4.0 * DT * np.arange(360))), ONSET_S, ONSET_S + 2.4)
    assert rest.standstill_s is None


def test_a_silent_arm_stands_where_it_was_heard_last():
    way = np.arange(70) * DT
    rest = judge_rest(series(way), ONSET_S, ONSET_S + 2.0)
    assert rest.standstill_s == pytest.approx(0.08, abs=0.02)
    assert rest.stays
    gone = judge_rest(series(way), ONSET_S + 1.0, ONSET_S + 2.0)
    assert gone == Rest(standstill_s=0.0, moved_again_rad=0.0, furthest_rad=0.0)


def test_both_the_arm_and_the_command_must_rest():
    still = Rest(standstill_s=0.1, moved_again_rad=0.0, furthest_rad=0.2)
    assert together(still, replace(still, standstill_s=0.4)).standstill_s == 0.4
    assert together(still, replace(still, standstill_s=None)).standstill_s is None
    assert together(replace(still, moved_again_rad=0.3), still).moved_again_rad == 0.3


def test_what_must_go_on_must_move_and_a_stop_that_must_latch_may_not_end_by_itself():
    stood = Rest(standstill_s=0.1, moved_again_rad=0.0, furthest_rad=0.1)
    assert "go on" in problems_of(case_of("unknown source"), stood, WITHIN, After.BY_ITSELF)[0]
    assert "only after a reset" in problems_of(case_of("e-stop"), stood, WITHIN, After.BY_ITSELF)[0]
    assert problems_of(case_of("e-stop"), stood, WITHIN, After.RESET) == []
    assert "did not move again" in problems_of(case_of("e-stop"), stood, WITHIN, None)[0]
    assert "limits of jerk" in problems_of(case_of("e-stop"), stood, Ratios(jerk=1.02), After.RESET)[0]


def test_an_arm_that_is_not_where_the_supervisor_holds_it_is_astray():
    commands, aside = series(braked()), series(braked() + 0.3)
    assert astray(commands, commands, ONSET_S + 1.0) == 0.0
    assert astray(commands, aside, ONSET_S + 1.0) == pytest.approx(0.3)
    assert astray(commands, aside, ONSET_S + 9.0) == 0.0


def test_limits_are_judged_over_nominal_ticks():
    arm = series(np.zeros(240))
    assert judge_limits(ROBOT, series(braked()), arm).broken == ()
    jump = braked()
    jump[150:] += 0.1
    assert "velocity" in judge_limits(ROBOT, series(jump), arm).broken
    nan = braked()
    nan[150] = math.nan
    assert judge_limits(ROBOT, series(nan), arm).broken == ("finite",)


def test_a_lost_command_is_no_jump_and_is_counted():
    whole = series(braked())
    keep = np.delete(np.arange(240), [40, 41])
    part = Series(time_s=whole.time_s[keep], began_s=whole.began_s[keep], number=whole.number[keep], q=whole.q[keep])
    assert part.lost == 2
    assert judge_limits(ROBOT, part, series(np.zeros(240))).broken == ()
    assert len(on_ticks(part, series(np.zeros(240)))) == 240


def test_a_supervisor_that_stalled_may_stand_at_once_but_one_that_was_quick_may_not():
    way = np.concatenate([braked(60, brake=60), np.full(60, braked(60, brake=60)[-1])])
    steady = series(way)
    assert "acceleration" in judge_limits(ROBOT, steady, steady).broken
    stalled = replace(steady, began_s=steady.began_s + np.where(np.arange(120) >= 60, 0.03, 0.0))
    assert judge_limits(ROBOT, stalled, steady).broken == ()


def test_a_new_supervisor_may_begin_where_the_arm_stands_and_nowhere_else():
    way = np.concatenate([np.zeros(60), np.full(60, 0.02)])
    at = np.concatenate([100.0 + DT * np.arange(60), 102.0 + DT * np.arange(60)])
    commands = series(way, at)
    times = 100.0 + DT * np.arange(360)
    stands, elsewhere = (series(np.full(360, x), times) for x in (0.02, 0.01))
    assert judge_limits(ROBOT, commands, stands).broken == ()
    assert judge_limits(ROBOT, commands, elsewhere).broken == ("acceleration", "jerk")


def test_a_killed_source_a_frozen_supervisor_and_a_second_writer_end_in_a_hold():
    names = ("source killed", "supervisor frozen", "second writer, silent")
    cases = [replace(case_of(name), rig=Rig(robot="mock")) for name in names]
    lines = []
    results = list(run_cases(cases, lambda node, line: lines.append(f"{node} | {line}")))
    assert [result.case for result in results] == list(names)
    for result in results:
        assert result.outcome is Outcome.CONTAINED, (result, lines)
        assert result.standstill_ms is not None
        assert result.recovered == "by itself"
        assert 0.0 < result.peak <= 1.01


def test_the_command_says_which_cases_there_are_and_refuses_unknown_ones(capsys, tmp_path):
    parser = argparse.ArgumentParser()
    live_faults_command.configure(parser)
    assert live_faults_command.run(parser.parse_args(["--list"])) == 0
    assert "source killed" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--case"):
        live_faults_command.run_live(argparse.Namespace(case=["no such"], json=None))
    with pytest.raises(ConfigError, match="--json"):
        live_faults_command.run_live(argparse.Namespace(case=[], json=tmp_path / "none" / "x.json"))


def test_the_command_prints_a_table_writes_json_and_fails_when_a_case_is_not_contained(monkeypatch, tmp_path, capsys):
    good = LiveResult(case="a", text="x", outcome=Outcome.CONTAINED, standstill_ms=120.0, overshoot_rad=0.1, peak=1.0)
    bad = LiveResult(case="b", text="y", outcome=Outcome.NOT_CONTAINED, peak=math.inf, problems=("never came to rest",))
    file = tmp_path / "out.json"
    args = argparse.Namespace(case=[], json=file)
    monkeypatch.setattr(live_faults_command, "run_cases", lambda cases, log, bundle: iter([good]))
    assert live_faults_command.run_live(args) == 0
    monkeypatch.setattr(live_faults_command, "run_cases", lambda cases, log, bundle: iter([good, bad]))
    assert live_faults_command.run_live(args) == live_faults_command.FAILED
    printed = capsys.readouterr().out
    assert "never came to rest" in printed
    assert "1 of 2 contained" in printed
    assert [entry["outcome"] for entry in json.loads(file.read_text())] == ["CONTAINED", "NOT CONTAINED"]
    assert json.loads(file.read_text())[1]["peak"] is None
