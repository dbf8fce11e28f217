"""Paths among obstacles that are known by formula, in joint space: free, short enough, the same each time."""

import gc
import math
import weakref

import numpy as np
import pytest
from ompl import base, geometric
from ompl.util import RNG

from so_arm_policy.control.motion.clear import Near
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.planner import PLANNERS, MotionPlanner
from so_arm_policy.control.motion.query import PlanError, Query, Why
from so_arm_policy.control.motion.rrt_connect import rrt_connect
from so_arm_policy.control.motion.shortcut import shortened
from so_arm_policy.core.errors import InputError, ShapeError
from so_arm_policy.core.timegrid import TimeGrid
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action, TickInput

ROBOT = load_robot("so101")
TWO = load_robot("so101_bimanual")
N = len(ROBOT.joints)
LEFT, RIGHT = -1.0, 1.0
GRIPPER = 5
GRID = TimeGrid(origin_ns=10**18)


def pose(pan, lift=0.0, gripper=0.0, roll=0.0):
    return np.array([pan, lift, 0.0, 0.0, roll, gripper])


def near(room):
    return Near(room_m=room, distance_m=room + 0.01, first="gripper", second="wall")


def empty(q):
    return near(1.0)


def wall(q):
    """A wall 0.4 rad thick between left and right, with a way over it where the lift is above 0.9."""
    return near(max(abs(q[0]) - 0.2, q[1] - 0.9))


def sealed(q):
    """The same without a way over it."""
    return near(abs(q[0]) - 0.2)


def walls(q, middles):
    """Walls with a gap each, alternately where the lift is high and where it is low."""
    rooms = []
    for i, middle in enumerate(middles):
        past = (q[1] - 0.9) if i % 2 else (-0.9 - q[1])
        rooms.append(max(abs(q[0] - middle) - 0.05, past))
    return near(min(rooms))


def slalom(q):
    return walls(q, (-0.4, 0.4))


def comb(q):
    """Narrow: too much for RRT-Connect in its iterations, not for the roadmap."""
    return walls(q, (-0.6, -0.2, 0.2, 0.6))


def planner(name="rrt_connect", robot=ROBOT, **config):
    return MotionPlanner(PlannerConfig(planner=name, **config), robot)


def finely(path, step=0.001):
    for a, b in zip(path, path[1:], strict=False):
        count = max(1, math.ceil(np.linalg.norm(b - a) / step))
        yield from (a + share * (b - a) for share in np.linspace(0.0, 1.0, count + 1))


def length(path):
    return np.linalg.norm(np.diff(path, axis=0), axis=1).sum()


def assert_free(path, clear, resolution=0.01):
    """What is between two checked poses is at most half of the resolution from one of them; so is room in rad here."""
    assert min(clear(q).room_m for q in finely(path)) > -resolution / 2
    assert ((path >= ROBOT.lower) & (path <= ROBOT.upper)).all()


@pytest.fixture(params=PLANNERS)
def name(request):
    return request.param


def test_a_free_straight_line_is_taken(name):
    path = planner(name).plan(pose(LEFT), [pose(RIGHT)], empty, seed=0)
    np.testing.assert_array_equal(path, [pose(LEFT), pose(RIGHT)])


def test_who_is_there_stays(name):
    path = planner(name).plan(pose(LEFT), [pose(RIGHT), pose(LEFT)], wall, seed=0)
    np.testing.assert_array_equal(path, [pose(LEFT)])


@pytest.mark.parametrize("clear", [wall, slalom])
@pytest.mark.parametrize("seed", range(3))
def test_the_way_round_is_found_and_free_between_the_checked_poses(name, clear, seed):
    path = planner(name).plan(pose(LEFT), [pose(RIGHT)], clear, seed=seed)
    np.testing.assert_array_equal(path[[0, -1]], [pose(LEFT), pose(RIGHT)])
    assert len(path) > 2
    assert_free(path, clear)


def test_the_roadmap_finds_narrow_ways():
    path = planner("prm_star").plan(pose(LEFT), [pose(RIGHT)], comb, seed=0)
    assert_free(path, comb)


