"""The Cartesian servo on a real arm's kinematics: where it gets, how legally, and what cannot make it jump."""

import numpy as np
import pytest

from so_arm_policy.control.approach import LOWEST_M, ApproachConfig, aim
from so_arm_policy.control.differential_ik import DifferentialIk, JointMotion, JointMotionConfig, braking
from so_arm_policy.control.fingertip_servo import FingertipServo
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.values import JointSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_model import arm_spec

ROBOT = load_robot("so101")
MODEL = arm_spec().compile()
N = len(ROBOT.joints)
DT = 1 / 120
STILL = np.zeros(3)
TARGETS = [(0.20, 0.10, 0.05), (0.17, -0.12, 0.04), (0.27, 0.0, 0.04), (0.12, 0.12, 0.12)]


def now_ns(tick):
    return 10**18 + tick * 10**9 // 120


def sample(q, tick):
    return JointSample(stamp_ns=now_ns(tick), received_ns=now_ns(tick), q=np.array(q, dtype=float), dq=np.zeros(N))


class Arm:
    """Position servos that follow late and hang below their command."""

    def __init__(self, q, lag_s=0.03, sag=0.0):
        self.q, self.lag_s, self.sag, self.blocked = np.array(q, dtype=float), lag_s, sag, False

    def step(self, command):
        if not self.blocked:
            self.q = self.q + (command - self.sag - self.q) * min(1.0, DT / self.lag_s)


def to(point, velocity=STILL):
    return lambda tip: (np.array(point), velocity)


def run(servo, arm, where, ticks, first=0):
    """Return commands (ticks, n) and fingertips (ticks, 3)."""
    rows = []
    for k in range(first, first + ticks):
        q, dq = servo.command(now_ns(k), sample(arm.q, k), where)
        assert np.isfinite(dq).all()
        arm.step(q)
        rows.append((q, servo.fingertip(arm.q)))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def assert_legal(commands):
    step = np.diff(commands, axis=0)
    assert (np.abs(step) <= ROBOT.velocity * DT + 1e-9).all()
    assert (np.abs(np.diff(step, axis=0)) <= ROBOT.acceleration * DT**2 + 1e-9).all()
    assert (np.abs(np.diff(step, n=2, axis=0)) <= ROBOT.jerk * DT**3 + 1e-9).all()
    assert (commands >= ROBOT.lower - 1e-12).all()
    assert (commands <= ROBOT.upper + 1e-12).all()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("lag_s", "sag"), [(0.01, 0.0), (0.03, 0.03), (0.05, -0.02)])
def test_the_fingertip_arrives_without_swinging_although_the_arm_sags(target, lag_s, sag):
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home - sag, lag_s, sag)
    commands, tips = run(servo, arm, to(target), 480)
    way = np.array(target) - servo.fingertip(ROBOT.home - sag)
    assert np.linalg.norm(tips[-1] - target) < 0.001
    assert ((tips - target) @ way).max() / np.linalg.norm(way) < 0.004
    assert_legal(commands)


def test_it_points_down_where_it_can():
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    run(servo, arm, to((0.20, 0.05, 0.05)), 600)
    pitch = arm.q[1:4].sum()  # of the three joints that turn about parallel axes; 90 degrees at zero is level
    assert pitch == pytest.approx(np.pi / 2, abs=0.1)


def test_the_gripper_stays_and_so_does_everything_without_an_aim():
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    commands, _ = run(servo, arm, to(TARGETS[0]), 60)
    assert np.ptp(commands[:, 5]) == 0.0
    halted, tips = run(servo, arm, None, 240, first=60)
    assert_legal(np.concatenate([commands, halted]))
    assert np.linalg.norm(tips[-1] - tips[-60]) < 1e-4


