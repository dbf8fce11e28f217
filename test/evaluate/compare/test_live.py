"""Live episodes: what is measured of them, and what they say beside those in lockstep."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.evaluate.compare.comparison import RESULTS
from so_arm_policy.evaluate.compare.journal import LiveJournal
from so_arm_policy.evaluate.compare.live.heard import Heard, Stamped, Verdicts
from so_arm_policy.evaluate.compare.live.measure import (
    TICK_NS,
    judged,
    latencies_ms,
    live_row,
    paired,
    stopped_by,
    whole,
)
from so_arm_policy.evaluate.compare.live.poses import Poses
from so_arm_policy.evaluate.compare.live.rows import LiveOutcome, LiveRow, failed_row
from so_arm_policy.evaluate.compare.live.summary import interventions, summarise_live
from so_arm_policy.evaluate.compare.live.table import LIVE, live_rows
from so_arm_policy.evaluate.compare.live.text import live_report
from so_arm_policy.evaluate.compare.page.page import Made, write_page
from so_arm_policy.evaluate.compare.rows import CLEARANCE_MARGIN_M, EpisodeRow, Identity, episode_row
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.compare.table import write_rows
from so_arm_policy.evaluate.compare.trace import Trace, TraceRecorder
from so_arm_policy.evaluate.director import TaskReading
from so_arm_policy.evaluate.graded import UNDISTURBED
from so_arm_policy.evaluate.recording import NodeRecord
from so_arm_policy.evaluate.rollout import EPOCH_NS, EpisodeResult, Rollout
from so_arm_policy.evaluate.scripted_agents import expert_agent, hold_agent
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Episode

REACH = make_task("reach")
SEED = 20
WHO = Identity(task="reach", controller="pid", family="hand-crafted", sees="cameras", robot="so101")
LATE = NodeRecord(name="safety_supervisor", ticks=100, missed=3, lateness={0: 90, 100: 10})


class States:
    """Subscriber that keeps the state of the simulator, as sim/state has it."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def on_start(self, episode: Episode) -> None:
        self.rows = []

    def on_step(self, step) -> None:
        self.rows.append(step.qpos)

    def on_end(self, result: EpisodeResult) -> None:
        pass


def ran(robot: RobotConfig, make) -> tuple[EpisodeResult, Trace, np.ndarray]:
    """Return an episode in lockstep, its trace and its states (T, nq)."""
    recorder, states = TraceRecorder(), States()
    rollout = Rollout(REACH, robot, make(REACH, robot))
    result = rollout.run(REACH.sample(SEED), [recorder, states])
    rollout.close()
    trace = recorder.trace()
    assert trace is not None
    return result, trace, np.array(states.rows)


