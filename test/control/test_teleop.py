"""Teleoperation: what the arm does with a leader that is far, near, silent, jumping or mad."""

import math

import numpy as np
import pytest

from so_arm_policy.control.teleop import Clutch, Teleop, TeleopConfig
from so_arm_policy.control.tracking import Tracker
from so_arm_policy.core.errors import ConfigError, InputError, ShapeError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.timegrid import NS, TimeGrid
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import TickInput

ROBOT, TWO_ARMS = load_robot("so101"), load_robot("so101_bimanual")
GRID = TimeGrid(origin_ns=10**18)
DT = 1 / 120
FAR = ROBOT.home + np.array([0.9, -0.4, 0.3, -0.5, 1.2, 0.8])


class Bench:
    """A follower that is where it is told to be one tick later, and a leader that says where it is on every tick."""

    def __init__(self, leader=ROBOT.home, robot=ROBOT, **config):
        self.teleop = Teleop(TeleopConfig(**config), robot)
        self.q, self.leader = robot.home.copy(), np.array(leader, dtype=float)
        self.tick, self.speaks = 0, True
        self.commands = [self.q]

    @property
    def now_ns(self):
        return GRID.due_ns(self.tick)

    def run(self, ticks, leads=None):
        """Run; leads: from the tick number to the leader's joints."""
        for _ in range(ticks):
            self.tick += 1
            if leads is not None:
                self.leader = leads(self.tick)
            if self.speaks:
                self.teleop.lead(self.now_ns, self.leader)
            sample = JointSample(stamp_ns=self.now_ns, received_ns=self.now_ns, q=self.q, dq=np.zeros_like(self.q))
            q, dq = self.teleop.command(self.now_ns, sample)
            self.q = np.array(q)
            self.commands.append(self.q)
        return self

    def engage(self):
        self.teleop.engage(self.now_ns)
        return self

    def speed(self):
        return np.abs(np.diff(self.commands, axis=0)) / DT


def wave(tick, amplitude=0.4, period_s=2.0):
    return ROBOT.home + amplitude * np.sin(2 * np.pi * tick * DT / period_s)


def test_nothing_follows_until_the_clutch_is_engaged():
    bench = Bench().run(300, wave)
    assert (np.array(bench.commands) == ROBOT.home).all()
    assert bench.teleop.clutch is Clutch.OPEN


def test_engaged_far_away_it_comes_slowly_all_joints_together_and_then_follows():
    bench = Bench(FAR).run(5).engage().run(200)
    assert bench.teleop.clutch is Clutch.COMING
    assert bench.speed().max() <= 0.5 + 1e-6
    ways = (bench.q - ROBOT.home) / (FAR - ROBOT.home)
    assert ways.min() > 0.2
    assert np.ptp(ways) < 0.02
    bench.run(300)
    assert bench.teleop.clutch is Clutch.FOLLOWING
    np.testing.assert_allclose(bench.q, FAR, atol=1e-3)


def test_it_follows_at_full_speed_and_lags_by_less_than_a_tenth_of_a_second():
    bench = Bench().run(5).engage().run(600, wave)
    assert bench.speed().max() > 0.5
    late = np.array([wave(k) for k in range(600 - 12, 600)])[0]
    early = wave(600)
    between = np.sort([late, early], axis=0)
    assert (bench.q > between[0] - 0.02).all()
    assert (bench.q < between[1] + 0.02).all()


@pytest.mark.parametrize("leads", [wave, lambda k: FAR, lambda k: wave(k, 1.0, 0.8), lambda k: wave(k, 0.002, 0.02)])
def test_the_supervisor_lets_it_pass_untouched(leads):
    supervisor, bench = Supervisor(SupervisorConfig(), ROBOT, "teleop"), Bench().run(5).engage()
    verdicts = []
    for number in range(600):
        before = JointSample(stamp_ns=bench.now_ns + 1, received_ns=bench.now_ns, q=bench.q, dq=np.zeros(6))
        bench.run(1, leads)
        now = bench.now_ns
        proposal = Proposal(
            source="teleop",
            sequence=number,
            stamp_ns=now,
            observation_stamp_ns=now,
            received_ns=now,
            joint_names=ROBOT.joint_names,
            q=bench.q,
        )
        verdict = supervisor.step(TickInput(now_ns=now, ros_now_ns=now, sample=before, proposals={"teleop": proposal}))
        verdicts.append(verdict.code)
    assert set(verdicts) == {""}


