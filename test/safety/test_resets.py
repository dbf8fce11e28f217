"""Emergency stops and faults latch; only a reset without a cause ends them, and nothing from before it acts."""

import numpy as np

from so_arm_policy.safety.values import Action, Fault, Mode

MS = 1_000_000


def test_an_emergency_stop_before_the_first_joint_state_latches(world):
    verdict = world.tick(sample=None, estop="button")
    assert (verdict.mode, verdict.command, verdict.action) == (Mode.ESTOP, None, Action.ESTOP)
    verdict = world.step()
    assert verdict.mode is Mode.ESTOP
    np.testing.assert_array_equal(verdict.command, world.robot.home)
    assert world.step(reset=True).mode is Mode.ACTIVE


def test_emergency_stop_latches_and_only_a_reset_without_cause_ends_it(world):
    wish = world.run_up()
    world.step(wish, estop="button")
    for _ in range(50):
        verdict = world.step(world.q)
        assert (verdict.action, verdict.mode, verdict.code) == (Action.ESTOP, Mode.ESTOP, "estop.request")
    rest = world.q.copy()
    verdict = world.step(rest, estop="button", reset=True)
    assert verdict.mode is Mode.ESTOP
    assert "the cause persists" in verdict.refused
    verdict = world.step(rest, reset=True)
    assert (verdict.mode, verdict.refused) == (Mode.ACTIVE, "")
    np.testing.assert_array_equal(verdict.command, rest)


def test_reset_is_refused_while_the_arm_still_brakes(world):
    wish = world.run_up(velocity=2.0)
    world.step(wish, estop="button")
    verdict = world.step(wish, reset=True)
    assert verdict.mode is Mode.ESTOP
    assert "braking" in verdict.refused


def test_reset_is_refused_without_a_fresh_joint_state(world):
    world.start()
    world.step(estop="button")
    world.advance()
    verdict = world.tick(reset=True, sample=world.sample(received_ns=world.now_ns - 200 * MS))
    assert (verdict.mode, "time.state_stale" in verdict.refused) == (Mode.ESTOP, True)


def test_reset_is_refused_when_there_is_nothing_to_reset(world):
    world.start()
    assert "expected ESTOP or HOLD" in world.step(reset=True).refused


def test_a_latching_fault_stops_and_its_persistence_refuses_the_reset(world):
    world.start()
    fault = Fault(code="bus.lost", text="servo bus gone", latches=True)
    verdict = world.step(faults=(fault,))
    assert (verdict.action, verdict.code) == (Action.ESTOP, "bus.lost")
    assert world.supervisor.counts["bus.lost"] == 1
    assert world.step().mode is Mode.ESTOP
    assert "bus.lost" in world.step(faults=(fault,), reset=True).refused
    assert world.step(reset=True).mode is Mode.ACTIVE


def test_nothing_from_before_a_reset_acts(world):
    world.start()
    world.step(estop="button")
    world.advance()
    old = world.proposal()
    world.advance()
    assert world.tick(old, reset=True).code == "time.before_reset"
    world.advance()
    chunk_from_before = world.proposal(observation_stamp_ns=old.stamp_ns)
    assert world.tick(chunk_from_before).code == "time.before_reset"
    assert world.step().action is Action.PASS


def test_after_a_reset_the_hold_is_where_the_arm_is_when_it_was_moved_by_hand(world):
    world.start()
    for _ in range(3):
        world.step(estop="button")
    moved = world.robot.home.copy()
    moved[0] += 0.8
    world.carry(moved)
    world.advance()
    verdict = world.tick(reset=True)
    np.testing.assert_array_equal(verdict.command, moved)
    world.q = moved + 0.03
    world.step(estop="button")
    world.q = moved + 0.03
    world.advance()
    np.testing.assert_array_equal(world.tick(reset=True).command, moved)


def test_an_arm_that_swings_is_not_reset(world):
    world.start()
    world.step(estop="button")
    for _ in range(30):
        world.step()
    world.advance()
    dq = np.zeros(world.n)
    dq[2] = -0.3
    refused = world.tick(reset=True, sample=world.sample(dq=dq))
    assert "0.30 rad/s" in refused.refused
    assert refused.mode is Mode.ESTOP
    world.advance()
    assert world.tick(reset=True).mode is Mode.HOLD
