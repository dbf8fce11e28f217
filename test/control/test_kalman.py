"""The Kalman filter of a point: covariance, convergence, delay, order, outliers."""

import math

import numpy as np
import pytest

from so_arm_policy.control.kalman import KalmanConfig, PointKalman
from so_arm_policy.control.whereabouts import ELSEWHERE_SIGHTINGS, Followed, Standing
from so_arm_policy.core.errors import ConfigError, InputError, ShapeError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.timegrid import NS

START, SPEED = np.array([0.2, -0.05, 0.03]), np.array([0.05, 0.03, -0.01])
T0 = 10**18


def at(time_s, dims=3):
    return (START + SPEED * time_s)[:dims]


def stamp(time_s):
    return T0 + round(time_s * NS)


def fed(dims=2, seconds=2.0, noise_m=0.0, **config):
    kalman, rng = PointKalman(dims, KalmanConfig(**config)), np.random.default_rng(0)
    for k in range(round(seconds * 30)):
        kalman.update(at(k / 30, dims) + rng.normal(0, noise_m, dims), stamp(k / 30))
    return kalman


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_it_converges_to_a_target_of_constant_velocity(dims):
    position, velocity = fed(dims).at(stamp(59 / 30))
    np.testing.assert_allclose(position, at(59 / 30, dims), atol=1e-5)
    np.testing.assert_allclose(velocity, SPEED[:dims], atol=1e-3)


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.2])
def test_a_delay_is_made_up_for(delay_s):
    position, _ = fed().at(stamp(59 / 30 + delay_s))
    np.testing.assert_allclose(position, at(59 / 30 + delay_s, 2), atol=3e-4)


def test_the_covariance_stays_symmetric_and_positive():
    kalman, rng = PointKalman(3), np.random.default_rng(3)
    time_s = 0.0
    for _ in range(500):
        time_s += float(rng.uniform(1e-9, 0.3))
        kalman.update(at(time_s) + rng.normal(0, 0.003, 3), stamp(time_s))
        for ahead_s in (0.0, 1.0):
            P = kalman.covariance(stamp(time_s + ahead_s))
            np.testing.assert_allclose(P, P.T, atol=1e-15)
            assert np.linalg.eigvalsh(P).min() > 0.0


def test_what_was_not_seen_for_long_is_less_certain():
    kalman = fed()
    spread = [np.trace(kalman.covariance(stamp(2.0 + ahead_s))) for ahead_s in (0.0, 0.1, 0.5, 2.0)]
    assert spread == sorted(spread)
    assert spread[0] < spread[-1] / 10


def test_noise_is_filtered_and_its_size_is_known():
    """The error, measured in the filter's own standard deviations, is about one: Bar-Shalom's consistency test."""
    ratios, errors = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        kalman = PointKalman(2, KalmanConfig(measurement_m=0.004))
        for k in range(60):
            kalman.update(at(k / 30, 2) + rng.normal(0, 0.004, 2), stamp(k / 30))
        error = kalman.at(stamp(59 / 30))[0] - at(59 / 30, 2)
        P = kalman.covariance(stamp(59 / 30))[:2, :2]
        ratios.append(float(error @ np.linalg.solve(P, error)) / 2)
        errors.append(float(error @ error) / 2)
    assert math.sqrt(np.mean(errors)) < 0.7 * 0.004
    assert 0.2 < np.mean(ratios) < 1.3  # below 1: it allows for accelerations, and here there are none


def test_asking_changes_nothing_and_never_goes_back():
    kalman = fed()
    first = kalman.at(stamp(2.5))
    kalman.at(stamp(9.0))
    np.testing.assert_array_equal(kalman.at(stamp(2.5))[0], first[0])
    np.testing.assert_array_equal(kalman.at(stamp(0.0))[0], kalman.at(kalman.stamp_ns)[0])


@pytest.mark.parametrize("late_s", [0.0, 0.01, 100.0])
def test_measurements_out_of_order_are_refused_by_name(late_s):
    kalman = fed()
    before = kalman.at(stamp(2.0))
    with pytest.raises(InputError, match="kalman: got a measurement .* before the last one"):
        kalman.update(np.zeros(2), kalman.stamp_ns - round(late_s * NS))
    np.testing.assert_array_equal(kalman.at(stamp(2.0)), before)


