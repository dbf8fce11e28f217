"""A hand, what is in it, and the ways from one hand to the other: by the geometry of what they promise."""

import math

import numpy as np
import pytest

from so_arm_policy.control.grasp import GAP_AT_ZERO_M, GAP_PER_RAD_M, TIP_FROM_FIXED_JAW_M, WIDEST_M
from so_arm_policy.control.hand import HELD_RAD, Hand
from so_arm_policy.control.in_hand import closed_on, half_along, in_hand, with_thing
from so_arm_policy.control.passing import BACK_M, SIDE_CLEARANCE_M, TAKER_SQUEEZE_RAD, passings, takings, turned
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import HALF_SIZES, KINDS
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import arm_iks

ROBOT = load_robot("so101_bimanual")
DROP_M = 0.036
FLOOR = np.array([0.2, -0.28, 0.004])
UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def hands():
    return Hand.all_of(ROBOT, arm_iks(ROBOT))


def thing(kind, yaw=0.3, at=(0.22, 0.2)):
    c, s = math.cos(yaw), math.sin(yaw)
    R_world_thing = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Thing(color="red", kind=kind, position=np.array([*at, HALF_SIZES[kind][2]]), R_world_thing=R_world_thing)


def table(kind, **where):
    return Tabletop(things=(thing(kind, **where),), places={"bowl": FLOOR})


def test_a_hand_is_where_it_was_sent_and_the_other_arm_stays(hands):
    for hand, y in zip(hands, (0.15, -0.15), strict=True):
        point, start = np.array([0.22, y, 0.1]), ROBOT.home
        q = hand.solve(point, start, roll=0.4)
        pose = hand.pose(q)
        np.testing.assert_allclose(pose.tip, point, atol=3e-3)
        np.testing.assert_allclose(pose.ahead, -UP, atol=0.1)  # as far as five joints can
        yaw = hand.facing(point) + 0.4
        np.testing.assert_allclose(pose.jaws, [math.cos(yaw), math.sin(yaw), 0.0], atol=0.1)
        np.testing.assert_allclose(turned(hand.facing(point), math.pi / 2, 0.4), pose.R_world_hand, atol=0.1)
        others = np.setdiff1d(np.arange(len(q)), hand.ik.joints)
        np.testing.assert_array_equal(q[others], start[others])
        np.testing.assert_array_equal(hand.moved(start, q), q)


def test_a_gripper_that_did_not_close_as_far_as_it_was_sent_holds_something(hands):
    sent = ROBOT.home
    for hand in hands:
        assert hand.holds(hand.gripping(sent, sent[hand.ik.gripper] + 2 * HELD_RAD), sent)
        assert not hand.holds(sent, sent)
        assert not hand.holds(np.full(len(sent), np.nan), sent)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_a_hand_goes_with_it_and_closing_pushes_it_against_the_fixed_jaw(hands, kind):
    hand = hands[0]
    stood = thing(kind)
    down = hand.pose(hand.solve(stood.position, ROBOT.home, roll=0.0))
    back = in_hand(stood, down).at(down)
    np.testing.assert_allclose(back.position, stood.position, atol=1e-12)
    np.testing.assert_allclose(back.R_world_thing, stood.R_world_thing, atol=1e-12)
    taken = closed_on(stood, down).at(down)
    from_tip = (taken.position - down.tip) @ down.jaws
    assert from_tip - half_along(stood, down.jaws) == pytest.approx(-TIP_FROM_FIXED_JAW_M)
    across = np.cross(down.jaws, down.ahead)
    assert (taken.position - stood.position) @ across == pytest.approx(0.0, abs=1e-12)


def test_extents_are_those_of_the_shapes():
    x, y, z = HALF_SIZES["brick"]
    along = np.array([0.6, 0.0, 0.8])
    assert half_along(thing("brick", yaw=0.0), along) == pytest.approx(0.6 * x + 0.8 * z)
    r, _, h = HALF_SIZES["can"]
    for yaw in (0.0, 0.5, 1.0):
        assert half_along(thing("can", yaw=yaw), along) == pytest.approx(0.6 * r + 0.8 * h)
    assert half_along(thing("cube"), UP) == HALF_SIZES["cube"][2]


def test_one_thing_of_a_table_is_replaced():
    before = Tabletop(things=(thing("cube"), thing("can"), thing("brick")), places={"bowl": FLOOR})
    after = with_thing(before, 1, thing("can", at=(0.1, 0.0)))
    assert after.things[::2] == before.things[::2]
    assert after.things[1].position[0] == 0.1
    assert after.places == before.places


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("yaw", [-1.2, 0.3, 1.4])
def test_the_taker_closes_on_the_thing_where_the_giver_holds_it_and_lets_it_go_over_its_place(hands, kind, yaw):
    giver, taker = hands
    there = table(kind, yaw=yaw)
    taking = next(takings(giver, there, 0))
    for number, way in zip(range(3), passings(giver, taker, taking, FLOOR, DROP_M), strict=False):
        held, hand = way.there, taker.pose(way.around)
        assert held.position[2] > 0.1, number
        width = 2 * half_along(held, hand.jaws)
        assert width <= WIDEST_M
        middle = (held.position - hand.tip) @ hand.jaws
        assert middle - width / 2 == pytest.approx(SIDE_CLEARANCE_M - TIP_FROM_FIXED_JAW_M, abs=4e-3)
        shut = way.taken[taker.ik.gripper]
        assert GAP_AT_ZERO_M + GAP_PER_RAD_M * (shut + TAKER_SQUEEZE_RAD) == pytest.approx(width)
        waits = taker.pose(way.meet)
        assert np.linalg.norm(waits.tip - hand.tip) == pytest.approx(BACK_M, abs=6e-3)
        over = in_hand(held, hand).at(taker.pose(way.lowered))
        np.testing.assert_allclose(over.position[:2], FLOOR[:2], atol=0.012)
        lowest = over.position[2] - half_along(over, UP)
        assert lowest > FLOOR[2] + DROP_M - 0.008
        for q in (way.meet, way.around, way.taken, way.freed, way.apart, way.above, way.lowered, way.away):
            assert ((q >= ROBOT.lower) & (q <= ROBOT.upper)).all()


def test_what_is_out_of_reach_says_so(hands):
    giver, taker = hands
    with pytest.raises(InputError, match="inverse kinematics"):
        next(takings(giver, table("cube", at=(0.2, -0.4)), 0))
    taking = next(takings(giver, table("cube"), 0))
    with pytest.raises(InputError, match="inverse kinematics"):
        next(passings(giver, taker, taking, np.array([0.2, 0.5, 0.004]), DROP_M))
