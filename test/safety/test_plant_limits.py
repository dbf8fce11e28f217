"""Rule 6, plant, right at each of its limits: what is at the limit passes, what is one step beyond does not."""

from dataclasses import replace

import numpy as np
import pytest

from so_arm_policy.core.values import JointSample, MotorSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import plant
from so_arm_policy.safety.case import Setup, Tick
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.values import Action, Mode, Output, SupervisorState, TickInput

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
SETUP = Setup.of(SupervisorConfig(), ROBOT)
MS = 1_000_000
NOW_NS, ROS_NS = 5_000 * MS, 1_700_000_000_000 * MS


def at(value, joint=1, rest=0.0):
    q = np.full(N, rest)
    q[joint] = value
    return q


def beyond(value):
    return float(np.nextafter(value, np.inf))


def sample(q, ns=0, dq=0.0):
    """A measured state `ns` after the last one."""
    return JointSample(stamp_ns=ROS_NS + ns, received_ns=NOW_NS, q=np.asarray(q, dtype=float), dq=at(dq))


def motors(**changes):
    made = MotorSample(
        stamp_ns=ROS_NS,
        received_ns=NOW_NS,
        load=np.full(N, 0.2),
        temperature_c=np.full(N, 40.0),
        voltage_v=np.full(N, 7.4),
        torque_on=np.ones(N, dtype=bool),
    )
    return replace(made, **changes)


def shown(q=None, told=None, **changes):
    """What earlier states have shown: an arm at `q` with the stamp ROS_NS."""
    q = np.zeros(N) if q is None else q
    return replace(plant.Plant.first(sample(q), q if told is None else told), **changes)


def state(command=None, seen=None, **changes):
    output = Output.at_rest(np.zeros(N) if command is None else command)
    made = SupervisorState(mode=Mode.HOLD, selected="pid", acting="pid", output=output, plant=seen, now_ns=NOW_NS)
    return replace(made, **changes)


def tick(measured=None, now_ns=NOW_NS + 8 * MS, report=None):
    return TickInput(now_ns=now_ns, ros_now_ns=ROS_NS + 8 * MS, sample=measured, proposals={}, motors=report)


def judged(seen, command=None, report=None, now_ns=NOW_NS):
    return plant.check_tick(Tick(SETUP, state(command, seen), tick(now_ns=now_ns, report=report)))


def observed(measured, seen=None, command=None, report=None, **changes):
    before = state(command, shown() if seen is None else seen)
    return plant.observe(SETUP, before, replace(tick(measured, report=report), **changes)).plant


@pytest.mark.parametrize(
    ("good", "bad", "code", "action"),
    [
        ({"temperature_c": 65.0}, {"temperature_c": beyond(65.0)}, "plant.temperature", Action.ESTOP),
        ({"voltage_v": 6.0}, {"voltage_v": 5.999}, "plant.voltage", Action.ESTOP),
        ({"voltage_v": 8.6}, {"voltage_v": beyond(8.6)}, "plant.voltage", Action.ESTOP),
        ({"torque_on": True}, {"torque_on": False}, "plant.torque_off", Action.ESTOP),
    ],
)
def test_what_a_motor_may_report(good, bad, code, action):
    for joint in (0, N - 1):
        rest = {"temperature_c": 40.0, "voltage_v": 7.4, "torque_on": True}

        def report(changes, joint=joint, rest=rest):
            return motors(**{k: at(v, joint, rest[k]).astype(type(v)) for k, v in changes.items()})

        assert judged(None, report=report(good)) is None
        finding = judged(None, report=report(bad))
        assert (finding.code, finding.action) == (code, action)
        assert ROBOT.joint_names[joint] in finding.text
        assert f"got {next(iter(bad.values()))}" in finding.text


@pytest.mark.parametrize("name", ["load", "temperature_c", "voltage_v", "torque_on"])
@pytest.mark.parametrize("shape", [(N - 1,), (N, 1), ()])
def test_every_field_of_a_report_has_one_value_for_each_joint(name, shape):
    finding = judged(None, report=motors(**{name: np.ones(shape, dtype=bool)}))
    assert (finding.code, finding.action) == ("plant.report", Action.HOLD)
    assert str(shape) in finding.text


