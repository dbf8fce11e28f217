"""What every hand-crafted source keeps, and what hold and pid do on a servo that lags and sags."""

import math

import numpy as np
import pytest

from so_arm_policy.control.hold import Hold
from so_arm_policy.control.pid import JointPid, PidConfig
from so_arm_policy.control.teleop import Teleop, TeleopConfig
from so_arm_policy.core.errors import ConfigError, InputError, ShapeError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.timegrid import TimeGrid
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action, TickInput

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
GRID = TimeGrid(origin_ns=10**18)
DT = 1 / 120


def sample(q, tick=0):
    now = GRID.due_ns(tick)
    return JointSample(stamp_ns=now, received_ns=now, q=np.array(q, dtype=float), dq=np.zeros(N))


class Servo:
    """A position servo: follows its command with a delay, hangs below it, and may be blocked."""

    def __init__(self, q, sag=0.0, lag_s=0.03):
        self.q, self.sag, self.lag_s, self.blocked = np.array(q), sag, lag_s, False

    def step(self, command):
        if not self.blocked:
            self.q = self.q + (command - self.sag - self.q) * DT / self.lag_s


def run(source, servo, ticks, first=0):
    """Return commands (ticks, n), velocities (ticks, n) and measured positions (ticks, n)."""
    rows = []
    for k in range(first, first + ticks):
        q, dq = source.command(GRID.due_ns(k), sample(servo.q, k))
        servo.step(q)
        rows.append((q, dq, servo.q))
    return (np.array(column) for column in zip(*rows, strict=True))


class SourceContract:
    """Every implementation of Source passes this: derive, and give `make`."""

    def make(self):
        raise NotImplementedError

    def test_the_first_command_is_the_measured_pose_at_rest(self):
        q, dq = self.make().command(GRID.due_ns(0), sample(ROBOT.rest))
        np.testing.assert_array_equal(q, ROBOT.rest)
        assert not dq.any()

    def test_after_a_reset_it_starts_from_the_measured_pose_again(self):
        source = self.make()
        list(run(source, Servo(ROBOT.home), 30))
        source.reset()
        q, dq = source.command(GRID.due_ns(31), sample(ROBOT.rest, 31))
        np.testing.assert_array_equal(q, ROBOT.rest)
        assert not dq.any()

    def test_commands_have_the_robots_shape_and_do_not_follow_the_senders_array(self):
        source, measured = self.make(), sample(ROBOT.home)
        q, dq = source.command(GRID.due_ns(0), measured)
        assert q.shape == dq.shape == (N,)
        measured.q[:] = 9.0
        np.testing.assert_array_equal(q, ROBOT.home)

    def test_the_same_input_gives_the_same_bits(self):
        runs = [np.concatenate(list(run(self.make(), Servo(ROBOT.home, sag=0.02), 60))).tobytes() for _ in range(2)]
        assert runs[0] == runs[1]

    def test_it_has_a_name_that_can_be_selected(self):
        assert self.make().name in SupervisorConfig().sources


class TestHold(SourceContract):
    def make(self):
        return Hold()

    def test_it_keeps_the_first_pose_while_the_arm_sags(self):
        commands, _, _ = run(Hold(), Servo(ROBOT.home, sag=0.1), 100)
        assert (commands == ROBOT.home).all()


class TestJointPid(SourceContract):
    def make(self):
        return JointPid(PidConfig(), ROBOT)


class TestTeleop(SourceContract):
    def make(self):
        return Teleop(TeleopConfig(), ROBOT)


def pid_to(goal, **config):
    pid = JointPid(PidConfig(**config), ROBOT)
    pid.set_goal(goal)
    return pid


GOAL = ROBOT.home + np.array([0.9, -0.4, 0.3, -0.5, 1.2, 0.8])


@pytest.mark.parametrize("sag", [0.0, 0.05, -0.05])
@pytest.mark.parametrize("lag_s", [0.015, 0.05])
def test_the_arm_reaches_the_goal_without_swinging_although_it_sags(sag, lag_s):
    start = ROBOT.home
    _, _, measured = run(pid_to(GOAL), Servo(start - sag, sag, lag_s), 600)
    np.testing.assert_allclose(measured[-60:], np.tile(GOAL, (60, 1)), atol=0.003)
    beyond = (measured - GOAL) * np.sign(GOAL - start)
    assert beyond.max() < 0.02


def test_the_command_keeps_the_velocity_and_acceleration_it_was_given():
    commands, velocities, _ = run(pid_to(GOAL, velocity_limit=0.6, acceleration_limit=5.0), Servo(ROBOT.home), 400)
    speed = np.diff(commands, axis=0) / DT
    assert np.abs(speed).max() <= 0.6 + 1e-6
    assert np.abs(np.diff(speed, axis=0)).max() / DT <= 5.0 + 1e-3
    np.testing.assert_allclose(velocities[1:], speed, atol=1e-6)


def test_the_supervisor_lets_it_pass_untouched():
    supervisor = Supervisor(SupervisorConfig(), ROBOT, "pid")
    pid, servo = pid_to(GOAL, velocity_limit=2.0), Servo(ROBOT.home)
    for k in range(500):
        now, measured = GRID.due_ns(k), sample(servo.q, k)
        q, dq = pid.command(now, measured)
        proposal = Proposal(
            source="pid",
            sequence=k,
            stamp_ns=now,
            observation_stamp_ns=now,
            received_ns=now,
            joint_names=ROBOT.joint_names,
            q=q,
            dq=dq,
        )
        verdict = supervisor.step(TickInput(now_ns=now, ros_now_ns=now, sample=measured, proposals={"pid": proposal}))
        assert verdict.action is Action.PASS, verdict
        servo.step(verdict.command)
    np.testing.assert_allclose(servo.q, GOAL, atol=0.003)


