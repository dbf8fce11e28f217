"""Who acts: a selection hands over without a jump, the fallback takes over at once."""

import numpy as np
from safety_world import Referee, World

from so_arm_policy.safety.values import Action, Mode


def test_selection_hands_over_at_speed_without_a_jump(world):
    wish = world.run_up(velocity=1.0)
    referee = Referee(world.robot, world.q)
    referee.velocity = world.supervisor.state.output.step * 120
    other = wish.copy()
    other[1] += 0.1
    for k in range(100):
        world.advance()
        verdict = world.tick(world.proposal(other, source="teleop"), select="teleop" if k == 0 else None)
        referee.look_at(verdict.command)
    assert (verdict.source, verdict.code) == ("teleop", "")
    np.testing.assert_array_equal(verdict.command, other)
    assert world.supervisor.counts["continuity.blend"] > 0


def test_an_unknown_selection_is_refused_and_changes_nothing(world):
    world.start()
    verdict = world.step(select="planer")
    assert "planer" in verdict.refused
    assert "planner" in verdict.refused
    assert (verdict.action, verdict.source) == (Action.PASS, "pid")


def test_selecting_a_source_in_an_emergency_stop_does_not_end_it(world):
    world.start()
    world.step(estop="button")
    world.advance()
    verdict = world.tick(world.proposal(source="teleop"), select="teleop")
    assert (verdict.mode, verdict.source) == (Mode.ESTOP, "teleop")


def both(world, wish, other):
    world.advance()
    return world.tick(world.proposal(wish), world.proposal(other, source="hold"))


def test_the_fallback_takes_over_in_the_same_tick_and_keeps_acting(robot):
    world = World(robot, fallback="hold")
    for _ in range(3):
        both(world, world.q, world.q)
    verdict = both(world, np.full(world.n, np.nan), world.q)
    assert (verdict.action, verdict.mode, verdict.code, verdict.source) == (
        Action.FALLBACK,
        Mode.FALLBACK,
        "schema.nonfinite",
        "hold",
    )
    verdict = both(world, world.q, world.q)
    assert (verdict.action, verdict.mode, world.supervisor.source) == (Action.PASS, Mode.FALLBACK, "pid")
    world.advance()
    verdict = world.tick(world.proposal(world.q), select="pid")
    assert (verdict.action, verdict.mode) == (Action.PASS, Mode.ACTIVE)


def test_when_the_fallback_fails_too_the_arm_holds_and_the_fallback_may_return(robot):
    world = World(robot, fallback="hold")
    nan = np.full(world.n, np.nan)
    for _ in range(3):
        both(world, world.q, nan)
    assert (both(world, nan, nan).mode, world.supervisor.mode) == (Mode.HOLD, Mode.HOLD)
    assert both(world, world.q, nan).mode is Mode.ACTIVE
    assert both(world, nan, world.q).mode is Mode.FALLBACK
    assert both(world, nan, nan).mode is Mode.HOLD
    assert both(world, world.q, world.q).mode is Mode.FALLBACK


def test_the_fallback_does_not_start_what_the_selected_source_has_not(robot):
    world = World(robot, fallback="hold")
    world.tick()
    world.advance()
    assert world.tick(world.proposal(source="hold")).mode is Mode.HOLD
