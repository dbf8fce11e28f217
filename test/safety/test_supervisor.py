"""The supervisor as a whole: how it begins, that it is a function of state and tick, what it counts."""

import numpy as np
import pytest
from safety_world import PERIOD_NS, World

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor, initial_state, supervise
from so_arm_policy.safety.values import Action, Mode, TickInput


def test_before_the_first_joint_state_there_is_no_command(world):
    verdict = world.tick(sample=None)
    assert (verdict.mode, verdict.command, verdict.code) == (Mode.INIT, None, "time.no_state")
    verdict = world.silence()
    assert (verdict.mode, verdict.code) == (Mode.HOLD, "time.silent")
    np.testing.assert_array_equal(verdict.command, world.robot.home)


def test_the_same_tick_twice_gives_the_same_verdict(world):
    world.start()
    world.advance()
    tick = TickInput(
        now_ns=world.now_ns,
        ros_now_ns=world.ros_ns,
        sample=world.sample(),
        proposals={"pid": world.proposal(world.q + 0.05)},
    )
    state = world.supervisor.state
    first, second = (supervise(world.supervisor.setup, state, tick) for _ in range(2))
    assert first[0].command.tobytes() == second[0].command.tobytes()
    assert first[0].code == second[0].code


def test_counts_and_margins(world):
    world.start(ticks=5)
    assert world.supervisor.passed == 5
    assert 0.0 < world.supervisor.take_worst_margin() <= 1.0
    assert world.supervisor.take_worst_margin() == 1.0
    wish = world.q.copy()
    wish[0] += 0.05
    world.step(wish)
    assert world.supervisor.counts["limit.velocity"] == 1
    assert world.supervisor.worst_margin < 0.0
    assert sum(world.supervisor.counts.values()) == 1


def test_the_margin_is_the_share_of_the_limit_that_is_left(world):
    world.start()
    wish = world.q.copy()
    wish[0] += 0.25 * world.robot.acceleration[0] / 120**2
    nearest = (
        np.minimum(wish - world.robot.lower, world.robot.upper - wish) / (world.robot.upper - world.robot.lower) * 2
    )
    assert world.step(wish).margin == pytest.approx(min(nearest.min(), 0.75))


def test_the_arm_may_start_outside_its_limits_and_move_inward(robot):
    world = World(robot)
    world.q = robot.home.copy()
    world.q[0] = robot.upper[0] + 0.2
    outside = world.q.copy()
    world.tick()
    np.testing.assert_array_equal(world.silence().command, outside)
    wish = outside.copy()
    for _ in range(100):
        wish[0] = max(wish[0] - 0.005, 1.0)
        verdict = world.step(wish)
    assert verdict.action is Action.PASS
    assert world.q[0] < robot.upper[0]


@pytest.mark.parametrize("selected", ["", "system3", "PID"])
def test_an_unknown_first_source_refuses_to_start(robot, selected):
    with pytest.raises(ConfigError, match="expected one of"):
        Supervisor(SupervisorConfig(), robot, selected)


def test_state_starts_empty():
    state = initial_state("pid")
    assert (state.mode, state.selected, state.acting, state.output) == (Mode.INIT, "pid", "pid", None)
    assert PERIOD_NS == 8_333_333
