"""Rule 6, plant: what the arm and its motors do wrong stops it, latches, and is let go of; what is normal does not."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import DT, World

from so_arm_policy.core.values import MotorSample
from so_arm_policy.safety.values import Action, Mode

MS = 1_000_000


def motors(world, **changes):
    n = world.n
    made = MotorSample(
        stamp_ns=world.ros_ns,
        received_ns=world.now_ns,
        load=np.full(n, 0.2),
        temperature_c=np.full(n, 40.0),
        voltage_v=np.full(n, 7.4),
        torque_on=np.ones(n, dtype=bool),
    )
    return replace(made, **changes)


def one(world, value, rest):
    values = np.full(world.n, rest)
    values[1] = value
    return values


BAD = {
    "plant.torque_off": {"torque_on": lambda w: one(w, False, True)},
    "plant.temperature": {"temperature_c": lambda w: one(w, 65.1, 40.0)},
    "plant.voltage": {"voltage_v": lambda w: one(w, 5.9, 7.4)},
}


@pytest.mark.parametrize("code", BAD)
def test_motors_that_are_not_well_stop_the_arm_until_they_are_and_a_person_resets(world, code):
    world.run_up()
    world.advance()
    bad = {name: make(world) for name, make in BAD[code].items()}
    verdict = world.tick(world.proposal(world.q), motors=motors(world, **bad))
    assert (verdict.action, verdict.code, verdict.mode) == (Action.ESTOP, code, Mode.ESTOP)
    assert "shoulder_lift" in verdict.text
    for _ in range(30):
        world.advance()
        verdict = world.tick(world.proposal(world.q), motors=motors(world))
    assert verdict.mode is Mode.ESTOP
    world.advance()
    refused = world.tick(world.proposal(world.q), motors=motors(world, **bad), reset=True)
    assert code in refused.refused
    world.advance()
    assert world.tick(world.proposal(world.q), motors=motors(world), reset=True).mode is not Mode.ESTOP


def test_high_voltage_and_silence_of_motors_stop_the_arm(world):
    world.start()
    world.advance()
    verdict = world.tick(world.proposal(), motors=motors(world, voltage_v=one(world, 8.7, 7.4)))
    assert verdict.code == "plant.voltage"
    world = World(world.robot)
    world.start()
    last, codes = motors(world), []
    for _ in range(122):
        world.advance()
        codes.append(world.tick(world.proposal(), motors=last).code)
    assert codes[:119] == [""] * 119
    assert codes[-1] == "plant.report"
    assert world.supervisor.mode is Mode.HOLD
    world.advance()
    assert world.tick(world.proposal(), motors=motors(world)).action is Action.PASS
    world.advance()
    assert world.tick(world.proposal(), motors=motors(world, load=np.zeros(world.n - 1))).code == "plant.report"


def test_what_motors_do_not_report_is_not_judged(world):
    world.start()
    nan = np.full(world.n, np.nan)
    for _ in range(5):
        world.advance()
        report = motors(world, load=nan, temperature_c=nan, voltage_v=nan)
        assert world.tick(world.proposal(), motors=report).action is Action.PASS


def blocked(world, ticks, joint=0, velocity=1.0, load=np.nan):
    """Let the source move one joint on while the arm stays where it is; returns the verdicts."""
    world.start()
    stays, q, verdicts = world.q.copy(), world.q.copy(), []
    for k in range(ticks):
        q = q.copy()
        q[joint] += velocity / 2.0 * (1.0 - np.cos(np.pi * min(k / 24.0, 1.0))) * DT
        world.q = stays + 1e-6 * (k % 2)
        world.advance()
        verdicts.append(world.tick(world.proposal(q), motors=motors(world, load=np.full(world.n, load))))
    return verdicts


def test_a_joint_that_does_not_follow_stops_the_arm_and_is_let_go_where_it_is(world):
    verdicts = blocked(world, 180)
    first = next(i for i, verdict in enumerate(verdicts) if verdict.mode is Mode.ESTOP)
    assert verdicts[first].code == "plant.following"
    assert "shoulder_pan" in verdicts[first].text
    lag = [abs(v.command[0] - world.robot.home[0]) for v in verdicts]
    beyond = next(i for i, value in enumerate(lag) if value > world.robot.following[0])
    assert first - beyond <= 0.1 / DT + 2
    assert lag[-1] < 1e-3, "still pressing"
    np.testing.assert_allclose(verdicts[-1].command[1:], world.robot.home[1:], atol=1e-4)


def test_a_joint_that_lags_without_load_is_held_where_it_was_told_to_be(world):
    """Nothing presses, so the reading lies; the arm must not be led after it."""
    verdicts = blocked(world, 180, load=0.1)
    assert verdicts[-1].code == "plant.following"
    assert verdicts[-1].command[0] > 0.3


def test_who_was_blocked_and_sprang_back_is_not_led_away_again(world):
    verdicts = blocked(world, 120)
    first = next(i for i, verdict in enumerate(verdicts) if verdict.mode is Mode.ESTOP)
    again = World(world.robot)
    blocked(again, first + 1)
    for _ in range(60):  # the arm follows at once again
        again.advance()
        verdict = again.tick()
    assert verdict.mode is Mode.ESTOP
    assert verdict.command[0] > 0.3


def test_the_command_waits_for_a_joint_that_springs_back_while_it_is_let_go(world):
    blocked(world, 90, velocity=1.0)
    going = None
    while going is None:  # stopped, and now on its way to where the joint is blocked
        world.advance()
        before = world.supervisor.state.output.q[0]
        world.q = world.robot.home + 1e-6 * (world.now_ns % 2)
        command = world.tick().command[0]
        going = command if command < before - 0.01 else None
    world.q = world.robot.home.copy()
    for k in range(60):  # what blocked it gives way: it comes to the command, a little each tick
        towards = world.supervisor.state.output.q - world.robot.home
        world.q = world.robot.home + towards * min(1.0, k / 20)
        world.advance()
        verdict = world.tick()
    assert verdict.mode is Mode.ESTOP
    assert 0.0 < going - verdict.command[0] < 0.15, "went on to where nothing is any more"


def test_a_joint_whose_motor_alone_is_silent_is_held_where_it_was_told_to_be(world):
    """It fell off the bus: its reading may be an old one."""
    world.start()
    q, load = world.robot.home.copy(), np.full(world.n, 0.1)
    load[0] = np.nan
    for k in range(1, 181):
        q = q.copy()
        q[0] += 1.0 / 2.0 * (1.0 - np.cos(np.pi * min(k / 24.0, 1.0))) * DT
        world.q = np.where(np.arange(world.n) == 0, world.robot.home, world.q + 1e-6 * (k % 2))
        world.advance()
        verdict = world.tick(world.proposal(q), motors=motors(world, load=load))
    assert verdict.code == "plant.following"
    assert verdict.command[0] > 0.3


def test_a_joint_that_presses_to_and_fro_does_not_rest_in_between(world):
    """A third of a second pressed, a tenth free, and so on: that is too much, but not after long rests."""
    robot = world.robot

    def codes(free_ticks):
        world = World(robot)
        world.start()
        found, lag = [], 0.0
        for part in (40, free_ticks, 40, free_ticks, 40):
            pressing = part == 40
            for _ in range(part):
                lag = min(lag + 0.005, 0.12) if pressing else max(lag - 0.02, 0.0)
                world.advance()
                q = world.robot.home.copy()
                q[0] += lag
                world.q = world.robot.home + 1e-6 * (len(found) % 2)
                found.append(world.tick(world.proposal(q), motors=motors(world, load=np.full(world.n, 0.9))).code)
        return found

    assert "plant.stall" in codes(12)
    assert "plant.stall" not in codes(160)


def test_a_joint_that_presses_with_too_much_load_is_let_go_before_the_servo_gives_up(world):
    verdicts = blocked(world, 24 + 140, velocity=0.2, load=0.9)
    codes = [v.code for v in verdicts if v.mode is Mode.ESTOP]
    assert codes[0] == "plant.stall"
    assert max(abs(v.command[0]) for v in verdicts) < world.robot.following[0]
    world = World(world.robot)
    assert all(v.mode is Mode.ACTIVE for v in blocked(world, 24 + 140, velocity=0.2, load=0.7))


def test_a_gripper_that_holds_something_may_lag(world):
    joint = world.robot.joint_names.index(next(n for n in world.robot.joint_names if n.endswith("gripper")))
    assert all(v.mode is Mode.ACTIVE for v in blocked(world, 180, joint=joint, velocity=0.4, load=0.7))


@pytest.mark.parametrize("size", [np.pi, -0.25, 2 * np.pi])
def test_a_reading_that_jumps_stops_the_arm_where_it_was_told_to_be(world, size):
    world.run_up()
    told = world.q.copy()
    world.advance()
    jumped = world.q.copy()
    jumped[3] += size
    verdict = world.tick(world.proposal(world.q), sample=world.sample(q=jumped))
    assert (verdict.action, verdict.code) == (Action.ESTOP, "plant.jump")
    for _ in range(60):
        world.advance()
        verdict = world.tick(sample=world.sample(q=jumped))
    assert abs(verdict.command[3] - told[3]) < 1e-9


def test_readings_that_freeze_while_the_command_goes_on_stop_the_arm(world):
    wish = world.run_up(velocity=1.0)
    frozen, codes = world.q.copy(), []
    for _ in range(30):
        wish = wish.copy()
        wish[0] += 1.0 * DT
        world.advance()
        codes.append(world.tick(world.proposal(wish), sample=world.sample(q=frozen)).code)
    assert codes.index("plant.frozen") <= 0.1 / (1.0 * DT) + 2


def test_a_robot_side_that_is_late_has_not_frozen(world):
    """Joint states stop for 90 ms at full speed; nothing is known meanwhile, and that is another rule's matter."""
    wish = world.run_up(velocity=2.3)
    last = world.sample()
    for _ in range(10):
        wish = wish.copy()
        wish[0] += 2.3 * DT
        world.advance()
        assert world.tick(world.proposal(wish), sample=last).action is Action.PASS