def test_nothing_it_is_told_makes_an_illegal_command():
    rng = np.random.default_rng(4)
    servo, arm, commands = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home), []
    for k in range(1500):
        if k % 40 == 0:
            where = to(rng.uniform((-0.5, -0.5, -0.3), (0.5, 0.5, 0.6)), rng.normal(0, 0.3, 3))
        q, _ = servo.command(now_ns(k), sample(arm.q, k), where)
        arm.step(q)
        commands.append(q)
    assert_legal(np.array(commands))


def test_out_of_reach_it_stretches_and_stands():
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    commands, _ = run(servo, arm, to((0.9, 0.2, 0.1)), 1200)
    assert_legal(commands)
    assert np.abs(np.diff(commands[-120:], axis=0)).max() < 1e-3


def test_a_blocked_arm_is_not_pushed_further_and_comes_free_without_swinging():
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    target = np.array([0.2, 0.1, 0.05])
    before, _ = run(servo, arm, to(target), 20)
    arm.blocked = True
    commands, _ = run(servo, arm, to(target), 600, first=20)
    assert np.abs(commands - arm.q).max() <= JointMotionConfig().lead_rad + 0.005
    assert_legal(np.concatenate([before, commands]))
    arm.blocked = False
    _, tips = run(servo, arm, to(target), 480, first=620)
    way = target - tips[0]
    assert ((tips - target) @ way).max() / np.linalg.norm(way) < 0.006
    assert np.linalg.norm(tips[-1] - target) < 0.001


def test_a_moving_target_is_followed_closely():
    servo, arm, velocity = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home), np.array([0.0, 0.05, 0.0])
    for k in range(480):
        point = np.array([0.22, -0.1, 0.05]) + velocity * k * DT
        q, _ = servo.command(now_ns(k), sample(arm.q, k), to(point, velocity))
        arm.step(q)
    assert np.linalg.norm(servo.fingertip(arm.q) - point) < 0.002


@pytest.mark.parametrize("q", [np.full(N, np.nan), np.zeros(N - 1), np.zeros((1, N))])
def test_a_broken_measurement_is_one_error_and_changes_nothing(q):
    commands = []
    for broken in (False, True):
        servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
        run(servo, arm, to(TARGETS[0]), 30)
        if broken:
            with pytest.raises(ShapeError, match="measured joints"):
                servo.command(now_ns(30), JointSample(stamp_ns=0, received_ns=0, q=q, dq=q), to(TARGETS[0]))
        commands.append(servo.command(now_ns(30), sample(arm.q, 30), to(TARGETS[0]))[0])
    np.testing.assert_array_equal(commands[0], commands[1])


@pytest.mark.parametrize("later", [-100, 0, 1000])
def test_time_that_jumps_moves_no_further_than_two_ticks_may(later):
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    before = run(servo, arm, to(TARGETS[0]), 30)[0][-1]
    after, _ = servo.command(now_ns(29 + later), sample(arm.q, 30), to(TARGETS[0]))
    moved = np.abs(after - before).max()
    assert moved <= 2 * DT * JointMotionConfig().velocity_limit + 1e-12
    assert (moved > 0.0) == (later > 0)
    again, _ = servo.command(now_ns(30 + later), sample(arm.q, 31), to(TARGETS[0]))
    assert np.abs(again - after).max() > 0.0  # a clock that was set back does not stop it


def test_the_fingertips_velocity_is_that_of_the_kinematics():
    ik, rng = DifferentialIk(MODEL, ROBOT, JointMotionConfig(jerk_limit=1e5)), np.random.default_rng(5)
    for _ in range(20):
        q = ROBOT.home + rng.normal(0, 0.2, N)
        rate, velocity = ik.step(JointMotion.at_rest(q), q, rng.normal(0, 0.05, 3), DT)
        small = 1e-6
        difference = (ik.fingertip(q + small * rate) - ik.fingertip(q - small * rate)) / (2 * small)
        np.testing.assert_allclose(velocity, difference, atol=1e-8)