@pytest.mark.parametrize("z", [np.array([np.nan, 0.0]), np.array([0.0, np.inf]), np.zeros(3), np.zeros((1, 2))])
def test_what_is_no_measurement_is_refused(z):
    kalman = fed()
    before = kalman.at(stamp(2.0))
    with pytest.raises(ShapeError, match="kalman measurement"):
        kalman.update(z, stamp(3.0))
    np.testing.assert_array_equal(kalman.at(stamp(2.0)), before)


def test_one_outlier_is_not_believed_but_a_thing_that_was_moved_is():
    kalman = fed()
    moved = np.array([0.1, 0.1])
    kalman.update(moved, stamp(2.0))
    np.testing.assert_allclose(kalman.at(stamp(2.0))[0], at(2.0, 2), atol=1e-3)
    kalman.update(at(2.1, 2), stamp(2.1))
    for k in range(KalmanConfig().outliers):
        kalman.update(moved, stamp(2.2 + k / 30))
    position, velocity = kalman.at(stamp(2.2 + (KalmanConfig().outliers - 1) / 30))
    np.testing.assert_array_equal(position, moved)
    assert not velocity.any()


def test_before_the_first_measurement_nothing_is_known():
    with pytest.raises(InputError, match="no measurement yet"):
        PointKalman(2).at(0)
    assert PointKalman(2).stamp_ns is None


@pytest.mark.parametrize("dims", [0, 4])
def test_other_dimensions_are_refused(dims):
    with pytest.raises(ConfigError, match="dimensions"):
        PointKalman(dims)


@pytest.mark.parametrize("name", list(to_mapping(KalmanConfig())))
@pytest.mark.parametrize("value", [math.nan, -0.1, 0, 1e6])
def test_deviations_that_are_none_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        KalmanConfig(**{name: value})


def test_a_followed_thing_goes_on_unseen_for_a_while_and_then_stands():
    followed = Followed(patience_s=0.5)
    assert followed.at(stamp(0.0)) is None
    for k in range(60):
        followed.see(at(k / 30), stamp(k / 30))
    last_s = 59 / 30
    soon, late, later = (followed.at(stamp(last_s + ahead_s)) for ahead_s in (0.2, 1.0, 9.0))
    np.testing.assert_allclose(soon.position[:2], at(last_s + 0.2, 2), atol=1e-3)
    np.testing.assert_allclose(soon.velocity, [SPEED[0], SPEED[1], 0.0], atol=2e-3)
    assert soon.position[2] == pytest.approx(at(last_s)[2], abs=0.002)  # a mean: this one sinks at 1 cm/s
    assert not late.velocity.any()
    np.testing.assert_array_equal(late.position, later.position)


@pytest.mark.parametrize("make", [Standing, Followed])
def test_every_estimator_refuses_old_and_broken_sightings_and_forgets(make):
    estimator = make()
    estimator.see(START, stamp(1.0))
    with pytest.raises(InputError, match="before the last one"):
        estimator.see(START, stamp(0.5))
    with pytest.raises(ShapeError):
        estimator.see(np.full(3, np.nan), stamp(2.0))
    np.testing.assert_array_equal(estimator.at(stamp(1.0)).position, START)
    estimator.reset()
    assert estimator.at(stamp(1.0)) is None
    estimator.see(START, stamp(0.5))


def test_a_standing_thing_is_averaged_and_one_that_was_moved_is_believed_after_a_few_sightings():
    standing, rng = Standing(), np.random.default_rng(7)
    seen, errors = [], []
    for k in range(300):
        seen.append(START + rng.normal(0, 0.004, 3))
        standing.see(seen[-1], stamp(k / 30))
        errors.append(np.linalg.norm(standing.at(0).position - START))
    assert np.mean(errors[10:]) < 0.5 * np.mean(np.linalg.norm(np.array(seen) - START, axis=1))
    before = standing.at(0).position
    for k in range(ELSEWHERE_SIGHTINGS):
        np.testing.assert_array_equal(standing.at(0).position, before)
        standing.see(START + 0.05, stamp(10 + k / 30))
    np.testing.assert_array_equal(standing.at(0).position, START + 0.05)