def test_a_report_of_motors_may_be_a_second_old():
    assert judged(None, report=motors(), now_ns=NOW_NS + 1000 * MS) is None
    finding = judged(None, report=motors(), now_ns=NOW_NS + 1000 * MS + 1)
    assert (finding.code, finding.action) == ("plant.report", Action.HOLD)
    assert finding.text == "motors: nothing new for 1000 ms, limit 1000"
    assert judged(None, report=None, now_ns=NOW_NS + 9000 * MS) is None


def test_motors_are_judged_before_the_readings():
    seen = shown(jump=(1, 3.0))
    assert judged(seen, report=motors(torque_on=np.zeros(N, dtype=bool))).code == "plant.torque_off"
    assert judged(seen, report=motors()).code == "plant.jump"


def test_a_joint_may_lag_for_100_ms():
    assert judged(shown(lagging_ns=at(100 * MS).astype(int))) is None
    seen = shown(q=at(-0.35, joint=4), lagging_ns=at(100 * MS + 1, joint=4).astype(int))
    finding = judged(seen)
    assert (finding.code, finding.action) == ("plant.following", Action.ESTOP)
    assert finding.text == "joint 'wrist_roll': 0.350 rad behind its command for 100 ms, limits 0.3 and 100"
    assert "0.100 rad behind" in judged(seen, at(-0.25, joint=4)).text


def test_a_joint_may_press_for_half_a_second():
    assert judged(shown(pressing_ns=at(500 * MS).astype(int))) is None
    finding = judged(shown(pressing_ns=at(510 * MS, joint=2).astype(int)))
    assert (finding.code, finding.action) == ("plant.stall", Action.ESTOP)
    assert finding.text == "joint 'elbow_flex': pressed against something for 510 ms, limit 500"
    assert judged(shown(pressing_ns=at(500 * MS + 1).astype(int))).code == "plant.stall"


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_readings_may_repeat_while_the_command_moves_away_by_a_tenth(way):
    frozen = shown(repeats=3)
    assert judged(frozen, at(0.1 * way)) is None
    finding = judged(frozen, at(beyond(0.1) * way, joint=3))
    assert (finding.code, finding.action) == ("plant.frozen", Action.ESTOP)
    assert "'wrist_flex': told to move 0.100 rad away" in finding.text
    assert judged(shown(repeats=2), at(beyond(0.1) * way)) is None


def test_what_the_arm_lagged_before_it_froze_does_not_count():
    frozen = shown(q=np.zeros(N), told=at(0.25), repeats=9)
    assert judged(frozen, at(0.34)) is None
    assert judged(frozen, at(0.36)).code == "plant.frozen"
    assert judged(frozen, at(-0.34)) is None
    assert judged(frozen, at(-0.36)).code == "plant.frozen"


def test_a_jump_is_told_with_its_joint_and_size():
    finding = judged(shown(jump=(3, 0.25)))
    assert (finding.code, finding.action) == ("plant.jump", Action.ESTOP)
    assert "'wrist_flex': got a reading 0.250 rad from the previous one" in finding.text


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize(("ns", "limit"), [(0, 0.1), (-5 * MS, 0.1), (10 * MS, 0.148), (100 * MS, 0.58)])
def test_a_reading_may_move_as_far_as_the_fastest_motion_and_a_tenth(ns, limit, way):
    assert observed(sample(at(way * (limit - 1e-11)), ns)).jump is None
    joint, size = observed(sample(at(way * (limit + 1e-11), joint=4), ns)).jump
    assert (joint, size) == (4, pytest.approx(limit))