@pytest.mark.parametrize("seed", range(3))
def test_the_motion_is_free_too_although_corners_are_cut(name, seed):
    motion = planner(name).move(pose(LEFT), [pose(RIGHT)], slalom, seed=seed)
    times = np.arange(0.0, motion.duration_s, 1 / 1200)
    assert min(slalom(motion.at(t)[0]).room_m for t in times) > -0.005
    np.testing.assert_allclose(motion.end, pose(RIGHT), atol=1e-9)


def test_the_way_round_is_not_much_longer_than_the_shortest(name):
    """Over the wall's two edges, at 0.9 rad."""
    shortest = 2 * math.hypot(0.8, 0.9) + 0.4
    for seed in range(3):
        assert length(planner(name).plan(pose(LEFT), [pose(RIGHT)], wall, seed=seed)) < 1.3 * shortest


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_supervisor_lets_it_pass_untouched(scale):
    config = {f"{name}_scale": scale for name in ("velocity", "acceleration", "jerk")}
    for seed in range(3):
        motion = planner(**config).move(pose(LEFT), [pose(RIGHT)], slalom, seed=seed)
        assert_passes(motion)
        ticks = round(0.3 * motion.duration_s * 120)
        q, dq, ddq = motion.at(ticks / 120)
        other = planner(**config).move(q, [pose(LEFT)], slalom, seed=seed, dq=dq, ddq=ddq)
        assert_passes(motion, until=ticks, then=other)


def assert_passes(motion, until=None, then=None):
    """Every tick is a legal command; from tick number `until` on those of another motion."""
    supervisor = Supervisor(SupervisorConfig(), ROBOT, "planner")
    end = motion.duration_s if then is None else until / 120 + then.duration_s
    measured = motion.at(0.0)[0]
    for k in range(math.ceil(end * 120) + 1):
        now = GRID.due_ns(k)
        q, dq, _ = motion.at(k / 120) if then is None or k < until else then.at((k - until) / 120)
        wish = Proposal(
            source="planner",
            sequence=k,
            stamp_ns=now,
            observation_stamp_ns=now,
            received_ns=now,
            joint_names=ROBOT.joint_names,
            q=q,
            dq=dq,
        )
        sample = JointSample(stamp_ns=now, received_ns=now, q=measured, dq=np.zeros(N))
        verdict = supervisor.step(TickInput(now_ns=now, ros_now_ns=now, sample=sample, proposals={"planner": wish}))
        assert verdict.action is Action.PASS, verdict
        measured = verdict.command


def test_shortcuts_never_make_it_longer_and_keep_the_ends():
    config = PlannerConfig()
    for seed in range(5):
        query = Query(
            start=pose(LEFT),
            goals=pose(RIGHT)[None],
            lower=ROBOT.lower,
            upper=ROBOT.upper,
            free=lambda q: bool(slalom(q).room_m > 0.0),
            seed=seed,
            config=config,
        )
        path = rrt_connect(query)
        short = shortened(query, path)
        assert length(short) <= length(path)
        np.testing.assert_array_equal(short[[0, -1]], path[[0, -1]])
        assert_free(short, slalom)


def test_of_several_goals_one_that_can_be_reached_is_taken(name):
    goals = [pose(RIGHT), pose(LEFT, 0.4), pose(0.0)]
    path = planner(name).plan(pose(LEFT), goals, sealed, seed=0)
    np.testing.assert_array_equal(path[-1], pose(LEFT, 0.4))


def test_a_goal_behind_the_wall_is_taken_when_the_nearer_one_has_no_way(name):
    """The second goal is nearer and free, but shut in."""

    def shut(q):
        box = np.abs(q[:2] - [-1.0, -1.0]).max()
        return near(min(wall(q).room_m, abs(box - 0.3) - 0.05))

    path = planner(name).plan(pose(LEFT), [pose(RIGHT), pose(-1.0, -1.0)], shut, seed=0)
    np.testing.assert_array_equal(path[-1], pose(RIGHT))


def test_joints_that_are_to_be_still_are(name):
    start, goal = pose(LEFT, gripper=0.7, roll=0.3), pose(RIGHT, gripper=0.7, roll=0.3)
    path = planner(name).plan(start, [goal], slalom, seed=0, still=(4, GRIPPER))
    assert len(path) > 2
    assert (path[:, 4] == 0.3).all()
    assert (path[:, GRIPPER] == 0.7).all()
    assert_free(path, slalom)