def test_a_velocity_that_the_joints_can_do_is_done():
    ik = DifferentialIk(MODEL, ROBOT, JointMotionConfig())
    wanted = np.array([0.01, -0.02, 0.015])
    motion = JointMotion.at_rest(ROBOT.home)
    for _ in range(30):
        rate, velocity = ik.step(motion, motion.q, wanted, DT)
        motion = motion.moved(rate, DT, ROBOT.lower, ROBOT.upper)
    np.testing.assert_allclose(velocity, wanted, atol=1e-3)  # a little is damped


def test_braking_stops_within_its_room_and_is_zero_without_any():
    room, acceleration = np.array([0.5]), np.array([8.0])
    assert not braking(np.array([0.0, -1.0]), acceleration).any()
    speed = braking(room, acceleration)
    for _ in range(600):
        speed = np.maximum(speed - acceleration * DT, np.minimum(speed, braking(room, acceleration)))
        room = room - speed * DT
        assert room[0] >= -1e-9
    assert room[0] < 1e-3


@pytest.mark.parametrize("name", list(to_mapping(JointMotionConfig())))
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 0, 1e6])
def test_bounds_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        JointMotionConfig(**{name: value})


TOP = np.array([0.2, 0.05, 0.03])


def test_above_the_thing_the_way_is_down_to_it_and_far_away_over_the_rim():
    shape = ApproachConfig()
    for height in (0.04, 0.1, 0.3):
        target, velocity = aim(np.array([0.2, 0.05, height]), TOP, np.array([0.05, 0.0, 0.0]), shape)
        np.testing.assert_allclose(target, TOP + [0, 0, shape.touch_m])
        np.testing.assert_allclose(velocity, [0.05, 0.0, 0.0])
    far, _ = aim(np.array([0.1, -0.2, 0.3]), TOP, STILL, shape)
    np.testing.assert_allclose(far, TOP + [0, 0, shape.touch_m + shape.hover_m])


def test_low_beside_the_thing_the_way_is_up():
    tip = np.array([0.1, -0.1, 0.02])
    target, velocity = aim(tip, TOP, np.array([0.05, 0.0, 0.0]), ApproachConfig())
    np.testing.assert_allclose(target[:2], tip[:2])
    assert target[2] > tip[2] + 0.05
    assert not velocity[:2].any()


def test_the_aim_is_continuous_and_never_in_the_table():
    rng = np.random.default_rng(6)
    shape, low = ApproachConfig(touch_m=0.0), np.array([0.2, 0.0, -0.05])
    for _ in range(500):
        tip, way = rng.uniform((0.05, -0.2, 0.0), (0.3, 0.2, 0.2)), rng.normal(0, 1e-6, 3)
        for top in (TOP, low):
            here, _ = aim(tip, top, STILL, shape)
            there, _ = aim(tip + way, top, STILL, shape)
            assert np.linalg.norm(there - here) < 40 * np.linalg.norm(way)
            assert here[2] >= LOWEST_M


def test_the_servo_rises_before_it_goes_over_things_and_comes_from_above():
    servo, arm = FingertipServo(MODEL, ROBOT), Arm(ROBOT.home)
    run(servo, arm, to((0.2, -0.1, 0.02)), 360)
    _, tips = run(servo, arm, lambda tip: aim(tip, TOP, STILL, ApproachConfig()), 480, first=360)
    aside = np.linalg.norm(tips[:, :2] - TOP[:2], axis=1)
    on_the_way = (aside > 0.04) & (aside < 0.12)
    assert on_the_way.sum() > 10
    assert tips[on_the_way, 2].min() > TOP[2] + 0.02
    assert np.linalg.norm(tips[-1] - TOP - [0, 0, ApproachConfig().touch_m]) < 0.001
    assert tips[360:, 2].min() > TOP[2] + ApproachConfig().touch_m - 0.002


@pytest.mark.parametrize("name", list(to_mapping(ApproachConfig())))
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1e6])
def test_shapes_that_are_none_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        ApproachConfig(**{name: value})