def heard(result: EpisodeResult, trace: Trace, states: np.ndarray) -> Heard:
    """Return what would be heard of that episode on a graph on which no message is late or lost."""
    due_ns = EPOCH_NS + np.arange(len(trace)) * TICK_NS
    passed = np.cumsum([verdict.code == "" for verdict in trace.verdicts])
    verdicts = [
        Verdicts(stamp_ns=due_ns[k] + TICK_NS // 2, moving=v.mode.name == "ACTIVE", code=v.code, passed=n, counts={})
        for k, (v, n) in enumerate(zip(trace.verdicts, passed.tolist(), strict=True))
    ]
    before = Verdicts(stamp_ns=int(due_ns[0]), moving=False, code="", passed=0, counts={})
    commanded = np.isfinite(trace.commands).all(axis=1)
    commands = Stamped(stamps_ns=due_ns[commanded] + TICK_NS // 2, values=trace.commands[commanded])
    reading = TaskReading(
        seed=result.seed,
        instruction=result.instruction,
        distance_m=result.final_distance_m,
        time_s=result.ticks / CONTROL_HZ,
        done_s=result.time_s,
        held_s=result.held_s,
    )
    return Heard(
        wall_s=2.0 * result.ticks / CONTROL_HZ,
        readings=(reading,),
        joints=Stamped(stamps_ns=due_ns, values=trace.q),
        commands=commands,
        states=states[::4],
        verdicts=(before, *verdicts),
        contexts=None,
        inferences=None,
        context_ms=(),
        proposals=np.zeros((0, 2), dtype=np.int64),
        pictures=np.zeros(0, dtype=np.int64),
        supervisor=LATE,
        source=NodeRecord(name="pid", missed=2),
        simulator=NodeRecord(name="simulator"),
    )


@pytest.fixture(scope="module")
def tools(robot: RobotConfig) -> tuple[Poses, Clearance]:
    return Poses(robot), Clearance(robot, margin_m=CLEARANCE_MARGIN_M)


def both(robot: RobotConfig, tools, make) -> tuple[LiveRow, EpisodeRow]:
    result, trace, states = ran(robot, make)
    live = live_row(WHO, REACH.sample(SEED), REACH.time_limit_s, heard(result, trace, states), *tools)
    return live, episode_row(WHO, UNDISTURBED, result, trace, tools[1])


def test_what_is_heard_of_an_episode_without_a_late_message_gives_the_row_of_lockstep(robot, tools) -> None:
    live, lockstep = both(robot, tools, expert_agent)
    assert live.success
    for name in ("key", "instruction", "success", "ticks", "time_s", "final_distance_m", "held_s", "clearance_kind"):
        assert getattr(live, name) == getattr(lockstep, name)
    for name in ("joint_path_rad", "log_dimensionless_jerk", "tracking_error_rad", "clearance_m"):
        assert getattr(live, name) == pytest.approx(getattr(lockstep, name), rel=1e-9), name
    # In lockstep the fingertip is that of the step before the last of its tick.
    for name in ("tip_path_m", "sparc"):
        assert getattr(live, name) == pytest.approx(getattr(lockstep, name), rel=1e-3), name
    assert interventions(live) == pytest.approx(interventions(lockstep), rel=1e-9)
    assert live.energy_j is None
    assert live.digest is None
    assert live.real_time_factor == pytest.approx(0.5)
    assert (live.supervisor_ticks, live.supervisor_missed, live.source_missed) == (100, 3, 2)
    assert live.tick_p50_ms < 0.02
    assert live.tick_p99_ms > 1.0


def test_a_failure_has_the_stage_and_the_reason_of_lockstep(robot, tools) -> None:
    live, lockstep = both(robot, tools, hold_agent)
    assert not live.success
    assert (live.failure_stage, live.failure_reason) == (lockstep.failure_stage, lockstep.failure_reason)
    assert (live.ticks, live.time_s) == (round(REACH.time_limit_s * CONTROL_HZ), None)


def test_a_success_after_the_limit_is_none(robot, tools) -> None:
    result, trace, states = ran(robot, expert_agent)
    whole_time = heard(result, trace, states)
    late = replace(whole_time, readings=(replace(whole_time.readings[0], done_s=REACH.time_limit_s + 0.1),))
    row = live_row(WHO, REACH.sample(SEED), REACH.time_limit_s, late, *tools)
    assert (row.success, row.time_s) == (False, None)
    assert row.failure_stage is not None


def test_lost_messages_make_figures_missing_not_wrong(robot, tools) -> None:
    result, trace, states = ran(robot, expert_agent)
    all_came = heard(result, trace, states)
    half = slice(None, None, 2)
    thin = replace(
        all_came,
        joints=Stamped(stamps_ns=all_came.joints.stamps_ns[half], values=all_came.joints.values[half]),
        commands=Stamped(stamps_ns=all_came.commands.stamps_ns[half], values=all_came.commands.values[half]),
    )
    row = live_row(WHO, REACH.sample(SEED), REACH.time_limit_s, thin, *tools)
    assert (row.sparc, row.log_dimensionless_jerk, row.interventions_per_min) == (None, None, None)
    assert row.success


def test_a_picture_counts_once_when_commands_first_follow_from_it() -> None:
    ms = 1_000_000
    made = np.arange(8) * 8 * ms + 100 * ms
    # Two pictures, joints that were late, joints as old as a picture, and a picture that one command followed from.
    seen = np.array([60, 60, 98, 98, 120, 120, 146, 20]) * ms
    pictures = np.array([20, 60, 98, 146]) * ms
    assert latencies_ms(np.column_stack([made, seen]), pictures) == [40.0, 18.0]
    assert latencies_ms(np.zeros((0, 2), dtype=np.int64), pictures) == []


def test_every_tick_that_did_not_pass_is_an_intervention_and_doubts_are_none() -> None:
    ticks = Stamped(stamps_ns=np.arange(1, 241) * TICK_NS, values=np.zeros((240, 1)))
    first = Verdicts(stamp_ns=0, moving=True, code="", passed=50, counts={"limit.jerk": 4})
    counts = {"limit.jerk": 10, "policy.novelty": 90}
    last = Verdicts(stamp_ns=240 * TICK_NS, moving=True, code="", passed=50 + 234, counts=counts)
    assert judged((first, last), ticks) == (pytest.approx(6 * 30.0), {"limit.jerk": 6, "policy.novelty": 90})
    assert judged((first, replace(last, passed=50 + 241)), ticks)[0] is None
    assert judged((first,), ticks) == (None, {})


def test_a_command_belongs_to_the_tick_that_it_led_to() -> None:
    joints = Stamped(stamps_ns=np.array([10, 20, 30]), values=np.zeros((3, 1)))
    commands = Stamped(stamps_ns=np.array([14, 19, 28]), values=np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_array_equal(paired(commands, joints), [[2.0], [3.0], [np.nan]])
    late = Stamped(stamps_ns=np.array([25]), values=np.array([[1.0]]))
    np.testing.assert_array_equal(paired(late, joints), [[np.nan], [1.0], [np.nan]])


def test_a_stream_with_a_gap_is_not_whole() -> None:
    stamps = np.arange(100) * TICK_NS
    values = np.zeros((100, 1))
    assert whole(Stamped(stamps_ns=stamps, values=values))
    assert not whole(Stamped(stamps_ns=np.delete(stamps, [40, 41]), values=values[2:]))
    assert not whole(Stamped(stamps_ns=stamps[:1], values=values[:1]))


def test_who_was_stopped_in_the_last_second_did_not_run_out_of_time() -> None:
    moving = Verdicts(stamp_ns=0, moving=True, code="", passed=0, counts={})
    held = replace(moving, stamp_ns=2 * NS, moving=False, code="time.silent")
    assert stopped_by((moving, held)) == "supervisor: time.silent"
    assert stopped_by((held, replace(moving, stamp_ns=2 * NS + 1))) == "timeout"


def pairs(live: str, lockstep: str) -> tuple[list[LiveRow], list[EpisodeRow]]:
    """Return rows of the same seeds, a success for each 1."""
    a = [
        LiveRow(
            **vars(WHO),
            seed=seed,
            instruction="touch it",
            success=mark == "1",
            time_s=2.0 + seed if mark == "1" else None,
            failure_stage=None if mark == "1" else "approach",
            failure_reason=None if mark == "1" else "timeout",
            tracking_error_rad=0.003,
            interventions_per_min=30.0,
            real_time_factor=1.0 - seed / 100,
            lateness_10us=json.dumps({"4": 99, "300": 1}),
            supervisor_ticks=100,
            supervisor_missed=1,
        )
        for seed, mark in enumerate(live)
    ]
    b = [
        EpisodeRow(
            **vars(WHO),
            seed=seed,
            instruction="touch it",
            success=mark == "1",
            time_s=1.5 + seed if mark == "1" else None,
            tracking_error_rad=0.001,
            clamps_per_min=10.0,
            rejects_per_min=0.0,
            holds_per_min=5.0,
        )
        for seed, mark in enumerate(lockstep)
    ]
    return a, b


def test_live_is_paired_with_lockstep_by_seed() -> None:
    live, lockstep = pairs("1101000", "1111111")
    (found,) = summarise_live(live, lockstep[::-1])
    assert (found.live, found.lockstep, found.seeds, found.broken) == (3, 7, 7, 0)
    assert (found.judged.pairs.only_a, found.judged.pairs.only_b) == (0, 4)
    assert found.judged.p == pytest.approx(2 * 0.5**4)
    assert found.time_s.difference is not None
    assert (found.time_s.difference.seeds, found.time_s.difference.mean) == (3, pytest.approx(0.5))
    assert found.tracking_error_rad.difference is not None
    assert found.tracking_error_rad.difference.mean == pytest.approx(0.002)
    assert (found.interventions.live, found.interventions.lockstep) == (30.0, 15.0)
    assert (found.ticks, found.missed) == (700, 7)
    assert (found.tick_p50_ms, found.tick_p99_ms, found.tick_p999_ms) == (0.05, 0.05, 3.01)
    assert found.real_time_factor == pytest.approx(0.94)
    assert found.assumed_ms == 50.0
    assert found.failures == {"approach: timeout": 4}


def test_what_has_no_counterpart_says_nothing() -> None:
    live, lockstep = pairs("1111", "1111")
    other = replace(live[0], bundle="b", bundle_sha256="cd")
    never = failed_row(WHO, 1, "touch it", "setup", "it did not come up")
    perturbed = replace(lockstep[2], perturbation="payload", strength=1.0)
    (found,) = summarise_live([other, never, live[2], live[3]], [*lockstep[:2], perturbed, lockstep[3]])
    assert (found.seeds, found.broken, found.live) == (1, 3, 1)
    assert summarise_live([], lockstep) == []
    (alone,) = summarise_live([never], lockstep)
    assert (alone.seeds, alone.judged.p, alone.time_s.difference) == (0, 1.0, None)
    assert "1 x setup: it did not come up; 1 not comparable" in live_report([alone])


def test_a_stack_that_died_is_a_failure() -> None:
    live, lockstep = pairs("11", "11")
    died = failed_row(WHO, 1, "touch it", "error", "servo ended (signal SIGKILL)")
    (found,) = summarise_live([live[0], died], lockstep)
    assert (found.live, found.seeds) == (1, 2)


def test_live_rows_are_kept_and_shown_beside_the_others(tmp_path: Path) -> None:
    live, lockstep = pairs("10", "11")
    settings = Settings()
    with LiveJournal(tmp_path, settings) as journal:
        journal.add(LiveOutcome(row=live[0]))
    with LiveJournal(tmp_path, settings) as journal:
        assert [outcome.row for outcome in journal.outcomes.values()] == live[:1]
    assert live_rows(tmp_path) == []
    write_rows(tmp_path / RESULTS, lockstep, EpisodeRow)
    made = Made(command="so-arm compare --ros", settings=settings)
    assert 'id="live"' not in write_page(tmp_path, lockstep, [], made).read_text()
    write_rows(tmp_path / LIVE, live, LiveRow)
    assert live_rows(tmp_path) == live
    page = write_page(tmp_path, lockstep, [], made).read_text()
    part = page[page.index('<section id="live">') :]
    assert '<td>reach</td><td class="num">1/2</td><td class="num">2/2</td><td class="num">0:1</td>' in part
    assert "1 × approach: timeout" in part