def test_released_it_brakes_within_its_limits_and_stays():
    bench = Bench().run(5).engage().run(400, wave)
    bench.teleop.release()
    bench.run(60, wave)
    still = bench.q
    bench.run(200, wave)
    np.testing.assert_allclose(bench.q, still, atol=1e-9)
    assert np.diff(bench.commands, 2, axis=0).max() / DT**2 <= ROBOT.acceleration.max()
    assert bench.teleop.opened == ""


def test_a_leader_that_is_silent_for_a_moment_is_come_to_anew_and_for_longer_opens_the_clutch():
    bench = Bench().run(5).engage().run(200, wave)
    assert bench.teleop.clutch is Clutch.FOLLOWING
    bench.speaks = False
    bench.run(30)
    assert bench.teleop.clutch is Clutch.COMING
    still = bench.q
    bench.run(10)
    np.testing.assert_allclose(bench.q, still, atol=1e-6)
    bench.speaks = True
    since = len(bench.commands)
    bench.run(60, lambda k: FAR)
    assert bench.speed()[since:].max() <= 0.5 + 1e-6
    bench.speaks = False
    bench.run(100)
    assert bench.teleop.clutch is Clutch.OPEN
    assert "silent" in bench.teleop.opened
    bench.speaks = True
    still = bench.q
    bench.run(100)
    np.testing.assert_allclose(bench.q, still, atol=1e-6)


def test_a_jump_of_the_leader_opens_the_clutch_and_a_quick_hand_does_not():
    quick = ROBOT.home.copy()
    bench = Bench().run(5).engage().run(50)
    quick[0] += 0.2
    assert bench.run(5, lambda k: quick).teleop.clutch is not Clutch.OPEN
    bench.run(1, lambda k: FAR)
    assert bench.teleop.clutch is Clutch.OPEN
    assert bench.teleop.opened == "the leader's wrist_roll jumped by +1.20 rad"
    bench.run(100)
    assert np.abs(bench.q - ROBOT.home).max() < 0.25


def test_an_arm_that_was_not_followed_begins_from_where_it_is_and_opens_the_clutch_after_a_while():
    bench = Bench(FAR).run(5).engage().run(100)
    bench.q = ROBOT.home + 0.05  # somebody else moved it
    bench.teleop.reset()
    bench.run(1)
    np.testing.assert_array_equal(bench.q, ROBOT.home + 0.05)
    assert bench.teleop.clutch is Clutch.COMING
    for _ in range(70):
        bench.teleop.reset()
        bench.run(1)
    assert bench.teleop.clutch is Clutch.OPEN
    assert bench.teleop.opened == "the arm was held"
    np.testing.assert_array_equal(bench.q, ROBOT.home + 0.05)


