"""Rule 7, geometry, by hand: where a command comes to rest, and what is asked of a move that would be too near."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import Gap, World

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import geometry, limiter
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.stopping import way_to_rest
from so_arm_policy.safety.values import Action, Output

ROBOT = load_robot("so101")
SETUP = Setup.of(SupervisorConfig(), ROBOT)
LIMITS = SETUP.limits
N = len(ROBOT.joints)
V, A, J = (float(step[0]) for step in (LIMITS.velocity_step, LIMITS.acceleration_step, LIMITS.jerk_step))


class Walls:
    """Things that the first joint reaches: `where` gives the kind and the angle, one rad is one metre."""

    def __init__(self, where):
        self.where = where

    def nearest(self, q):
        return tuple(Gap(kind, at - float(q[0])) for kind, at in self.where.items())


def output(q=0.0, step=0.0, bend=0.0, joint=0):
    values = np.zeros((3, N))
    values[:, joint] = q, step, bend
    return Output(*values)


def motion(then, finding=None):
    return limiter.Motion(then, then.q, 0.5, finding)


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize(("step", "bend"), [(0.01, 0.0), (0.01, 0.001), (0.01, -0.001), (0.0001, 0.0)])
def test_a_command_comes_to_rest_after_its_braking_way(step, bend, way):
    ahead, _ = way_to_rest(step, bend, A, J)
    place = geometry.resting_place(LIMITS, output(0.3, step * way, bend * way, joint=2))
    expected = np.zeros(N)
    expected[2] = 0.3 + ahead * way
    np.testing.assert_allclose(place, expected)


def test_a_command_at_rest_is_where_it_comes_to_rest():
    rest = output(0.3)
    assert geometry.resting_place(LIMITS, rest) is rest.q
    barely = output(0.3, limiter.ROUNDING)
    assert geometry.resting_place(LIMITS, barely) is barely.q


def test_the_path_to_rest_is_that_of_the_joint_that_takes_longest():
    slow, fast = 0.002, 0.01
    step = np.zeros(N)
    step[0], step[1] = slow, -fast
    place = geometry.resting_place(LIMITS, Output(np.zeros(N), step, np.zeros(N)))
    ahead, _ = way_to_rest(fast, 0.0, A, J)
    np.testing.assert_allclose(place, step * ahead / fast)
    assert ahead / fast > way_to_rest(slow, 0.0, A, J)[0] / slow


def too_near(walls, now, then):
    made = motion(then)
    kept = geometry.keep_clear(SETUP, walls, now, made)
    if kept is made:
        return None
    assert kept.finding is not None
    return kept


@pytest.mark.parametrize(
    ("kind", "least"), [("self", 0.005), ("table", 0.0), ("arms", 0.02), ("hands", -0.004), ("keep_out", 0.01)]
)
def test_each_kind_has_its_own_smallest_distance(kind, least):
    step = 0.001
    ahead, _ = way_to_rest(step, step, A, J)
    now, then = output(), output(step, step, step)
    assert too_near(Walls({kind: step + ahead + least + 1e-9}), now, then) is None
    kept = too_near(Walls({kind: step + ahead + least - 1e-9}), now, then)
    assert kept.finding.code == f"geometry.{kind}"
    assert f"arm and wall: would stop {least * 1000 - 0.0:.1f} mm apart, expected {least * 1000:.1f}" in (
        kept.finding.text.replace("-0.0 mm", "0.0 mm")
    )


def test_a_place_right_at_the_smallest_distance_is_clear():
    """Numbers that are exact: the command stands, so it is at rest where it is."""
    setup = replace(SETUP, least_clearance={"table": 0.25})
    now = output(0.0)
    assert geometry.keep_clear(setup, Walls({"table": 1.0}), now, motion(output(0.75))).finding is None
    assert geometry.keep_clear(setup, Walls({"table": 1.0}), now, motion(output(0.7501))).finding is not None


def test_who_is_too_near_may_come_nearer_by_a_hundredth_of_a_millimetre():
    now = output(0.0)
    assert too_near(Walls({"table": 0.0}), now, output(1e-5)) is None
    assert too_near(Walls({"table": -0.01}), now, output(0.9e-5)) is None
    assert too_near(Walls({"table": -0.01}), now, output(1.1e-5)) is not None
    assert too_near(Walls({"table": -0.01}), now, output(-0.1)) is None


def test_the_first_kind_that_comes_nearer_is_told():
    now, then = output(0.0), output(0.001)
    kept = too_near(Walls({"self": 1.0, "table": -0.01, "keep_out": 0.001}), now, then)
    assert kept.finding.code == "geometry.table"


@pytest.mark.parametrize(("share", "at_most"), [(0.75, 0.749), (0.5, 0.499), (0.25, 0.249), (0.0, 0.0)])
def test_as_much_of_a_move_is_made_as_stays_clear(share, at_most):
    now = output(0.0, 0.01)
    braking, whole = limiter.parts(LIMITS, now, output(0.0, 0.0105).step * 1.0, (0.0, 1.0))
    wanted = motion(whole)
    parts = limiter.parts(LIMITS, now, whole.step, (share, min(share + 0.01, 1.0)))
    wall = geometry.resting_place(LIMITS, parts[0])[0] + 1e-7
    kept = geometry.keep_clear(SETUP, Walls({"table": wall}), now, wanted)
    assert kept.finding.code == "geometry.table"
    np.testing.assert_allclose(kept.output.step, parts[0].step, atol=1e-15)
    np.testing.assert_allclose(kept.output.q, parts[0].q, atol=1e-15)
    assert kept.target is wanted.target
    assert kept.margin == wanted.margin


def test_when_nothing_is_clear_the_command_brakes():
    now = output(0.0, 0.01)
    (braking,) = limiter.parts(LIMITS, now, now.step, (0.0,))
    kept = geometry.keep_clear(SETUP, Walls({"table": -1.0}), now, motion(output(0.01, 0.01)))
    np.testing.assert_array_equal(kept.output.q, braking.q)


def test_what_passes_is_left_as_it_is_whatever_the_limits_found():
    made = motion(output(0.001, 0.001))
    assert geometry.keep_clear(SETUP, Walls({"table": 1.0}), output(), made) is made


def test_without_a_model_of_the_arm_nothing_is_too_near_and_with_one_it_is_even_while_joining():
    for clearance, code in ((None, "continuity.blend"), (Walls({"table": -1.0}), "geometry.table")):
        world = World(ROBOT)
        world.supervisor._clearance = clearance
        world.tick()
        wish = world.q.copy()
        wish[0] += 0.1
        verdict = world.step(wish)
        assert (verdict.action, verdict.code) == (Action.CLAMP, code)