def test_a_blocked_joint_is_not_pushed_further_and_comes_free_without_swinging():
    pid, servo = pid_to(GOAL), Servo(ROBOT.home)
    list(run(pid, servo, 30))
    servo.blocked = True
    commands, _, _ = run(pid, servo, 600, first=30)
    assert np.abs(commands - servo.q).max() <= PidConfig().lead_rad + 1e-12
    servo.blocked = False
    _, _, measured = run(pid, servo, 600, first=630)
    beyond = (measured - GOAL) * np.sign(GOAL - ROBOT.home)
    assert beyond.max() < 0.03
    np.testing.assert_allclose(measured[-1], GOAL, atol=0.003)


def overshoot(pid, blocked_ticks):
    servo = Servo(ROBOT.home)
    list(run(pid, servo, 10))
    servo.blocked = True
    list(run(pid, servo, blocked_ticks, first=10))
    servo.blocked = False
    _, _, measured = run(pid, servo, 900, first=10 + blocked_ticks)
    return ((measured - GOAL) * np.sign(GOAL - ROBOT.home)).max()


def test_the_integral_does_not_wind_up_while_a_joint_is_blocked():
    assert overshoot(pid_to(GOAL, ki=2.0), 1200) <= overshoot(pid_to(GOAL, ki=2.0), 0) + 0.02


def test_the_integral_closes_the_lag_behind_a_moving_goal():
    def lag(ki):
        pid, servo = JointPid(PidConfig(ki=ki), ROBOT), Servo(ROBOT.home)
        for k in range(600):
            goal = ROBOT.home + 0.2 * k * DT * (np.arange(N) == 0)
            pid.set_goal(goal)
            servo.step(pid.command(GRID.due_ns(k), sample(servo.q, k))[0])
        return abs(goal - servo.q).max()

    assert lag(0.0) > 0.04
    assert lag(4.0) < 0.01


def test_within_the_deadband_nothing_moves():
    goal = ROBOT.home + 0.004
    commands, velocities, _ = run(pid_to(goal, deadband_rad=0.005), Servo(ROBOT.home), 200)
    assert (commands == ROBOT.home).all()
    assert not velocities.any()


def test_noise_of_the_encoders_is_not_amplified():
    rng = np.random.default_rng(0)
    pid, step = pid_to(ROBOT.home), 2 * np.pi / 4096
    commands = []
    for k in range(600):
        noisy = np.round((ROBOT.home + rng.normal(0, step / 2, N)) / step) * step
        commands.append(pid.command(GRID.due_ns(k), sample(noisy, k))[0])
    assert np.std(commands, axis=0).max() < step


@pytest.mark.parametrize("later_ns", [0, -5_000_000])
def test_a_tick_without_time_repeats_the_command(later_ns):
    pid = pid_to(GOAL)
    list(run(pid, Servo(ROBOT.home), 30))
    now = GRID.due_ns(29) + later_ns
    before = pid.command(now, sample(ROBOT.home))[0]
    np.testing.assert_array_equal(pid.command(now, sample(ROBOT.home))[0], before)


def test_a_late_tick_moves_no_further_than_two_ticks_may():
    pid, servo = pid_to(GOAL), Servo(ROBOT.home)
    list(run(pid, servo, 60))
    before = pid.command(GRID.due_ns(60), sample(servo.q, 60))[0]
    after = pid.command(GRID.due_ns(600), sample(servo.q, 600))[0]
    assert np.abs(after - before).max() <= 2 * DT * PidConfig().velocity_limit + 1e-12


def test_commands_stay_within_the_position_limits():
    commands, _, _ = run(pid_to(ROBOT.upper), Servo(ROBOT.home, sag=0.1), 900)
    assert (commands <= ROBOT.upper).all()


def test_without_a_goal_it_stays_where_the_arm_was():
    commands, _, _ = run(JointPid(PidConfig(), ROBOT), Servo(ROBOT.rest), 100)
    np.testing.assert_allclose(commands, np.tile(ROBOT.rest, (100, 1)), atol=1e-9)


@pytest.mark.parametrize(
    ("goal", "error"),
    [
        (ROBOT.upper + 0.01, InputError),
        (np.full(N, np.nan), ShapeError),
        (np.zeros(N - 1), ShapeError),
        (np.rad2deg(ROBOT.home), InputError),
    ],
)
def test_a_goal_that_cannot_be_is_refused_and_the_old_one_stays(goal, error):
    pid = pid_to(GOAL)
    with pytest.raises(error, match="goal"):
        pid.set_goal(goal)
    _, _, measured = run(pid, Servo(ROBOT.home), 500)
    np.testing.assert_allclose(measured[-1], GOAL, atol=0.003)


@pytest.mark.parametrize("name", list(to_mapping(PidConfig())))
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1e6])
def test_gains_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        PidConfig(**{name: value})


def test_the_configuration_is_strict():
    with pytest.raises(ConfigError, match="'Kp'"):
        from_mapping(PidConfig, {"Kp": 1.0})