def test_a_reading_right_at_the_limit_has_not_jumped():
    assert observed(sample(at(0.1))).jump is None
    assert observed(sample(at(beyond(0.1)))).jump is not None


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_joint_lags_when_it_is_further_behind_than_its_robot_says(way):
    command = at(0.3 * way)
    assert not observed(sample(np.zeros(N), 1), command=command).lagging_ns.any()
    command = at(beyond(0.3) * way)
    lagging = observed(sample(np.zeros(N), 1), command=command).lagging_ns
    assert lagging.tolist() == [0, 8 * MS, 0, 0, 0, 0]
    lagging = observed(sample(np.zeros(N), 1), shown(lagging_ns=at(50 * MS).astype(int)), command).lagging_ns
    assert lagging.tolist() == [0, 58 * MS, 0, 0, 0, 0]
    assert not observed(sample(at(0.1 * way), 1), shown(lagging_ns=at(50 * MS).astype(int)), command).lagging_ns.any()


@pytest.mark.parametrize(
    ("lag", "load", "presses"), [(0.09, 0.9, -2 * MS), (0.0901, 0.8, -2 * MS), (0.0901, 0.8001, 8 * MS)]
)
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_joint_presses_when_it_lags_and_bears_too_much(lag, load, presses, way):
    seen = shown(pressing_ns=at(40 * MS).astype(int))
    report = motors(load=at(load * way))
    found = observed(sample(np.zeros(N), 1), seen, at(lag), report).pressing_ns
    assert found.tolist() == [0, 40 * MS + presses, 0, 0, 0, 0]


def test_without_a_report_for_each_joint_none_presses():
    seen = shown(pressing_ns=at(40 * MS).astype(int))
    for report in (None, motors(load=np.ones(N - 1)), motors(load=np.full(N, np.nan))):
        found = observed(sample(np.zeros(N), 1), seen, at(0.2), report).pressing_ns
        assert found.tolist() == [0, 38 * MS, 0, 0, 0, 0], "forgotten at a quarter of the pace"
    assert not observed(sample(np.zeros(N), 1), shown(pressing_ns=at(MS).astype(int)), at(0.2)).pressing_ns.any()


@pytest.mark.parametrize(("ns", "counted"), [(-5 * MS, 0), (0, 0), (5 * MS, 5 * MS), (500 * MS, 30 * MS)])
def test_a_tick_counts_the_time_since_the_last_but_no_more_than_a_stall(ns, counted):
    seen = observed(sample(np.zeros(N), 1), now_ns=NOW_NS + ns)
    assert seen.standing_ns == counted


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_an_arm_stands_up_to_a_fifth_of_a_radian_per_second(way):
    assert plant.stands(sample(np.zeros(N), dq=0.2 * way))
    assert not plant.stands(sample(np.zeros(N), dq=beyond(0.2) * way))
    assert not plant.stands(None)
    stood = shown(standing_ns=40 * MS)
    assert observed(sample(np.zeros(N), 1, dq=0.2 * way), stood).standing_ns == 48 * MS
    assert observed(sample(np.zeros(N), 1, dq=0.3 * way), stood).standing_ns == 0


def test_new_states_that_say_the_same_are_counted_until_one_differs():
    seen = observed(sample(np.zeros(N), 1), shown(told=at(0.02), repeats=1, jump=(1, 2.0)), at(0.05))
    assert (seen.repeats, seen.stamp_ns, seen.jump) == (2, ROS_NS + 1, None)
    np.testing.assert_array_equal(seen.told, at(0.02))
    seen = observed(sample(at(1e-6), 1), shown(told=at(0.02), repeats=5), at(0.05))
    assert seen.repeats == 0
    np.testing.assert_array_equal(seen.told, at(0.05))
    np.testing.assert_array_equal(seen.q, at(1e-6))


def test_the_same_state_once_more_says_nothing_new():
    before = shown(repeats=2, standing_ns=7, lagging_ns=at(9).astype(int), jump=(1, 0.5))
    seen = observed(sample(np.zeros(N)), before, at(0.5))
    assert seen.jump is None
    assert repr(replace(seen, jump=(1, 0.5))) == repr(before)
    assert observed(sample(at(1e-6)), before).repeats == 0, "another state with the same stamp"


