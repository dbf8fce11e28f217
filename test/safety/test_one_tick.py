"""What one tick of the supervisor hands to the next, and what it does not."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import DT, PERIOD_NS, Gap, World

from so_arm_policy.core.values import MotorSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action, Fault, Mode

ROBOT = load_robot("so101")
MS = 1_000_000


def spend(world):
    """Use up the time that was saved up, without a new command."""
    while world.supervisor.state.credit_ns >= PERIOD_NS:
        world.advance(1)
        world.tick()
    world.advance(1)


@pytest.mark.parametrize(
    "changes",
    [{"estop": "button"}, {"sample": None}, {"faults": (Fault(code="source.unknown_publisher", text="two"),)}],
)
def test_nothing_moves_in_a_tick_that_no_time_has_paid_for_whatever_is_wrong(world, changes):
    world.run_up()
    spend(world)
    before = world.q.copy()
    verdict = world.tick(**changes)
    assert verdict.code not in ("time.burst", "time.tick"), "what is wrong is more important"
    np.testing.assert_array_equal(verdict.command, before)
    world.advance()
    assert world.tick(**changes).command[0] > before[0], "it brakes when time has passed"


def test_of_all_that_is_wrong_with_a_tick_the_first_rule_decides(world):
    """Schema, time, source, plant."""
    hot = MotorSample(
        stamp_ns=world.ros_ns,
        received_ns=world.now_ns + PERIOD_NS,
        load=np.zeros(world.n),
        temperature_c=np.full(world.n, 90.0),
        voltage_v=np.full(world.n, 7.4),
        torque_on=np.ones(world.n, dtype=bool),
    )
    fault = (Fault(code="source.unknown_publisher", text="two"),)
    for code, old, broken in (
        ("schema.state", 900 * MS, {"q": np.full(world.n, np.nan)}),
        ("time.state_stale", 900 * MS, {}),
        ("source.unknown_publisher", 0, {}),
    ):
        world = World(world.robot)
        world.tick()
        world.advance()
        sample = world.sample(received_ns=world.now_ns - old, **broken)
        assert world.tick(sample=sample, faults=fault, motors=hot).code == code
    world = World(world.robot)
    world.tick()
    world.advance()
    assert world.tick(motors=hot).code == "plant.temperature"


def test_of_all_that_is_wrong_with_a_proposal_the_first_rule_decides(world):
    """Schema, time, source, continuity, limits."""
    wrong = {"q": np.full(world.n, np.nan), "stamp_ns": 0, "source": "teleop"}
    codes = []
    for repaired in (None, ("q", world.robot.upper + 0.5), ("stamp_ns", None), ("source", None)):
        if repaired is not None:
            wrong.pop(repaired[0])
            if repaired[1] is not None:
                wrong["q"] = repaired[1]
        world = World(world.robot)
        world.tick()
        world.advance()
        world.proposals["pid"] = replace(world.proposal(), **wrong)
        codes.append(world.tick().code)
    world.start(world.robot.home)
    codes.append(world.step(world.robot.upper + 0.5).code)
    assert codes == ["schema.nonfinite", "time.zero", "source.mismatch", "continuity.far", "limit.position_band"]


BAD_STATES = {
    "schema.state": lambda w: w.sample(q=np.full(w.n, np.nan)),
    "time.state_stale": lambda w: w.sample(received_ns=w.now_ns - 101 * MS),
    "time.state_future": lambda w: w.sample(stamp_ns=w.ros_ns + 21 * MS),
}


@pytest.mark.parametrize("code", BAD_STATES)
def test_a_bad_joint_state_is_not_the_first_pose(world, code):
    verdict = world.tick(sample=BAD_STATES[code](world))
    assert (verdict.code, verdict.command, verdict.mode) == (code, None, Mode.INIT)
    world.q = world.robot.home + 0.1
    np.testing.assert_array_equal(world.silence().command, world.robot.home + 0.1)


def test_the_first_pose_is_held_even_in_a_tick_that_no_time_has_paid_for(world):
    world.tick(sample=None)
    for _ in range(20):
        world.advance(1)
        verdict = world.tick(sample=None)
    world.advance(1)
    verdict = world.tick()
    assert (verdict.code, verdict.mode) == ("time.burst", Mode.HOLD)
    np.testing.assert_array_equal(verdict.command, world.robot.home)


@pytest.mark.parametrize("code", BAD_STATES)
def test_a_bad_tick_stays_bad_when_somebody_asks_for_a_reset_in_it(world, code):
    wish = world.run_up()
    before = world.supervisor.state.output.step[0]
    world.advance()
    verdict = world.tick(world.proposal(wish), sample=BAD_STATES[code](world), reset=True)
    assert (verdict.action, verdict.code, verdict.mode) == (Action.HOLD, code, Mode.HOLD)
    assert code in verdict.refused
    assert world.supervisor.state.output.step[0] < before


def test_a_reset_in_a_good_tick_goes_on_with_it(world):
    world.start()
    world.advance()
    assert world.tick(sample=None).mode is Mode.HOLD
    verdict = world.step(reset=True)
    assert (verdict.action, verdict.mode, verdict.refused) == (Action.PASS, Mode.ACTIVE, "")


def test_a_refused_joint_state_does_not_make_the_next_one_old(world):
    world.start()
    world.advance()
    assert world.tick(sample=world.sample(stamp_ns=world.ros_ns + 500 * MS)).code == "time.state_future"
    assert world.step().action is Action.PASS


def test_an_accepted_joint_state_makes_those_before_it_old(world):
    world.start()
    world.advance()
    assert world.tick(world.proposal(), sample=world.sample(stamp_ns=world.ros_ns + 15 * MS)).action is Action.PASS
    assert world.step().code == "time.state_backwards"
    world.advance(10 * MS)
    assert world.tick(world.proposal()).action is Action.PASS


def test_when_the_ros_clock_went_back_old_joint_states_and_proposals_do_not_count_against_new_ones(world):
    world.start()
    world.advance(ros_ns=-500 * MS)
    assert world.tick(world.proposal()).code == "time.clock_back"
    assert world.step().action is Action.PASS
    world = World(world.robot)
    world.start()
    world.advance(ros_ns=-500 * MS)
    world.tick()
    before = world.proposal(observation_stamp_ns=world.ros_ns - 1)
    world.advance()
    assert world.tick(before).code == "time.before_reset"


def test_after_a_stall_the_command_stands_and_the_source_blends_in_again(world):
    wish = world.run_up(velocity=2.0)
    before = world.q.copy()
    world.advance(31 * MS)
    verdict = world.tick(world.proposal(wish))
    assert verdict.code == "time.stall"
    assert world.supervisor.state.output.resting
    np.testing.assert_array_equal(verdict.command, before)


def test_a_stall_before_the_first_joint_state_is_only_a_stall(world):
    world.tick(sample=None)
    world.advance(500 * MS)
    verdict = world.tick(sample=None)
    assert (verdict.code, verdict.command, verdict.mode) == ("time.stall", None, Mode.INIT)


def test_a_source_that_blends_in_is_named_so_until_it_passes_once(world):
    world.tick()
    wish = world.q.copy()
    wish[0] += 0.01
    codes = [world.step(wish).code for _ in range(40)]
    blended = codes.index("")
    assert codes[:blended] == ["continuity.blend"] * blended
    assert blended > 2
    assert "continuity.blend" not in codes[blended:]
    assert codes[-1] == ""
    wish = wish.copy()
    wish[0] += 0.05
    assert world.step(wish).code == "limit.velocity"


def test_a_source_that_blends_in_and_skips_a_tick_still_blends(world):
    world.tick()
    wish = world.q.copy()
    wish[0] += 0.05
    assert world.step(wish).code == "continuity.blend"
    assert world.silence().code == "time.gap"
    assert world.step(wish).code == "continuity.blend"


def test_a_skipped_tick_is_bridged_by_the_velocity_that_was_sent_or_by_standing(robot):
    for sent, moves in ((None, 0.0), (0.3, 0.3 * DT), (100.0, 2.4 * DT)):
        world = World(robot)
        world.start()
        dq = None if sent is None else np.where(np.arange(world.n) == 0, sent, 0.0)
        world.advance()
        world.tick(world.proposal(world.q, dq=dq))
        verdict = world.silence()
        assert (verdict.action, verdict.code, verdict.mode) == (Action.CLAMP, "time.gap", Mode.ACTIVE)
        wanted = world.supervisor.state.target[0] - robot.home[0]
        assert wanted == pytest.approx(moves)
        assert "source 'pid'" in verdict.text


def both(world, wish, other, **changes):
    world.advance()
    return world.tick(world.proposal(wish), world.proposal(other, source="hold", **changes))


def test_the_fallback_counts_its_own_numbers_and_stamps():
    world = World(ROBOT, fallback="hold")
    for _ in range(3):
        both(world, world.q, world.q)
    nan = np.full(world.n, np.nan)
    verdict = both(world, nan, world.q, sequence=-5, stamp_ns=world.ros_ns - 2 * PERIOD_NS)
    assert (verdict.mode, verdict.action, verdict.code) == (Mode.FALLBACK, Action.FALLBACK, "schema.nonfinite")
    assert "nan" in verdict.text


def test_the_fallback_must_start_where_the_arm_is():
    world = World(ROBOT, fallback="hold")
    for _ in range(3):
        both(world, world.q, world.q)
    far = world.q + 0.2
    verdict = both(world, np.full(world.n, np.nan), far)
    assert (verdict.mode, verdict.code, verdict.action) == (Mode.HOLD, "schema.nonfinite", Action.REJECT)
    assert verdict.source == "pid"


class Near:
    """Whatever the first joint does to the left brings the arm nearer to a wall that it touches already."""

    def nearest(self, q):
        return (Gap("table", -0.01 - float(q[0] - ROBOT.home[0]), "arm", "wall"),)


@pytest.mark.parametrize(("clearance", "moves"), [(None, True), (Near(), False)])
def test_the_fallback_is_kept_clear_as_well(clearance, moves):
    world = World(ROBOT, fallback="hold")
    world.supervisor = Supervisor(SupervisorConfig(fallback="hold"), ROBOT, "pid", clearance)
    for _ in range(3):
        both(world, world.q, world.q)
    other = world.q.copy()
    other[0] += 0.1
    verdict = both(world, np.full(world.n, np.nan), other)
    assert (verdict.action, verdict.mode) == (Action.FALLBACK, Mode.FALLBACK)
    assert bool(verdict.command[0] > ROBOT.home[0]) is moves


def test_a_fallback_that_is_the_selected_source_has_no_other():
    world = World(ROBOT, source="hold", fallback="hold")
    world.start()
    assert world.step(np.full(world.n, np.nan)).mode is Mode.HOLD


def test_a_source_that_says_nothing_at_all_is_waited_for(world):
    verdict = world.tick()
    assert (verdict.action, verdict.code, verdict.source) == (Action.HOLD, "time.silent", "pid")
    assert "source 'pid': no proposal yet" in verdict.text


def test_verdicts_are_counted_by_their_code(world):
    world.start()
    passed = world.supervisor.passed
    for _ in range(3):
        world.step(np.full(world.n, np.nan))
    for _ in range(2):
        world.step(faults=(Fault(code="bus.slow", text="slow"),))
    assert world.supervisor.counts["schema.nonfinite"] == 3
    assert world.supervisor.counts["bus.slow"] == 2
    assert world.supervisor.passed == passed
    world.step()
    assert world.supervisor.passed == passed + 1


def test_the_worst_margin_is_the_smallest_since_it_was_last_asked_for(world):
    world.start()
    world.supervisor.take_worst_margin()
    assert world.supervisor.worst_margin == 1.0
    wish, margins = world.q.copy(), []
    for rad in (2e-4, 4e-4, 1e-4):
        wish = wish.copy()
        wish[0] += rad
        margins.append(world.step(wish).margin)
    assert world.supervisor.worst_margin == min(margins) < 1.0
    assert world.step(np.full(world.n, np.nan)).margin is None
    assert world.supervisor.take_worst_margin() == min(margins)
    assert world.supervisor.take_worst_margin() == 1.0


def test_the_supervisor_begins_with_its_source_and_nothing_counted():
    supervisor = Supervisor(SupervisorConfig(), ROBOT, "teleop")
    assert (supervisor.mode, supervisor.source, supervisor.passed) == (Mode.INIT, "teleop", 0)
    assert (supervisor.worst_margin, set(supervisor.counts.values())) == (1.0, {0})
