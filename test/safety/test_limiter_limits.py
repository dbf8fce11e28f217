"""The limiter by hand, in round numbers: two joints that may move by 4, 1 more than before, and that by 0.5 more."""

from dataclasses import fields, replace

import numpy as np
import pytest

from so_arm_policy.safety import limiter
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.stopping import way_to_rest
from so_arm_policy.safety.values import Output

V, A, J = 4.0, 1.0, 0.5


def pair(value):
    return np.full(2, float(value))


LIMITS = Limits(
    names=("a", "b"),
    rate_hz=10,
    lower=pair(-100),
    upper=pair(100),
    velocity_step=pair(V),
    acceleration_step=pair(A),
    closing_step=pair(A / 2),
    jerk_step=pair(J),
    longest_stop=pair(way_to_rest(V, A, A, J)[0]),
    half_range=pair(100),
)
# Nothing but positions and velocity limits these.
AGILE = replace(LIMITS, acceleration_step=pair(1e6), jerk_step=pair(1e6), longest_stop=pair(V))


def scaled(share):
    """The same limits in another unit of length."""
    lengths = {f.name: getattr(LIMITS, f.name) * share for f in fields(LIMITS) if f.name not in ("names", "rate_hz")}
    return replace(LIMITS, **lengths)


def moving(step=0.0, bend=0.0, q=0.0):
    return Output(np.array([q, 0.0]), np.array([step, 0.0]), np.array([bend, 0.0]))


def moved(now, by, limits=LIMITS, before=None):
    return limiter.move(limits, now, before, now.q + np.array([by, 0.0]))


@pytest.mark.parametrize(
    ("step", "bend", "most", "code", "text"),
    [
        (0.0, 0.0, 0.5, "limit.jerk", "got 600 rad/s^3, expected at most 500"),
        (1.0, 0.0, 1.5, "limit.jerk", "got 600 rad/s^3, expected at most 500"),
        (1.0, 0.5, 2.0, "limit.acceleration", "got 110 rad/s^2, expected at most 100"),
        (1.0, 1.0, 2.0, "limit.acceleration", "got 110 rad/s^2, expected at most 100"),
        (4.0, 0.0, 4.0, "limit.velocity", "got 41 rad/s, expected at most 40"),
        (3.5, 0.5, 4.0, "limit.velocity", "got 41 rad/s, expected at most 40"),
        (3.0, 1.0, 3.75, "limit.braking", "got 38.500 rad/s at 3.8500 rad"),  # it has to give up 0.75: 0.25, then 0
        (3.0, 0.5, 3.75, "limit.braking", "expected to be able to stop before its velocity limit"),
    ],
)
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_the_largest_move_passes_and_a_larger_one_is_named_and_made_smaller(step, bend, most, code, text, way):
    now = moving(step * way, bend * way)
    for by in (most, most + 0.5e-9):
        motion = moved(now, by * way)
        assert motion.finding is None
        np.testing.assert_array_equal(motion.output.q, [by * way, 0.0])
    assert moved(now, (most + 3e-9) * way).finding is not None
    motion = moved(now, (most + 0.1) * way)
    assert motion.finding.code == code
    assert motion.finding.text.startswith("joint 'a': ")
    if way > 0:
        assert text in motion.finding.text
    assert abs(motion.output.step[0]) <= most + 1e-9


@pytest.mark.parametrize(("step", "bend", "least"), [(0.0, -0.5, -1.0), (3.0, 0.0, 2.5), (3.0, -1.0, 2.0)])
@pytest.mark.parametrize("way", [1.0, -1.0])
def test_the_smallest_move_passes_and_a_smaller_one_does_not(step, bend, least, way):
    now = moving(step * way, bend * way)
    assert moved(now, least * way).finding is None
    assert moved(now, (least - 3e-9) * way).finding is not None


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("step", [2.0, 4.0])
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_a_move_is_legal_while_the_joint_can_stop_before_its_position_limit(way, step, unit):
    limits, step, wall = scaled(unit), step * unit, 100.0 * unit
    ahead, _ = way_to_rest(step, 0.0, A * unit, J * unit)
    for room, passes in ((ahead, True), (ahead - 3e-9, False)):
        now = moving(step * way, 0.0, q=(wall - step - room) * way)
        motion = moved(now, step * way, limits)
        assert (motion.finding is None) is passes
    assert motion.finding.code == "limit.braking"
    assert "expected to be able to stop before its position limit" in motion.finding.text
    now = moving(step * way, 0.0, q=(wall - step - ahead + 0.3 * unit) * way)
    motion = moved(now, step * way, limits, before=now.q)
    stop, _ = way_to_rest(motion.output.step[0] * way, motion.output.bend[0] * way, A * unit, J * unit)
    assert abs(motion.output.q[0]) + stop <= wall + 1e-9
    assert motion.output.step[0] * way < step
    assert abs(motion.output.q[0]) + stop >= wall - 0.1 * unit, "it goes nearly as near as it may"