def test_the_first_state_begins_all_counts():
    for before in (state(at(0.5)), state(at(0.5), shown(repeats=7), now_ns=None)):
        seen = plant.observe(SETUP, before, tick(sample(at(0.1), 5))).plant
        assert (seen.repeats, seen.standing_ns, seen.jump, seen.stamp_ns) == (0, 0, None, ROS_NS + 5)
        assert not seen.lagging_ns.any()
        assert not seen.pressing_ns.any()
        assert seen.lagging_ns.shape == seen.pressing_ns.shape == (N,)
        assert seen.lagging_ns.dtype == seen.pressing_ns.dtype == np.int64
        np.testing.assert_array_equal(seen.told, at(0.5))
        np.testing.assert_array_equal(seen.q, at(0.1))


@pytest.mark.parametrize("measured", [None, sample(np.zeros(N - 1)), sample(at(np.nan)), sample(np.zeros((N, 1)))])
def test_a_state_that_cannot_be_read_changes_nothing(measured):
    before = state(seen=shown(repeats=4))
    assert plant.observe(SETUP, before, tick(measured)) is before
    unborn = replace(before, output=None)
    assert plant.observe(SETUP, unborn, tick(sample(np.zeros(N)))) is unborn


def relieved(q, command, standing_ns=100 * MS, report=None):
    return plant.relief(SETUP, state(command, shown(q=q, standing_ns=standing_ns)), tick(report=report))


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_joint_is_let_go_when_it_lags_noticeably(way):
    command = at(0.4 * way, joint=0)
    assert relieved(command, command) is None
    assert relieved(np.zeros(N), at(0.05 * way)) is None
    there = relieved(np.zeros(N), at(beyond(0.05) * way) + at(0.03, joint=2))
    np.testing.assert_array_equal(there, at(0.03, joint=2))


def test_nothing_is_let_go_before_the_arm_has_stood_for_a_tenth_of_a_second():
    assert relieved(np.zeros(N), at(0.2), standing_ns=100 * MS) is not None
    assert relieved(np.zeros(N), at(0.2), standing_ns=100 * MS - 1) is None
    assert plant.relief(SETUP, state(at(0.2)), tick()) is None
    unborn = replace(state(seen=shown(standing_ns=100 * MS)), output=None)
    assert plant.relief(SETUP, unborn, tick()) is None


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_joint_that_bears_less_than_half_of_what_it_may_is_not_let_go(way):
    half = motors(load=np.full(N, 0.4 * way))
    assert relieved(np.zeros(N), at(0.2), report=half) is not None
    assert relieved(np.zeros(N), at(0.2), report=motors(load=at(0.399 * way, rest=1.0))) is None
    assert relieved(np.zeros(N), at(0.2), report=motors(load=np.full(N, np.nan))) is not None
    assert relieved(np.zeros(N), at(0.2), report=motors(load=at(np.nan, rest=1.0))) is None, "the others say something"
    assert relieved(np.zeros(N), at(0.2), report=motors(load=at(1.0, rest=np.nan))) is not None
    assert relieved(np.zeros(N), at(0.2), report=motors(load=np.zeros(N - 1))) is not None
    np.testing.assert_array_equal(relieved(np.zeros(N), at(0.2) + at(0.01, joint=0), report=half), at(0.01, joint=0))


@pytest.mark.parametrize(
    ("q", "target", "command", "back"),
    [
        (0.3, 0.0, 0.3, True),  # at its command again
        (0.051, 0.0, 0.1, True),
        (0.05, 0.0, 0.06, False),  # not noticeably away from where it was blocked
        (0.0, 0.0, 0.3, False),
        (0.06, 0.0, 0.05, False),  # its command is not noticeably away from there
        (0.06, 0.0, 0.051, True),
        (-0.06, 0.0, 0.3, False),
        (0.06, 0.0, -0.3, False),
        (0.13, 0.0, 0.25, True),
        (-0.2, 0.0, 0.25, False),  # further away from it
        (1.0, 0.9, 1.05, True),
        (-1.0, -0.9, -1.05, True),
        (0.06, -0.5, 0.5, True),
        (0.1, -0.1, 0.1, True),
        (0.33, 0.3, 0.34, False),
    ],
)
def test_a_joint_came_back_when_it_left_where_it_was_blocked_for_its_command(q, target, command, back):
    assert plant.came_back(state(at(command), shown(q=at(q))), at(target)) is back
