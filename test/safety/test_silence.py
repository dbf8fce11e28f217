"""Silence of a source or of the arm: what bridges it, how the arm brakes, and who is heard again after it."""

import numpy as np
import pytest
from safety_world import Referee

from so_arm_policy.safety.values import Action, Mode


@pytest.mark.parametrize("velocity", [0.5, 2.3])
def test_silence_brakes_to_a_hold_within_the_braking_time(world, velocity):
    world.run_up(velocity=velocity)
    referee = Referee(world.robot, world.q)
    referee.velocity = world.supervisor.state.output.step * 120
    codes = [world.silence().code for _ in range(80)]
    for command in world.commands[-80:]:
        referee.look_at(command)
    timeout_ticks = int(0.05 * 120)
    assert codes[:timeout_ticks] == ["time.gap"] * timeout_ticks
    assert set(codes[timeout_ticks:]) == {"time.silent"}
    a, j = world.robot.acceleration[0], world.robot.jerk[0]
    braking_ticks = int(np.ceil((velocity / a + a / j) * 120)) + 1
    rest = world.commands[-80:][timeout_ticks + braking_ticks :]
    assert all(np.array_equal(command, rest[0]) for command in rest)
    assert world.supervisor.mode is Mode.HOLD


def test_silence_never_carries_the_arm_past_the_last_wish_by_more_than_it_takes_to_stop(world):
    wish = world.run_up(velocity=2.0)
    for _ in range(80):
        world.silence()
    a, j = world.robot.acceleration[0], world.robot.jerk[0]
    assert (world.q - wish)[0] <= 2.0 * (2.0 / (2 * a) + a / (2 * j) + 1 / 120)


def test_a_source_that_was_silent_may_be_restarted_and_count_from_zero(world):
    world.start()
    for _ in range(10):
        world.silence()
    world.sequence = -1
    assert world.step().action is Action.PASS


def test_a_missed_tick_is_bridged_with_the_velocity_of_the_source(world):
    """The source sends 120 commands a second, but now and then two of them meet the same tick."""
    wish = world.run_up(velocity=1.0)
    dq = np.zeros(world.n)
    dq[0] = 1.0
    world.advance()
    wish[0] += 1.0 / 120
    world.tick(world.proposal(wish, dq=dq))
    before = world.q.copy()
    verdict = world.silence()
    assert (verdict.action, verdict.code) == (Action.CLAMP, "time.gap")
    assert (verdict.command - before)[0] == pytest.approx(1.0 / 120)
    wish[0] += 2.0 / 120
    world.advance()
    assert world.tick(world.proposal(wish, dq=dq)).action is Action.PASS


def test_a_lie_about_the_velocity_moves_the_arm_no_more_than_one_tick_may(world):
    world.start()
    world.advance()
    world.tick(world.proposal(world.q, dq=np.full(world.n, 1e300)))
    before = world.q.copy()
    for _ in range(60):
        world.silence()
    assert (np.abs(world.q - before) <= world.supervisor.setup.limits.velocity_step + 1e-9).all()


@pytest.mark.parametrize("sequence", [lambda k: 5, lambda k: -k], ids=["stands", "falls"])
def test_a_source_whose_sequence_does_not_grow_moves_nothing_however_long(world, sequence):
    wish = world.run_up(velocity=1.0)
    for _ in range(30):
        wish = wish.copy()
        wish[0] += 1.0 / 120
        world.step(wish)
    ahead = []
    for k in range(120):
        wish = wish.copy()
        wish[0] += 1.0 / 120
        world.advance()
        verdict = world.tick(world.proposal(wish, sequence=sequence(k)))
        ahead.append(verdict.command[0])
    assert verdict.code == "time.sequence"
    assert ahead[-1] == ahead[30]


def test_a_source_comes_back_after_a_stranger_s_large_sequence_number(world):
    world.start()
    world.advance()
    world.tick(world.proposal(sequence=10**9))
    codes = [world.step().code for _ in range(10)]
    assert codes[0] == "time.sequence"
    assert codes[-1] == ""


def test_joint_state_silence_holds_and_recovers(world):
    world.start()
    last = world.sample()
    codes = []
    for _ in range(20):
        world.advance()
        codes.append(world.tick(world.proposal(), sample=last).code)
    assert codes[0] == ""
    assert codes[-1] == "time.state_stale"
    assert world.step().action is Action.PASS