def test_the_joint_that_breaks_a_limit_most_is_named():
    now = Output.at_rest(np.zeros(2))
    assert "'b'" in limiter.move(LIMITS, now, None, np.array([0.6, -0.7])).finding.text
    assert "'a'" in limiter.move(LIMITS, now, None, np.array([-0.7, 0.6])).finding.text
    motion = limiter.move(LIMITS, now, None, np.array([101.0, -103.0]))
    assert motion.finding.code == "limit.position"
    assert "joint 'b': got -103.0000 rad, expected -100.0000..100.0000" in motion.finding.text
    assert "'a'" in limiter.move(LIMITS, now, None, np.array([103.0, -101.0])).finding.text
    late = Output(np.array([0.0, 98.3 - way_to_rest(2.0, 0.0, A, J)[0]]), np.array([0.0, 2.0]), np.zeros(2))
    finding = limiter.move(LIMITS, late, None, late.q + [0.5, 2.0]).finding
    assert finding.code == "limit.braking"
    assert "'b'" in finding.text


def test_a_joint_is_named_by_how_far_it_is_beyond_its_own_limit():
    uneven = replace(AGILE, velocity_step=np.array([4.0, 1.0]))
    finding = limiter.move(uneven, Output.at_rest(np.zeros(2)), None, np.array([4.1, 1.9])).finding
    assert finding.code == "limit.velocity"
    assert "joint 'b': got 19 rad/s, expected at most 10" in finding.text


def test_a_wish_right_at_a_position_limit_is_not_outside():
    assert moved(moving(q=99.0), 1.0).finding.code == "limit.jerk"
    assert moved(moving(q=99.0), 1.0 + 1e-9).finding.code == "limit.position"


def test_the_first_limit_that_is_broken_is_named():
    assert moved(moving(), 5.0).finding.code == "limit.velocity"
    assert moved(moving(), 1.1).finding.code == "limit.acceleration"
    assert moved(moving(), 0.9).finding.code == "limit.jerk"
    assert moved(moving(q=99.0), 5.0).finding.code == "limit.position"
    assert moved(moving(3.0, 1.0), 4.0).finding.code == "limit.braking", "velocity and acceleration are kept"


