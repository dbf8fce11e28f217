"""Motions along a path, and from a state that moves: limits, ends, smoothness."""

import math

import numpy as np
import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.ruckig_motion import braking, reaching
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.motion.timing import MotionLimits, time_path
from so_arm_policy.core.errors import InputError, ShapeError
from so_arm_policy.robot.description import load_robot

ROBOTS = [load_robot("so101"), load_robot("so101_bimanual")]
ROBOT = ROBOTS[0]
N = len(ROBOT.joints)
CONFIG = PlannerConfig()
LIMITS = MotionLimits.of(CONFIG, ROBOT)
TOLERANCE = 1e-6
DT = 1 / 120


def paths(robot, count, seed=0):
    """Paths of every length: lines of 1e-4 rad beside lines across the whole range, and joints that stand still."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        points = rng.uniform(robot.lower, robot.upper, (rng.integers(2, 10), len(robot.joints)))
        for i in range(1, len(points)):
            points[i] = points[i - 1] + (points[i] - points[i - 1]) * 10.0 ** rng.uniform(-4, 0)
        points[:, rng.integers(0, len(robot.joints))] = 0.0
        yield points


def samples(motion, step=DT):
    times = np.arange(0.0, motion.duration_s + step, step)
    return times, *(np.array(column) for column in zip(*(motion.at(t) for t in times), strict=True))


def assert_limits(motion, limits):
    for step in (DT, 1e-3):
        _, q, dq, ddq = samples(motion, step)
        assert (np.abs(dq) <= limits.velocity + TOLERANCE).all()
        assert (np.abs(ddq) <= limits.acceleration + TOLERANCE).all()
        # What the tick before and after it make of it; exact values may change between.
        assert (np.abs(np.diff(q, axis=0)) / step <= limits.velocity + TOLERANCE).all()
        assert (np.abs(np.diff(q, 2, axis=0)) / step**2 <= limits.acceleration + 1e-4).all()
    assert (np.abs(motion.jerk) <= limits.jerk + TOLERANCE).all()


def assert_smooth(motion):
    """The end of each piece is the beginning of the next."""
    ends = [*motion.starts_s[1:], motion.duration_s]
    for i, length in enumerate(ends - motion.starts_s):
        q, dq, ddq, jerk = motion.q[i], motion.dq[i], motion.ddq[i], motion.jerk[i]
        after = motion.at(ends[i])
        np.testing.assert_allclose(q + length * (dq + length * (ddq / 2 + length * jerk / 6)), after[0], atol=1e-8)
        np.testing.assert_allclose(dq + length * (ddq + length * jerk / 2), after[1], atol=1e-7)
        np.testing.assert_allclose(ddq + length * jerk, after[2], atol=1e-5)


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda robot: robot.name)
def test_limits_are_kept_and_it_goes_from_rest_to_rest(robot):
    limits = MotionLimits.of(CONFIG, robot)
    for path in paths(robot, 25):
        motion = time_path(path, limits).motion
        assert_limits(motion, limits)
        assert_smooth(motion)
        for t, q in ((0.0, path[0]), (motion.duration_s, path[-1])):
            np.testing.assert_allclose(motion.at(t)[0], q, atol=1e-9)
            np.testing.assert_allclose(motion.at(t)[1], 0.0, atol=1e-9)
            np.testing.assert_allclose(motion.at(t)[2], 0.0, atol=1e-7)
        assert (np.diff(motion.starts_s) >= 0.0).all()


def test_a_straight_line_lasts_as_long_as_ruckig_needs_and_never_leaves_the_line():
    rng = np.random.default_rng(1)
    for _ in range(50):
        first = rng.uniform(ROBOT.lower, ROBOT.upper)
        last = first + (rng.uniform(ROBOT.lower, ROBOT.upper) - first) * 10.0 ** rng.uniform(-3, 0)
        motion = time_path(np.stack([first, last]), LIMITS).motion
        fastest = reaching(first, np.zeros(N), np.zeros(N), last, LIMITS)
        assert motion.duration_s == pytest.approx(fastest.duration_s, rel=1e-4)
        for other in (motion, fastest):
            _, q, _, _ = samples(other)
            share = (q - first) @ (last - first) / np.sum((last - first) ** 2)
            np.testing.assert_allclose(q, first + share[:, None] * (last - first), atol=1e-9)
            assert (np.diff(share) >= -1e-12).all()


def test_corners_are_cut_within_their_triangle_and_stops_are_not():
    for path in paths(ROBOT, 25, seed=2):
        timing = time_path(path, LIMITS)
        stopped = time_path(path, LIMITS, stops=range(len(path)))
        assert stopped.corners == ()
        assert len(timing.corners) == len(timing.corners_s) == len(path) - 2
        if timing.corners:
            assert timing.motion.duration_s < stopped.motion.duration_s
        for corner, (begin, end) in zip(timing.corners, timing.corners_s, strict=True):
            (first, *_), (last, *_) = timing.motion.at(begin), timing.motion.at(end)
            triangle = np.stack([first, path[corner], last])
            for point, a, b in ((first, path[corner - 1], path[corner]), (last, path[corner], path[corner + 1])):
                assert np.linalg.norm(point - a) + np.linalg.norm(b - point) == pytest.approx(np.linalg.norm(b - a))
            for t in np.linspace(begin, end, 11):
                q = timing.motion.at(t)[0]
                assert (q >= triangle.min(axis=0) - 1e-9).all()
                assert (q <= triangle.max(axis=0) + 1e-9).all()
        _, q, dq, _ = samples(stopped.motion, 1e-4)
        for point in path:
            nearest = int(np.linalg.norm(q - point, axis=1).argmin())
            assert np.linalg.norm(q[nearest] - point) < 1e-3
            assert np.abs(dq[nearest]).max() < 0.05


def test_one_corner_may_be_a_stop_and_the_others_not():
    path = next(p for p in paths(ROBOT, 25, seed=3) if len(p) >= 6)
    timing = time_path(path, LIMITS, stops={3})
    assert timing.corners == tuple(i for i in range(1, len(path) - 1) if i != 3)
    assert_smooth(timing.motion)
    cuts = [t for pair in timing.corners_s for t in pair]
    assert cuts == sorted(cuts)


@pytest.mark.parametrize("times", [1, 3])
def test_a_path_that_goes_nowhere_stays(times):
    motion = time_path(np.tile(ROBOT.home, (times, 1)), LIMITS).motion
    assert motion.duration_s == 0.0
    for t in (-1.0, 0.0, 5.0):
        q, dq, ddq = motion.at(t)
        np.testing.assert_array_equal(q, ROBOT.home)
        assert not dq.any()
        assert not ddq.any()


def test_places_that_come_twice_change_nothing():
    path = next(paths(ROBOT, 1))
    once = time_path(path, LIMITS)
    twice = time_path(np.repeat(path, 2, axis=0), LIMITS)
    assert once.motion.duration_s == pytest.approx(twice.motion.duration_s)


def test_a_path_back_on_itself_turns_round():
    path = np.stack([ROBOT.home, ROBOT.home + 0.3, ROBOT.home])
    motion = time_path(path, LIMITS).motion
    assert_limits(motion, LIMITS)
    np.testing.assert_allclose(motion.end, ROBOT.home, atol=1e-9)


def states(count, seed=0):
    """States that such limits can lead to: the velocity that is left when the acceleration is given up is legal."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        ddq = rng.uniform(-1, 1, N) * LIMITS.acceleration
        room = LIMITS.velocity - ddq**2 / (2 * LIMITS.jerk)
        yield rng.uniform(ROBOT.lower, ROBOT.upper), rng.uniform(-1, 1, N) * room, ddq


