"""What people ask for, case by case: stop, reset and selection, and what each of them makes the supervisor forget."""

import numpy as np
import pytest
from safety_world import PERIOD_NS, World

from so_arm_policy.core.values import MotorSample
from so_arm_policy.safety.requests import stop_cause
from so_arm_policy.safety.values import Action, Fault, Finding, Mode, TickInput

MS = 1_000_000


def unpaid(world, *proposals, **changes):
    """A tick right after the last one, for which no time has passed."""
    while world.supervisor.state.credit_ns >= PERIOD_NS:
        world.advance(1)
        world.tick()
    world.advance(1)
    return world.tick(*proposals, **changes)


def asked(**changes):
    return stop_cause(TickInput(now_ns=1, ros_now_ns=1, sample=None, proposals={}, **changes))


def test_what_asks_for_a_stop():
    assert asked() is None
    assert asked(estop="button") == Finding("estop.request", "button", Action.ESTOP)
    assert asked(estop="") == Finding("estop.request", "emergency stop", Action.ESTOP)
    passing, latching = Fault(code="a.b", text="one"), Fault(code="c.d", text="two", latches=True)
    assert asked(faults=(passing,)) is None
    assert asked(faults=(passing, latching)) == Finding("c.d", "two", Action.ESTOP)
    assert asked(faults=(latching,), estop="button").code == "estop.request"


def test_the_first_cause_of_a_stop_stays_until_the_reset(world):
    world.start()
    assert world.step(estop="button").text == "button"
    for _ in range(20):
        assert world.step(estop="another").text == "button"
    fault = Fault(code="bus.lost", text="servo bus gone", latches=True)
    assert world.step(faults=(fault,)).code == "estop.request"


def test_a_stop_in_the_tick_of_a_reset_wins(world):
    world.start()
    for changes in ({"estop": "button"}, {"faults": (Fault(code="bus.lost", text="gone", latches=True),)}):
        for _ in range(10):
            world.step(estop="first")
        verdict = world.step(reset=True, **changes)
        assert verdict.mode is Mode.ESTOP
        assert verdict.refused.startswith("reset: the cause persists")
        assert world.step(reset=True).mode is Mode.ACTIVE


def test_both_what_was_asked_for_in_vain_is_said(world):
    world.start()
    refused = world.step(select="planer", reset=True).refused
    assert refused.startswith("select: got source 'planer', expected one of ['system1', 'pid',")
    assert refused.endswith("; reset: got state ACTIVE, expected ESTOP or HOLD")


def test_a_stop_and_a_reset_count_even_in_a_tick_that_no_time_has_paid_for(world):
    world.start()
    assert unpaid(world, estop="button").mode is Mode.ESTOP
    verdict = unpaid(world, reset=True)
    assert (verdict.mode, verdict.refused) == (Mode.HOLD, "")
    assert world.step().action is Action.PASS


def test_selecting_ends_what_the_old_source_did_even_in_a_tick_that_no_time_has_paid_for(world):
    world.tick()
    wish = world.q.copy()
    wish[0] += 0.1
    assert world.step(wish).code == world.step(wish).code == "continuity.blend"
    verdict = unpaid(world, select="teleop")
    assert (verdict.mode, verdict.source, world.supervisor.source) == (Mode.HOLD, "teleop", "teleop")


def test_a_newly_selected_source_acts_as_itself(world):
    world.start()
    for source in ("teleop", "pid"):
        world.advance()
        verdict = world.tick(world.proposal(source=source), select=source)
        assert (verdict.action, verdict.mode, verdict.source) == (Action.PASS, Mode.ACTIVE, source)
        assert world.supervisor.source == source


def test_a_newly_selected_source_counts_its_own_numbers_and_stamps(world):
    world.start()
    world.advance()
    older = world.proposal(source="teleop", sequence=-5, stamp_ns=world.ros_ns - 3 * PERIOD_NS)
    assert world.tick(older, select="teleop").action is Action.PASS


def test_a_selection_before_the_first_joint_state_and_in_a_stop_changes_the_source_only(world):
    verdict = world.tick(sample=None, select="teleop")
    assert (verdict.mode, verdict.source) == (Mode.INIT, "teleop")
    world.advance()
    world.tick(sample=None, estop="button")
    world.advance()
    verdict = world.tick(sample=None, select="hold")
    assert (verdict.mode, verdict.source) == (Mode.ESTOP, "hold")