def test_one_of_two_arms_moves():
    still = [i for i, joint in enumerate(TWO.joint_names) if joint.startswith("right_")]
    start, goal = TWO.home.copy(), TWO.home.copy()
    start[0], goal[0] = LEFT, RIGHT
    path = planner(robot=TWO).plan(start, [goal], slalom_of_two, seed=0, still=still)
    assert len(path) > 2
    assert (path[:, still] == TWO.home[still]).all()


def slalom_of_two(q):
    return slalom(q - TWO.home * (np.arange(len(q)) != 0))


def test_the_same_seed_gives_the_same_path_whatever_ran_before(name):
    asked = planner(name)
    first = asked.plan(pose(LEFT), [pose(RIGHT)], slalom, seed=7)
    asked.plan(pose(LEFT, 0.1), [pose(RIGHT)], wall, seed=8)
    planner("prm_star").plan(pose(LEFT), [pose(RIGHT)], wall, seed=9)
    [RNG().uniform01() for _ in range(10)]  # others use OMPL, too
    info = base.SpaceInformation(base.RealVectorStateSpace(2))
    geometric.RRTConnect(info)
    np.random.default_rng().uniform()
    for again in (asked, planner(name)):
        np.testing.assert_array_equal(again.plan(pose(LEFT), [pose(RIGHT)], slalom, seed=7), first)
    other = asked.plan(pose(LEFT), [pose(RIGHT)], slalom, seed=8)
    assert other.shape != first.shape or (other != first).any()


def test_seed_nought_is_a_seed(name):
    first, second = (planner(name).plan(pose(LEFT), [pose(RIGHT)], slalom, seed=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_search_keeps_nothing_of_its_question():
    class Walls:
        def __call__(self, q):
            return wall(q)

    walls = Walls()
    planner().plan(pose(LEFT), [pose(RIGHT)], walls, seed=0)
    gone = weakref.ref(walls)
    del walls
    gc.collect()
    assert gone() is None


def test_start_that_is_not_free_is_told_with_the_pair(name):
    with pytest.raises(PlanError, match=r"start.*gripper and wall -190.0 mm apart, expected more than 10.0") as error:
        planner(name).plan(pose(0.0), [pose(RIGHT)], sealed, seed=0)
    assert error.value.why is Why.START_NOT_FREE


def test_goals_that_are_not_free_are_told_with_the_pair(name):
    with pytest.raises(PlanError, match="goals.*gripper and wall.*gripper and wall") as error:
        planner(name).plan(pose(LEFT), [pose(0.0), pose(0.1)], sealed, seed=0)
    assert error.value.why is Why.GOALS_NOT_FREE


def test_where_there_is_no_way_it_says_so_after_its_iterations(name):
    asked = 0

    def count(q):
        nonlocal asked
        asked += 1
        return sealed(q)

    with pytest.raises(PlanError, match=f"{name} found none in 300 iterations") as error:
        planner(name, iterations=300).plan(pose(LEFT), [pose(RIGHT)], count, seed=0)
    assert error.value.why is Why.NO_PATH
    assert 100 < asked < 1_000_000


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.full(N, np.nan), ShapeError),
        (np.full(N, np.inf), ShapeError),
        (np.zeros(N - 1), ShapeError),
        (np.zeros((1, N)), ShapeError),
        (ROBOT.upper + 1e-6, InputError),
        (np.rad2deg(ROBOT.home), InputError),
    ],
)
def test_poses_that_cannot_be_are_refused(bad, error):
    with pytest.raises(error, match="start"):
        planner().plan(bad, [pose(RIGHT)], wall, seed=0)
    with pytest.raises(error, match="goal"):
        planner().plan(pose(LEFT), [pose(RIGHT), bad], wall, seed=0)
    with pytest.raises(error, match="start"):
        planner().move(bad, [pose(RIGHT)], wall, seed=0)


def test_no_goals_and_joints_that_cannot_be_still_are_refused():
    with pytest.raises(InputError, match="no goals"):
        planner().plan(pose(LEFT), [], wall, seed=0)
    with pytest.raises(InputError, match="'gripper'"):
        planner().plan(pose(LEFT), [pose(RIGHT, gripper=0.5)], wall, seed=0, still=(GRIPPER,))
    for still in ((N,), (-1,), range(N)):
        with pytest.raises(InputError, match="still"):
            planner().plan(pose(LEFT), [pose(LEFT)], wall, seed=0, still=still)