@pytest.mark.parametrize("goal", [None, ROBOT.home, ROBOT.rest], ids=["anywhere", "home", "rest"])
def test_from_a_moving_state_it_comes_to_rest_within_the_limits(goal):
    for state in states(60):
        motion = braking(*state, LIMITS) if goal is None else reaching(*state, goal, LIMITS)
        assert_limits(motion, LIMITS)
        assert_smooth(motion)
        for got, expected in zip(motion.at(0.0), state, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-9)
        q, dq, ddq = motion.at(motion.duration_s)
        if goal is not None:
            np.testing.assert_allclose(q, goal, atol=1e-7)
        np.testing.assert_allclose(dq, 0.0, atol=1e-7)
        np.testing.assert_allclose(ddq, 0.0, atol=1e-5)


def test_a_state_beyond_the_limits_is_led_back_into_them():
    dq = 1.5 * LIMITS.velocity * np.array([1, -1, 1, 0, 0, 1])
    ddq = 1.2 * LIMITS.acceleration * np.array([1, -1, 0, 0, 1, -1])
    for motion in (braking(ROBOT.home, dq, ddq, LIMITS), reaching(ROBOT.home, dq, ddq, ROBOT.rest, LIMITS)):
        assert_smooth(motion)
        np.testing.assert_allclose(motion.at(0.0)[1], dq, atol=1e-12)
        np.testing.assert_allclose(motion.at(motion.duration_s)[1], 0.0, atol=1e-7)
        _, _, speed, _ = samples(motion)
        assert np.abs(speed[len(speed) // 2 :]).max() <= LIMITS.velocity.max() + TOLERANCE


def test_braking_lasts_no_longer_than_the_limits_say():
    for state in states(60, seed=1):
        most = 2 * LIMITS.acceleration / LIMITS.jerk + LIMITS.velocity / LIMITS.acceleration
        assert braking(*state, LIMITS).duration_s <= (most + LIMITS.acceleration / LIMITS.jerk).max()


def test_the_same_question_gives_the_same_bits():
    path = next(paths(ROBOT, 1))
    state = next(states(1))
    for make in (lambda: time_path(path, LIMITS).motion, lambda: reaching(*state, ROBOT.home, LIMITS)):
        first, second = make(), make()
        assert first.duration_s == second.duration_s
        assert all((getattr(first, f) == getattr(second, f)).all() for f in ("starts_s", "q", "dq", "ddq", "jerk"))


def test_one_motion_after_another():
    path = np.stack([ROBOT.home, ROBOT.rest])
    there, back = time_path(path, LIMITS).motion, time_path(path[::-1], LIMITS).motion
    both = there.followed_by(back)
    assert both.duration_s == there.duration_s + back.duration_s
    np.testing.assert_allclose(both.at(there.duration_s + 0.2)[0], back.at(0.2)[0], atol=1e-12)
    np.testing.assert_allclose(both.end, ROBOT.home, atol=1e-9)
    assert_smooth(both)


@pytest.mark.parametrize(
    "path",
    [
        np.full((2, N), np.nan),
        np.zeros((2, N - 1)),
        np.zeros(N),
    ],
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ShapeError, match="path"):
        time_path(path, LIMITS)


@pytest.mark.parametrize("bad", [np.full(N, np.nan), np.zeros(N - 1), np.full(N, math.inf)])
def test_states_that_cannot_be_are_refused(bad):
    zeros = np.zeros(N)
    for state in ((bad, zeros, zeros), (zeros, bad, zeros), (zeros, zeros, bad)):
        with pytest.raises(ShapeError):
            braking(*state, LIMITS)
    with pytest.raises(ShapeError, match="goal"):
        reaching(zeros, zeros, zeros, bad, LIMITS)


def test_times_of_a_motion_are_checked():
    row = np.zeros((1, N))
    with pytest.raises(ShapeError, match="times"):
        TimedPath(np.array([0.5]), 1.0, row, row, row, row)
    with pytest.raises(ShapeError, match="times"):
        TimedPath(np.zeros(1), -1.0, row, row, row, row)
    with pytest.raises(ShapeError, match="jerk"):
        TimedPath(np.zeros(1), 1.0, row, row, row, np.zeros((2, N)))
    with pytest.raises(InputError, match="nan"):
        TimedPath(np.zeros(1), 1.0, row, row, row, row).at(math.nan)
