"""The PID of a point: identities, bounds, and what it does on a plant that lags, drifts or is blocked."""

import math

import numpy as np
import pytest

from so_arm_policy.control.cartesian_pid import CartesianPid, CartesianPidConfig, at_most
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping

DT = 1 / 120
STILL = np.zeros(3)
FREE = {"deadband_m": 0.0, "speed_limit": 2.0, "acceleration_limit": 50.0}


def pid_of(**config):
    return CartesianPid(CartesianPidConfig(**config))


class Point:
    """A command that moves as it is told, and a point that follows it late, and drifts."""

    def __init__(self, lag_s=0.0, drift=STILL):
        self.command, self.at, self.lag_s, self.drift, self.blocked = STILL, STILL, lag_s, drift, False

    def step(self, velocity):
        """Return the velocity that the command got."""
        if self.blocked:
            return STILL
        self.command = self.command + (velocity + self.drift) * DT
        self.at = self.command if self.lag_s == 0.0 else self.at + (self.command - self.at) * DT / self.lag_s
        return velocity


def run(pid, point, target, ticks, target_velocity=STILL):
    """Return points (ticks, 3); the target moves at its velocity from where it is at the first tick."""
    points = []
    for k in range(ticks):
        velocity = pid.velocity(point.at, target + k * DT * target_velocity, target_velocity, DT)
        pid.settle(point.step(velocity), DT)
        points.append(point.at)
    return np.array(points)


def test_at_the_target_it_moves_as_the_target_does():
    moving = np.array([0.03, -0.02, 0.01])
    pid = pid_of()
    pid.reset(moving)
    np.testing.assert_allclose(pid.velocity(np.ones(3), np.ones(3), moving, DT), moving, atol=1e-15)


def test_a_small_error_gives_its_multiple():
    error = np.array([0.001, -0.002, 0.0005])
    np.testing.assert_allclose(pid_of(kp=5.0, **FREE).velocity(STILL, error, STILL, DT), 5.0 * error, atol=1e-15)


def test_the_derivative_brakes_what_the_point_does_and_not_what_the_target_does():
    one, other = pid_of(kd=0.2, **FREE), pid_of(kd=0.2, **FREE)
    for pid in (one, other):
        pid.velocity(STILL, STILL, STILL, DT)
    jumped = one.velocity(STILL, np.array([0.001, 0, 0]), STILL, DT)
    moved = other.velocity(np.array([-0.001, 0, 0]), STILL, STILL, DT)
    assert jumped[0] == pytest.approx(CartesianPidConfig().kp * 0.001)
    assert moved[0] > jumped[0] * 1.5


def test_turning_all_inputs_turns_the_output():
    rng = np.random.default_rng(1)
    R, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    plain, turned = pid_of(), pid_of()
    point, target, velocity = rng.normal(0, 0.05, (3, 3))
    for _ in range(50):
        wanted = plain.velocity(point, target, velocity, DT)
        np.testing.assert_allclose(turned.velocity(R @ point, R @ target, R @ velocity, DT), R @ wanted, atol=1e-12)
        plain.settle(wanted, DT)
        turned.settle(R @ wanted, DT)
        point = point + wanted * DT


def test_speed_and_acceleration_keep_their_bounds_whatever_it_is_told():
    rng = np.random.default_rng(2)
    pid, last = pid_of(ki=3.0, speed_limit=0.3, acceleration_limit=1.5), STILL
    for _ in range(2000):
        velocity = pid.velocity(*rng.normal(0, 0.2, (3, 3)), DT)
        assert np.linalg.norm(velocity) <= 0.3 + 1e-12
        assert np.linalg.norm(velocity - last) <= 1.5 * DT + 1e-12
        pid.settle(velocity, DT)
        last = velocity


@pytest.mark.parametrize("lag_s", [0.0, 0.02, 0.04])
@pytest.mark.parametrize("way_m", [0.01, 0.05, 0.25])
def test_it_arrives_without_overshoot(lag_s, way_m):
    target = way_m * np.array([0.6, 0.0, -0.8])
    points = run(pid_of(), Point(lag_s), target, 480)
    assert np.linalg.norm(points[-1] - target) < 0.001
    assert (points @ target / way_m).max() < way_m + 0.001


def test_a_target_that_moves_is_followed_without_lag_and_only_with_its_velocity():
    moving = np.array([0.05, 0.02, 0.0])

    def lag(told):
        pid, point = pid_of(), Point(0.03)
        for k in range(600):
            pid.settle(point.step(pid.velocity(point.at, k * DT * moving, told, DT)), DT)
        return np.linalg.norm(point.at - 600 * DT * moving)

    assert lag(moving) < 0.001
    assert lag(STILL) > 0.5 * np.linalg.norm(moving) / CartesianPidConfig().kp


def test_the_integral_closes_what_a_drift_leaves():
    drift = np.array([0.0, 0.0, -0.02])
    left = [np.linalg.norm(run(pid_of(ki=ki, kp=5.0, **FREE), Point(0.02, drift), STILL, 900)[-1]) for ki in (0.0, 4.0)]
    assert left[0] == pytest.approx(0.02 / (5.0 + 5.0 * 0.0), rel=0.1)
    assert left[1] < 1e-4


def overshoot(blocked_ticks):
    pid, point, target = pid_of(ki=3.0), Point(0.02), np.array([0.1, 0.0, 0.0])
    run(pid, point, target, 10)
    point.blocked = True
    run(pid, point, target, blocked_ticks)
    point.blocked = False
    return run(pid, point, target, 900)[:, 0].max() - 0.1


def test_the_integral_does_not_wind_up_while_the_point_is_blocked():
    assert overshoot(1200) <= overshoot(0) + 0.002


def test_within_the_deadband_nothing_moves():
    points = run(pid_of(deadband_m=0.003), Point(), np.array([0.002, 0.001, 0.001]), 100)
    assert not points.any()


def test_after_a_reset_it_is_as_new():
    used = pid_of(ki=2.0)
    run(used, Point(0.05), np.ones(3), 100)
    used.reset()
    target = np.array([0.05, 0.0, 0.02])
    np.testing.assert_array_equal(run(used, Point(0.02), target, 50), run(pid_of(ki=2.0), Point(0.02), target, 50))


def test_at_most_keeps_the_direction():
    v = np.array([3.0, 0.0, 4.0])
    np.testing.assert_array_equal(at_most(v, 5.0), v)
    np.testing.assert_allclose(at_most(v, 1.0), v / 5.0)
    assert not at_most(np.zeros(3), 0.0).any()


@pytest.mark.parametrize("name", list(to_mapping(CartesianPidConfig())))
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1e6])
def test_gains_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        CartesianPidConfig(**{name: value})