def test_silence_of_the_robot_side_while_something_presses_does_not_latch(world):
    """Found on the graph: the timers went on although nothing new was known."""
    verdicts = blocked(world, 30, velocity=0.3, load=0.9)
    assert verdicts[-1].mode is Mode.ACTIVE
    last, report = world.sample(q=world.robot.home), motors(world, load=np.full(world.n, 0.9))
    codes = []
    for _ in range(96):
        world.advance()
        codes.append(world.tick(sample=last, motors=report).code)
    assert "plant.stall" not in codes
    assert codes[-1] == "time.state_stale"
    assert world.supervisor.mode is Mode.HOLD


def test_an_arm_that_stands_may_give_the_same_reading_for_ever(world):
    world.start()
    assert all(world.step().action is Action.PASS for _ in range(600))


def test_a_command_on_its_way_to_a_blocked_joint_stands_when_the_joint_comes(world):
    """It was blocked at 0 and is being let go there; then it comes as far as 0.17 while the command is at 0.3."""
    blocked(world, 81)
    retreating = world.supervisor.state.output
    assert retreating.q[0] > 0.3
    assert retreating.step[0] < 0.0
    way = []
    for k in range(18):
        world.q = world.robot.home + 1e-6 * (k % 2)
        world.q[0] += 0.17
        world.advance()
        way.append(world.tick(motors=motors(world, load=np.full(world.n, np.nan))).command[0])
    assert way[-1] == way[-2]
    assert way[-1] > 0.2, "went on to where nothing is any more"