@pytest.mark.parametrize(
    ("now", "by", "margin"),
    [
        (moving(), 0.1, 0.8),  # of jerk
        (moving(1.0, 0.5), 1.6, 0.4),  # of acceleration
        (moving(3.0), 3.1, 0.225),  # of velocity
        (moving(q=99.0), 0.05, 0.0095),  # of position
        (moving(q=-99.0), -0.05, 0.0095),
        (moving(), -0.1, 0.8),
        (moving(-1.0, -0.5), -1.6, 0.4),
        (moving(), 0.5, 0.0),
        (moving(), 0.75, -0.5),
        (moving(q=100.0), 2.0, -3.0),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_the_margin_is_the_smallest_share_of_a_limit_that_is_left(now, by, margin, unit):
    now = Output(now.q * unit, now.step * unit, now.bend * unit)
    assert moved(now, by * unit, scaled(unit)).margin == pytest.approx(margin, abs=1e-9)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_wish_outside_is_approached_so_that_the_command_can_stop_at_the_limit(way):
    """u + u^2 / 2a = room with a = 0.5 and room = 1: the golden ratio."""
    motion = moved(moving(q=99.0 * way), 3.0 * way, AGILE)
    np.testing.assert_array_equal(motion.target, [100.0 * way, 0.0])
    assert motion.output.q[0] == pytest.approx((99.0 + (np.sqrt(5) - 1) / 2) * way)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_the_motion_of_the_wish_is_followed_while_the_distance_closes(way):
    now, before = moving(q=99.0 * way), np.array([99.5 * way, 0.0])
    close = 0.5 / (0.5 + np.sqrt(0.75))
    motion = moved(now, 3.0 * way, AGILE, before)
    assert motion.output.q[0] == pytest.approx((99.0 + close + 0.5) * way)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_wish_that_jumps_is_followed_no_faster_than_a_joint_may_move(way):
    """The wish went 10 on; at 0 the command is 0.5 behind where it was before."""
    now, before = moving(), np.array([0.5 * way, 0.0])
    motion = moved(now, 10.5 * way, AGILE, before)
    assert motion.output.q[0] == pytest.approx(4.0 * way)
    assert motion.finding.code == "limit.velocity"


def test_joints_are_shortened_together():
    most = pair(4.0)
    np.testing.assert_array_equal(limiter.shortened(np.array([8.0, 2.0]), most), [4.0, 1.0])
    np.testing.assert_array_equal(limiter.shortened(np.array([-8.0, 2.0]), most), [-4.0, 1.0])
    np.testing.assert_array_equal(limiter.shortened(np.array([4.0, -3.0]), most), [4.0, -3.0])
    np.testing.assert_array_equal(limiter.shortened(np.array([2.0, 6.0]), np.array([1.0, 2.0])), [2 / 3, 2.0])


def test_braking_slows_all_joints_down_in_the_same_proportion():
    now = Output(pair(1.0), np.array([2.0, 1.0]), np.zeros(2))
    then = limiter.brake(LIMITS, now)
    np.testing.assert_allclose(then.step, [1.5, 0.75])
    np.testing.assert_allclose(then.q, [2.5, 1.75])
    np.testing.assert_allclose(then.bend, [-0.5, -0.25])
    now = Output(pair(1.0), np.array([-1.0, 2.0]), np.zeros(2))
    np.testing.assert_allclose(limiter.brake(LIMITS, now).step, [-0.75, 1.5])


def test_a_joint_that_turns_round_brakes_on_its_own():
    now = Output(pair(0.0), np.array([0.25, 0.5]), pair(-1.0))
    np.testing.assert_allclose(limiter.brake(LIMITS, now).step, [-0.25, 0.0])
    now = Output(pair(0.0), np.array([0.25, 0.25]), pair(-1.0))
    np.testing.assert_allclose(limiter.brake(LIMITS, now).step, [-0.25, -0.25])


def test_a_joint_close_to_its_limit_brakes_as_hard_as_it_needs():
    """In the proportion of the first joint the second one would not stop in time."""
    ahead, _ = way_to_rest(1.0, 0.0, A, J)
    now = Output(np.array([0.0, 100.0 - ahead]), np.array([3.0, 1.0]), np.zeros(2))
    then = limiter.brake(LIMITS, now)
    np.testing.assert_allclose(then.step, [2.5, 0.5])
    far = replace(now, q=np.zeros(2))
    np.testing.assert_allclose(limiter.brake(LIMITS, far).step, [2.5, 2.5 / 3])


def test_a_command_at_rest_stays_where_it_is():
    rest = Output.at_rest(np.array([1.0, 2.0]))
    assert limiter.brake(LIMITS, rest) is rest
    turning = Output(np.zeros(2), np.zeros(2), np.array([0.4, 0.0]))
    assert limiter.brake(LIMITS, turning).resting is False or limiter.brake(LIMITS, turning).q is not turning.q
    again = limiter.brake(LIMITS, limiter.brake(LIMITS, turning))
    np.testing.assert_array_equal(again.q, turning.q)
    assert again.resting


def test_braking_never_leaves_the_limits():
    for way in (1.0, -1.0):
        late = Output(np.array([99.9 * way, 0.0]), np.array([2.0 * way, 0.0]), np.zeros(2))
        then = limiter.brake(LIMITS, late)
        assert then.q[0] == 100.0 * way
        outside = Output(np.array([101.0 * way, 0.0]), np.array([0.5 * way, 0.0]), np.zeros(2))
        assert limiter.brake(LIMITS, outside).q[0] == 101.0 * way


def test_parts_of_a_move_are_counted_from_braking_on():
    now = moving(1.0)
    parts = limiter.parts(LIMITS, now, np.array([1.5, 0.0]), (1.0, 0.5, 0.25, 0.0))
    np.testing.assert_allclose([p.step[0] for p in parts], [1.5, 1.0, 0.75, 0.5])
    np.testing.assert_allclose([p.q[0] for p in parts], [1.5, 1.0, 0.75, 0.5])
    np.testing.assert_allclose([p.bend[0] for p in parts], [0.5, 0.0, -0.25, -0.5])
    for way in (1.0, -1.0):
        edge = moving(1.0 * way, q=99.0 * way)
        parts = limiter.parts(LIMITS, edge, np.array([1.5 * way, 0.0]), (1.0, 0.0))
        np.testing.assert_allclose([p.q[0] for p in parts], [100.0 * way, 99.5 * way])


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_at_a_limit_a_joint_may_leave_it_and_stand_but_not_go_on(way):
    at_limit = moving(q=100.0 * way)
    assert moved(at_limit, 0.0).finding is None
    assert moved(at_limit, -0.5 * way).finding is None
    assert moved(at_limit, -0.5 * way - 3e-9 * way).finding is not None
    assert moved(at_limit, 0.1 * way).finding.code == "limit.position"
    assert moved(at_limit, 0.1 * way).output.q[0] == 100.0 * way


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_all_joints_are_scaled_together_on_the_line_from_braking_to_the_wish(way):
    """Braking is (0.5, 0); the wish is closed in upon at (5, 5/3), of which the first joint may do 1.5."""
    now = Output(np.zeros(2), np.array([1.0, 0.0]) * way, np.zeros(2))
    motion = limiter.move(LIMITS, now, None, np.array([30.0, 10.0]) * way)
    np.testing.assert_allclose(motion.output.step * way, [1.5, 10.0 / 27.0])
    np.testing.assert_allclose(motion.output.q * way, [1.5, 10.0 / 27.0])


def test_a_wish_that_would_be_too_fast_for_one_joint_slows_the_other_as_well():
    now = Output.at_rest(np.zeros(2))
    step = limiter.move(LIMITS, now, None, np.array([8.0, 2.0])).output.step
    np.testing.assert_allclose(step, [0.5, 0.125])
    step = limiter.move(LIMITS, now, None, np.array([-2.0, 8.0])).output.step
    np.testing.assert_allclose(step, [-0.125, 0.5])
