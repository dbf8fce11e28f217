"""How one joint comes to rest, against numbers worked out by hand and against one tick after the other."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from so_arm_policy.safety.stopping import all_given_up, given_up, slower, way_to_rest

ROUNDING = 1e-9


def tail(b, J):
    """What a change of b still takes off the move while it is given up by J a tick."""
    return sum(b - k * J for k in range(1, int(b / J) + 2) if b > k * J)


@pytest.mark.parametrize(
    ("u", "J", "b"),
    [
        (-2.0, 1.0, -2.0),
        (0.0, 1.0, 0.0),
        (0.5, 1.0, 0.5),
        (1.0, 1.0, 1.0),
        (2.0, 1.0, 1.5),
        (3.0, 1.0, 2.0),
        (4.5, 1.0, 2.5),
        (6.0, 1.0, 3.0),
        (1.5, 0.25, 0.75),
        (6.0, 2.0, 4.0),
    ],
)
def test_what_a_joint_may_give_up_by_hand(u, J, b):
    assert given_up(u, J) == pytest.approx(b, abs=1e-12)
    assert all_given_up(np.array([u]), np.array([J])) == pytest.approx([b], abs=1e-12)


@given(st.floats(0.0, 100.0), st.floats(0.01, 10.0))
def test_a_joint_gives_up_all_that_leaves_room_for_the_tail_and_no_more(u, J):
    b = given_up(u, J)
    assert b + tail(b, J) == pytest.approx(u, abs=1e-9 + 1e-9 * u)


def test_all_joints_give_up_what_each_would():
    u, J = np.array([-1.0, 0.3, 1.0, 7.0, 40.0]), np.array([1.0, 1.0, 0.5, 2.0, 0.1])
    np.testing.assert_allclose(all_given_up(u, J), [given_up(*pair) for pair in zip(u, J, strict=True)], atol=1e-12)


@pytest.mark.parametrize(
    ("u", "a", "then"),
    [
        (0.0, 0.0, 0.0),
        (10.0, 0.0, 9.0),  # one more of jerk
        (10.0, -1.0, 8.0),
        (20.0, -3.0, 17.0),  # no more than the acceleration limit
        (20.0, -2.5, 17.0),
        (20.0, 2.0, 21.0),  # still speeding up, by less
        (5.0, 3.0, 7.0),
        (3.0, -2.0, 1.0),  # from here on it gives up: 3, 1, 0
        (1.0, -2.0, 0.0),
        (1.0, 0.0, 0.0),
        (0.5, -3.0, -1.5),  # turning round too fast to stand still
        (0.5, -3.5, -2.0),  # faster than it may: at least with one jerk less
        (0.0, 1.0, 0.0),
        (0.0, 3.0, 2.0),
    ],
)
def test_the_next_move_of_a_joint_that_slows_down_by_hand(u, a, then):
    """With changes of at most 3, which change by at most 1."""
    assert slower(u, a, 3.0, 1.0) == pytest.approx(then, abs=1e-12)
    assert slower(-u, -a, 3.0, 1.0) == pytest.approx(-then, abs=1e-12)


def one_tick_after_the_other(u, a, A, J):
    at, places = 0.0, [0.0]
    while u != 0.0 or abs(a) > J:
        following = slower(u, a, A, J)
        u, a = following, following - u
        at += u
        places.append(at)
    return max(places), -min(places)


shares = st.floats(-1.0, 1.0)


@given(st.floats(-60.0, 60.0), shares, st.floats(0.5, 5.0), st.floats(0.05, 1.0))
@example(50.0, -1.0, 3.0, 0.3)
@example(-50.0, 1.0, 3.0, 0.3)
@example(50.0, 1.0, 3.0, 0.3)
@example(12.0, -1.0, 3.0, 1.0)
@example(9.0, -1.0, 3.0, 1.0)
@example(6.0, -1.0, 3.0, 1.0)
def test_the_way_to_rest_is_that_of_one_tick_after_the_other(u, share, A, jerk):
    a, J = share * A, jerk * A
    ahead, back = way_to_rest(u, a, A, J)
    assert (ahead, back) == pytest.approx(one_tick_after_the_other(u, a, A, J), abs=1e-9)
    assert (back, ahead) == pytest.approx(way_to_rest(-u, -a, A, J), abs=1e-9)


@pytest.mark.parametrize(
    ("u", "a", "ahead", "back"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 1.5, 0.5, 0.0),  # 0.5, and then nothing
        (3.0, 0.0, 2.5, 0.0),  # 2, 0.5
        (10.0, -1.0, 16.0, 0.0),  # 8, 5, 2 1/3, 2/3
        (0.0, -3.0, 0.0, 10.5),  # -2, -3, -3, -2, -0.5: it cannot stop turning round at once
        (0.5, -3.0, 0.0, 8.25),  # -1.5, -2.5, -2.5, -1.5, -0.25
    ],
)
def test_the_way_to_rest_by_hand(u, a, ahead, back):
    assert way_to_rest(u, a, 3.0, 1.0) == pytest.approx((ahead, back), abs=1e-12)


def test_the_way_to_rest_from_far_is_found_in_a_few_ticks_and_exact():
    """Full braking from 3 million: 3 a tick but for the last 6, so a million ticks, and half of all that way."""
    ahead, back = way_to_rest(3_000_000.0, -3.0, 3.0, 1.0)
    assert back == 0.0
    n = 1_000_000 - 2
    # n ticks of -3 end at a move of 6; from there 3, 1, 0 while the change is given up
    assert ahead == sum(3_000_000.0 - 3.0 * k for k in (1, n)) * n / 2 + 4.0