def test_only_a_leader_that_is_there_now_can_be_engaged():
    bench = Bench()
    with pytest.raises(InputError, match="has not been heard"):
        bench.engage()
    bench.run(1)
    bench.speaks = False
    with pytest.raises(InputError, match=r"silent for 0\.25 s"):
        bench.run(30).engage()
    bench.teleop.lead(bench.now_ns + NS // 4, ROBOT.home)
    with pytest.raises(InputError, match=r"0\.25 s ahead of now"):
        bench.engage()
    assert bench.teleop.clutch is Clutch.OPEN


def test_readings_that_are_no_readings_are_refused_and_forgotten():
    bench = Bench().run(5).engage().run(20)
    with pytest.raises(ShapeError, match="not finite"):
        bench.teleop.lead(bench.now_ns + 1, np.full(6, math.nan))
    with pytest.raises(ShapeError, match="shape"):
        bench.teleop.lead(bench.now_ns + 1, np.zeros(5))
    with pytest.raises(InputError, match="newer"):
        bench.teleop.lead(bench.now_ns, FAR)
    bench.run(50)
    np.testing.assert_allclose(bench.q, ROBOT.home, atol=1e-6)
    assert bench.teleop.clutch is Clutch.FOLLOWING


def test_the_leader_beyond_the_arm_s_range_is_followed_to_the_end_of_the_range():
    bench = Bench(ROBOT.upper + 0.3).run(5).engage().run(900)
    np.testing.assert_allclose(bench.q, ROBOT.upper, atol=1e-3)
    assert (np.array(bench.commands) <= ROBOT.upper + 1e-9).all()


def test_the_gripper_follows_by_the_share_of_its_range_also_with_two_arms():
    data = to_mapping(TWO_ARMS)
    for joint in data["joints"]:
        if joint["name"].endswith("gripper"):
            joint.update(lower=0.0, upper=0.5, home=0.0, rest=0.0)
    leader = from_mapping(type(TWO_ARMS), data)
    names = TWO_ARMS.joint_names
    led = TWO_ARMS.home.copy()
    led[names.index("left_gripper")], led[names.index("right_gripper")] = 0.5, 0.25
    led[names.index("left_shoulder_pan")] = 0.1
    bench = Bench(led, TWO_ARMS)
    bench.teleop = Teleop(TeleopConfig(coming_rad_s=1.5), TWO_ARMS, leader)
    bench.run(5).engage().run(400)
    reached = dict(zip(names, bench.q, strict=True))
    assert reached["left_gripper"] == pytest.approx(1.74533, abs=1e-3)
    assert reached["right_gripper"] == pytest.approx((1.74533 - 0.17453) / 2, abs=1e-3)
    assert reached["left_shoulder_pan"] == pytest.approx(0.1, abs=1e-3)


def test_a_leader_with_other_joints_is_refused():
    with pytest.raises(ConfigError, match="expected .*left_shoulder_pan"):
        Teleop(TeleopConfig(), TWO_ARMS, ROBOT)


@pytest.mark.parametrize("name", ["coming_rad_s", "joined_rad", "silent_s", "grace_s", "jump_rad"])
@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0, math.inf])
def test_a_setting_that_would_switch_a_guard_off_is_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        TeleopConfig(**{name: value})


@pytest.mark.parametrize(("rad_s", "late_s"), [(0.4, 0.040), (1.0, 0.051), (2.0, 0.088)])
def test_how_late_it_is_behind_an_even_motion(rad_s, late_s):
    tracker, target = Tracker(ROBOT, np.full(6, -0.1)), np.full(6, -0.1)
    for k in range(150):
        target = np.full(6, -0.1 + rad_s * k * DT)
        tracker.step(target, ROBOT.velocity, DT)
    # The step itself ends one tick after the target it was given.
    np.testing.assert_allclose((target - tracker.q) / rad_s + DT, late_s, atol=0.002)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_targets_the_motion_keeps_its_limits_and_ends_there(seed):
    rng = np.random.default_rng(seed)
    tracker, rows = Tracker(ROBOT, ROBOT.home), [ROBOT.home]
    for k in range(600):
        if k % 30 == 0 and k < 300:
            target = rng.uniform(ROBOT.lower, ROBOT.upper)
        tracker.step(target, ROBOT.velocity, DT)
        rows.append(tracker.q)
    speed = np.diff(rows, axis=0) / DT
    change = np.diff(speed, axis=0) / DT
    assert np.abs(speed).max() <= ROBOT.velocity.max() + 1e-6
    assert np.abs(change).max() <= ROBOT.acceleration.max()
    assert np.abs(np.diff(change, axis=0)).max() / DT <= ROBOT.jerk.max()
    np.testing.assert_allclose(tracker.q, target, atol=1e-6)
