"""Joint trajectories: through their points, smooth, immutable, and finished when they are over."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from so_arm_policy.core.errors import ChunkExpired, ShapeError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.trajectory import JointTrajectory

MS = 1_000_000
points = st.integers(2, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(MS, 200 * MS), min_size=n, max_size=n).map(np.cumsum),
        st.lists(st.lists(st.floats(-2, 2), min_size=2, max_size=2), min_size=n, max_size=n).map(np.array),
    )
)


@given(points)
def test_it_passes_through_its_points(drawn):
    trajectory = JointTrajectory(*drawn)
    for time, q in zip(*drawn, strict=True):
        np.testing.assert_allclose(trajectory.sample(int(time))[0], q, atol=1e-12)


@given(points)
def test_position_and_velocity_are_continuous_at_its_points(drawn):
    times, positions = drawn
    trajectory = JointTrajectory(times, positions)
    fastest = 1 + np.abs(trajectory.tangents).max() + np.abs(np.diff(positions, axis=0)).max() / 1e-3
    for time in times[1:-1]:
        (q0, v0), (q1, v1) = trajectory.sample(int(time) - 1), trajectory.sample(int(time))
        np.testing.assert_allclose(q0, q1, atol=1e-8 * fastest)
        np.testing.assert_allclose(v0, v1, atol=1e-4 * fastest)


def test_a_straight_line_stays_one():
    times = np.array([0, 10, 30, 40, 100]) * MS
    trajectory = JointTrajectory(times, (times / NS)[:, None] * [[1.0, -2.0]])
    for t in range(0, 100 * MS, 3 * MS):
        q, v = trajectory.sample(t)
        np.testing.assert_allclose(q, [t / NS, -2 * t / NS], atol=1e-12)
        np.testing.assert_allclose(v, [1.0, -2.0], atol=1e-9)


def test_velocity_is_the_derivative_of_position():
    times = np.arange(5) * 50 * MS
    trajectory = JointTrajectory(times, np.sin(np.arange(10.0)).reshape(5, 2))
    for t in range(1 * MS, 199 * MS, 7 * MS):
        numeric = (trajectory.sample(t + 1000)[0] - trajectory.sample(t - 1000)[0]) / 2e-6
        np.testing.assert_allclose(trajectory.sample(t)[1], numeric, rtol=1e-3)


def test_before_the_start_it_rests_and_after_the_end_it_is_over():
    trajectory = JointTrajectory(np.array([10, 20]) * MS, np.array([[1.0], [2.0]]))
    q, v = trajectory.sample(9 * MS)
    assert (q[0], v[0]) == (1.0, 0.0)
    assert trajectory.sample(20 * MS)[0][0] == 2.0
    with pytest.raises(ChunkExpired, match="ended 1.0 ms ago"):
        trajectory.sample(21 * MS)


def test_one_point_is_a_trajectory():
    trajectory = JointTrajectory(np.array([5]), np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(trajectory.sample(5)[0], [1.0, 2.0])
    np.testing.assert_array_equal(trajectory.sample(0)[1], [0.0, 0.0])


def test_the_part_after_a_time():
    trajectory = JointTrajectory(np.arange(4) * MS, np.arange(4.0)[:, None])
    rest = trajectory.after(2 * MS)
    assert rest is not None
    assert (rest.start_ns, rest.end_ns) == (2 * MS, 3 * MS)
    assert trajectory.after(3 * MS + 1) is None


@pytest.mark.parametrize("times", [[], [1, 1], [2, 1]])
def test_times_must_increase(times):
    with pytest.raises(ShapeError, match="strictly increasing"):
        JointTrajectory(np.array(times), np.zeros((len(times), 1)))


@pytest.mark.parametrize("positions", [np.zeros((3, 1)), np.zeros(2), np.array([[0.0], [np.nan]])])
def test_positions_must_fit_the_times(positions):
    with pytest.raises(ShapeError, match="positions"):
        JointTrajectory(np.array([1, 2]), positions)


def test_it_cannot_be_changed():
    positions = np.zeros((2, 1))
    trajectory = JointTrajectory(np.array([0, MS]), positions)
    positions[:] = 5.0
    assert not trajectory.sample(0)[0].any()
    for array in (trajectory.positions, trajectory.times_ns, trajectory.tangents):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