@pytest.mark.parametrize("seed", [-1, 2**31 - 1])
def test_seeds_that_ompl_does_not_take_are_refused(seed):
    with pytest.raises(InputError, match="seed"):
        planner().plan(pose(LEFT), [pose(RIGHT)], wall, seed=seed)
    assert len(planner().plan(pose(LEFT), [pose(RIGHT)], wall, seed=2**31 - 2)) > 2


def test_an_error_of_the_checker_comes_through(name):
    calls = 0

    def broken(q):
        nonlocal calls
        calls += 1
        if calls > 500:
            raise ShapeError("checker: got tired")
        return wall(q)

    with pytest.raises(ShapeError, match="tired"):
        planner(name, resolution_rad=0.001).plan(pose(LEFT), [pose(RIGHT)], broken, seed=0)


class TestMoving:
    """A start that moves already."""

    def test_in_free_space_it_does_not_stop(self):
        asked = planner()
        before = asked.move(pose(LEFT), [pose(0.0, 1.2)], empty, seed=0)
        q, dq, ddq = before.at(0.4)
        motion = asked.move(q, [pose(RIGHT)], empty, seed=0, dq=dq, ddq=ddq)
        for got, expected in zip(motion.at(0.0), (q, dq, ddq), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-12)
        np.testing.assert_allclose(motion.end, pose(RIGHT), atol=1e-7)
        inner = np.arange(0.0, motion.duration_s - 0.2, 1 / 120)
        assert min(np.abs(motion.at(t)[1]).max() for t in inner) > 0.5

    def test_before_an_obstacle_it_brakes_first_and_goes_round(self, name):
        asked = planner(name)
        before = asked.move(pose(-1.8), [pose(-0.4)], sealed, seed=0)
        q, dq, ddq = before.at(before.duration_s / 2)
        assert dq[0] > 0.5
        motion = asked.move(q, [pose(RIGHT)], wall, seed=0, dq=dq, ddq=ddq)
        for got, expected in zip(motion.at(0.0), (q, dq, ddq), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-12)
        times = np.arange(0.0, motion.duration_s, 1 / 600)
        assert min(wall(motion.at(t)[0]).room_m for t in times) > -0.005
        assert min(np.abs(motion.at(t)[1]).max() for t in times[60:-60]) < 0.05
        np.testing.assert_allclose(motion.end, pose(RIGHT), atol=1e-7)

    def test_what_brakes_too_late_is_told(self):
        dq = np.zeros(N)
        dq[0] = 1.4
        with pytest.raises(PlanError) as error:
            planner().move(pose(-0.21), [pose(RIGHT)], sealed, seed=0, dq=dq)
        assert error.value.why is Why.START_NOT_FREE

    def test_it_does_not_leave_the_limits_on_the_way(self):
        """Ruckig alone would: the shortest motion brakes beyond the limit and comes back."""
        dq = np.zeros(N)
        dq[0] = 1.4
        q = pose(ROBOT.upper[0] - 0.01)
        with pytest.raises(InputError, match="shoulder_pan"):
            planner().move(q, [pose(RIGHT)], empty, seed=0, dq=dq)

    def test_joints_that_are_to_be_still_must_not_move(self):
        dq = np.zeros(N)
        dq[GRIPPER] = 0.1
        with pytest.raises(InputError, match="still"):
            planner().move(pose(LEFT), [pose(RIGHT)], empty, seed=0, dq=dq, still=(GRIPPER,))
        dq = np.zeros(N)
        dq[0] = 0.5
        motion = planner().move(pose(LEFT), [pose(RIGHT)], wall, seed=0, dq=dq, still=(GRIPPER,))
        assert all(motion.at(t)[0][GRIPPER] == 0.0 for t in np.arange(0.0, motion.duration_s, 1 / 120))

    @pytest.mark.parametrize("bad", [np.full(N, np.nan), np.zeros(N + 1)])
    def test_velocities_that_cannot_be_are_refused(self, bad):
        for name in ("dq", "ddq"):
            with pytest.raises(ShapeError, match="start"):
                planner().move(pose(LEFT), [pose(RIGHT)], empty, seed=0, **{name: bad})