def test_a_reset_returns_to_the_selected_source_from_the_fallback(robot):
    world = World(robot, fallback="hold")
    nan = np.full(world.n, np.nan)
    for q in (world.q, world.q, nan):
        world.advance()
        verdict = world.tick(world.proposal(q), world.proposal(source="hold"))
    assert (verdict.mode, verdict.source) == (Mode.FALLBACK, "hold")
    world.step(estop="button")
    world.advance()
    verdict = world.tick(world.proposal(), world.proposal(source="hold"), reset=True)
    assert (verdict.action, verdict.mode, verdict.source) == (Action.PASS, Mode.ACTIVE, "pid")


def test_after_a_reset_a_source_may_count_from_zero_at_once(world):
    world.start()
    world.step(estop="button")
    world.advance()
    verdict = world.tick(world.proposal(sequence=world.sequence), reset=True)
    assert (verdict.action, verdict.mode) == (Action.PASS, Mode.ACTIVE)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_at_a_reset_the_hold_moves_only_to_an_arm_that_is_further_than_015_away(robot, way):
    for away, moves in ((0.15, False), (np.nextafter(0.15, 1.0), True)):
        world = World(robot)
        world.q = np.zeros(world.n)
        for _ in range(3):
            world.silence()
        world.step(world.q, estop="button")
        world.advance()
        measured = np.zeros(world.n)
        measured[2] = away * way
        verdict = world.tick(reset=True, sample=world.sample(q=measured, dq=np.zeros(world.n)))
        assert (verdict.mode, verdict.refused) == (Mode.HOLD, "")
        np.testing.assert_array_equal(verdict.command, measured if moves else np.zeros(world.n))


@pytest.mark.parametrize("speed", [0.2, -0.2])
def test_a_reset_needs_an_arm_that_stands(world, speed):
    world.start()
    world.step(estop="button")
    for factor, mode in ((1.0001, Mode.ESTOP), (1.0, Mode.HOLD)):
        world.advance()
        dq = np.zeros(world.n)
        dq[1] = speed * factor
        verdict = world.tick(reset=True, sample=world.sample(dq=dq))
        assert verdict.mode is mode
        assert ("0.20 rad/s, expected at most 0.2" in verdict.refused) == (mode is Mode.ESTOP)


def test_after_a_reset_a_joint_that_sags_is_no_longer_let_go(world):
    """It was blocked and let go; later it sags a little below its command, which is no reason to follow it."""
    world.start()
    q = world.q.copy()
    stays = q.copy()
    for k in range(200):
        q = q.copy()
        q[0] = min(q[0] + 1.0 / 120, 1.0)
        world.q = stays + 1e-6 * (k % 2)
        world.advance()
        verdict = world.tick(world.proposal(q))
    assert (verdict.mode, verdict.code) == (Mode.ESTOP, "plant.following")
    assert abs(verdict.command[0] - stays[0]) < 1e-3, "it was let go"
    world.proposals.clear()
    world.advance()
    verdict = world.tick(reset=True)
    assert (verdict.mode, verdict.refused) == (Mode.HOLD, "")
    held = verdict.command.copy()
    for k in range(40):
        world.q = held.copy()
        world.q[1] -= 0.1 - 1e-6 * (k % 2)
        world.advance()
        np.testing.assert_array_equal(world.tick().command, held)


def test_a_stop_for_another_reason_lets_nothing_go(world):
    """A joint that lags while somebody presses the button is held where it was told to be."""
    world.start()
    for k in range(60):
        world.q = world.robot.home.copy()
        world.q[1] -= 0.1 - 1e-6 * (k % 2)
        world.advance()
        verdict = world.tick(estop="button" if k == 0 else None)
        np.testing.assert_array_equal(verdict.command, world.robot.home)


def test_what_a_rule_stops_for_latches_as_well(world):
    world.start()
    world.advance()
    n = world.n
    hot = MotorSample(
        stamp_ns=world.ros_ns,
        received_ns=world.now_ns,
        load=np.zeros(n),
        temperature_c=np.full(n, 90.0),
        voltage_v=np.full(n, 7.4),
        torque_on=np.ones(n, dtype=bool),
    )
    assert world.tick(world.proposal(), motors=hot, select="teleop").code == "plant.temperature"
    for _ in range(5):
        assert world.step().code == "plant.temperature"
    assert world.supervisor.state.latched.code == "plant.temperature"
    verdict = world.step(reset=True, select="pid")
    assert (verdict.mode, verdict.refused, verdict.source) == (Mode.ACTIVE, "", "pid")
    assert world.supervisor.state.latched is None
