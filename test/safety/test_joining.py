"""An arm that is not where it was held: which source may join it there, and how it is led on."""

import numpy as np
from safety_world import Referee

from so_arm_policy.safety.values import Action, Mode


def test_an_arm_far_from_its_hold_is_not_joined_before_a_reset(world):
    world.start()
    for _ in range(10):
        world.silence()
    moved = world.robot.home.copy()
    moved[0] += 0.8
    verdict = world.carry(moved)
    assert (verdict.mode, verdict.code) == (Mode.ESTOP, "plant.following")
    assert 0.2 < verdict.command[0] < 0.5  # where the arm was when it was noticed
    assert world.carry(moved).mode is Mode.ESTOP
    world.q = moved.copy()
    assert world.step(moved, reset=True).action is Action.PASS


def test_an_arm_away_from_its_hold_is_not_joined_far_from_either(world):
    world.start()
    for _ in range(10):
        world.silence()
    moved = world.robot.home.copy()
    moved[0] += 0.25
    world.carry(moved)
    far = moved.copy()
    far[0] += 0.26
    world.advance()
    assert world.tick(world.proposal(far)).code == "continuity.far"


def test_an_arm_held_while_it_presses_is_led_away_from_where_it_is(world):
    """The command is 0.29 rad ahead of an arm that something blocks; the source starts again from the arm."""
    world.start()
    for _ in range(10):
        world.silence()
    blocked = world.robot.home.copy()
    blocked[2] -= 0.29
    world.carry(blocked)
    referee = Referee(world.robot, world.supervisor.state.output.q)
    for _ in range(120):
        world.q = blocked.copy()
        world.advance()
        verdict = world.tick(world.proposal(blocked))
        assert verdict.action in (Action.CLAMP, Action.PASS)
        referee.look_at(verdict.command)
    np.testing.assert_array_equal(verdict.command, blocked)
    assert verdict.action is Action.PASS
