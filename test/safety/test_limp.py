"""An arm that a stop lets go limp: when its torque goes, and in which steps it comes back."""

import numpy as np
import pytest
from safety_world import World

from so_arm_policy.core.values import MotorSample
from so_arm_policy.safety.values import Fault, Mode


@pytest.fixture
def limp_world(robot):
    """Stopped, fallen from where it was, and limp."""
    world = World(robot, estop_limp=True)
    world.start()
    world.step(estop="button")
    assert world.step().limp
    world.carry(world.q + 0.3)
    return world


def motors(world, torque_on=True, hot=False):
    unknown = np.full(world.n, np.nan)
    return MotorSample(
        stamp_ns=world.ros_ns,
        received_ns=world.now_ns,
        load=unknown,
        temperature_c=np.full(world.n, 99.0 if hot else 30.0),
        voltage_v=unknown,
        torque_on=np.full(world.n, torque_on),
    )


def test_the_arm_brakes_before_its_torque_goes(robot):
    world = World(robot, estop_limp=True)
    world.run_up()
    verdict = world.step(estop="button")
    braking = 0
    while not verdict.limp:
        braking += 1
        verdict = world.step()
        assert verdict.mode is Mode.ESTOP
    assert braking > 5
    stood = verdict.command
    for _ in range(20):
        verdict = world.step()
        assert verdict.limp
        np.testing.assert_array_equal(verdict.command, stood)


def test_a_stop_holds_with_torque_unless_told_otherwise(robot):
    world = World(robot)
    world.start()
    assert not world.step(estop="button").limp
    assert not world.step().limp


def test_every_stop_that_latches_lets_go_and_no_hold_does(robot):
    world = World(robot, estop_limp=True)
    world.start()
    fault = Fault(code="bus.lost", text="gone", latches=True)
    assert [world.step(faults=(fault,)).limp for _ in range(2)] == [True, True]
    world = World(robot, estop_limp=True)
    world.start()
    for _ in range(30):
        verdict = world.silence()
    assert (verdict.mode, verdict.limp) == (Mode.HOLD, False)


def test_the_first_reset_gives_the_torque_back_where_the_arm_is_and_the_second_lets_it_move(limp_world):
    world = limp_world
    fallen = world.q.copy()
    verdict = world.silence(reset=True)
    assert verdict.refused == "reset: the motors hold the arm again, where it is; reset once more"
    assert (verdict.mode, verdict.limp) == (Mode.ESTOP, False)
    np.testing.assert_array_equal(verdict.command, fallen)
    for _ in range(30):
        verdict = world.step(fallen + 0.1)
        assert (verdict.mode, verdict.limp) == (Mode.ESTOP, False)
        np.testing.assert_array_equal(verdict.command, fallen)
    assert world.step(fallen, reset=True).refused == ""
    assert world.step(fallen).mode is Mode.ACTIVE


def test_a_stop_between_the_two_resets_lets_go_again(limp_world):
    world = limp_world
    world.silence(reset=True)
    assert not world.silence().limp
    assert world.silence(estop="button").limp
    assert "the motors hold the arm again" in world.silence(reset=True).refused


@pytest.mark.parametrize("asked", [{"estop": "button"}, {"faults": (Fault(code="a.b", text="c", latches=True),)}])
def test_what_asks_for_a_stop_keeps_the_arm_limp(limp_world, asked):
    verdict = limp_world.silence(reset=True, **asked)
    assert verdict.limp
    assert verdict.refused.startswith("reset: the cause persists")


def test_motors_without_torque_refuse_the_second_reset_but_not_the_first(limp_world):
    world = limp_world
    world.advance()
    refused = world.tick(reset=True, motors=motors(world, torque_on=False)).refused
    assert "the motors hold the arm again" in refused
    world.advance()
    refused = world.tick(reset=True, motors=motors(world, torque_on=False)).refused
    assert "plant.torque_off" in refused
    world.advance()
    assert world.tick(reset=True, motors=motors(world)).refused == ""


def test_a_moving_arm_a_hot_motor_and_an_unknown_pose_stay_limp(limp_world):
    world = limp_world
    for changes, why in (
        ({"sample": world.sample(dq=np.full(world.n, 0.5))}, "joints move"),
        ({"motors": motors(world, torque_on=False, hot=True)}, "plant.temperature"),
        ({"sample": world.sample(q=np.full(world.n, np.nan))}, "schema.state"),
        ({"sample": None}, "time.no_state"),
    ):
        verdict = world.tick(reset=True, **changes)
        assert why in verdict.refused
        assert verdict.limp
        assert world.supervisor.state.going_limp
