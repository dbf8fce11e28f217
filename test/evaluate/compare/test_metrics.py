"""Metrics of motions whose values are known, and of real episodes."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.metrics import (
    fingertip_path_length,
    fingertip_speed,
    least_clearance,
    mechanical_energy,
    path_length,
    per_minute,
    tracking_error,
)
from so_arm_policy.evaluate.compare.rows import CLEARANCE_EVERY_TICKS, CLEARANCE_MARGIN_M, measure
from so_arm_policy.evaluate.compare.trace import Trace, TraceRecorder
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout
from so_arm_policy.evaluate.scripted_agents import expert_agent
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Task

DT_S = 1.0 / CONTROL_HZ
TURN = np.linspace(0.0, 2 * np.pi, 2001)
CIRCLE = np.column_stack([0.1 * np.cos(TURN), 0.1 * np.sin(TURN), np.zeros_like(TURN)])


@pytest.fixture(scope="module")
def clearance(robot: RobotConfig) -> Clearance:
    return Clearance(robot, margin_m=CLEARANCE_MARGIN_M)


@pytest.fixture(scope="module")
def reached(robot: RobotConfig, task: Task) -> Iterator[tuple[EpisodeResult, Trace]]:
    """An episode of the expert."""
    rollout, recorder = Rollout(task, robot, expert_agent(task, robot)), TraceRecorder()
    result = rollout.run(task.sample(1), [recorder])
    trace = recorder.trace()
    assert trace is not None
    yield result, trace
    rollout.close()


def test_a_circle_is_as_long_as_its_circumference() -> None:
    assert path_length(CIRCLE) == pytest.approx(2 * math.pi * 0.1, rel=1e-5)
    assert path_length(CIRCLE[:1]) == 0.0
    there_and_back = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert path_length(there_and_back) == 10.0
    both = np.stack([CIRCLE, np.zeros_like(CIRCLE)], axis=1)
    assert fingertip_path_length(both) == pytest.approx(path_length(CIRCLE))
    with pytest.raises(ShapeError, match="motion: got"):
        path_length(np.array([0.0, 1.0]))
    with pytest.raises(ShapeError, match="motion: got"):
        path_length(np.full((3, 2), np.nan))


def test_a_steady_circle_has_a_steady_speed() -> None:
    speed = fingertip_speed(CIRCLE[:, None], DT_S)
    assert speed == pytest.approx(np.full(2000, 2 * math.pi * 0.1 / (2000 * DT_S)), rel=1e-5)


def test_what_lags_by_one_tick_follows_exactly() -> None:
    q = np.column_stack([np.sin(TURN), np.cos(TURN)])
    commands = np.vstack([q[1:], q[-1:]])
    assert tracking_error(commands, q) == 0.0
    assert tracking_error(commands + 0.03, q) == pytest.approx(0.03)
    one_joint = commands + [0.03, 0.0]
    assert tracking_error(one_joint, q) == pytest.approx(0.03 / math.sqrt(2))
    one_joint[:1000] = np.nan
    assert tracking_error(one_joint, q) == pytest.approx(0.03 / math.sqrt(2))
    assert tracking_error(np.full_like(q, np.nan), q) is None
    with pytest.raises(ShapeError, match="tracking error"):
        tracking_error(commands[:, :1], q)


def test_energy_is_power_times_time_whatever_its_sign() -> None:
    """2 N m at 3 rad/s and -1 N m at 0.5 rad/s for one second: 6.5 J."""
    torque, dq = np.tile([2.0, -1.0], (CONTROL_HZ, 1)), np.tile([3.0, 0.5], (CONTROL_HZ, 1))
    assert mechanical_energy(torque, dq, DT_S) == pytest.approx(6.5)
    assert mechanical_energy(torque, np.zeros_like(dq), DT_S) == 0.0
    with pytest.raises(ShapeError, match="energy"):
        mechanical_energy(torque, dq[:, :1], DT_S)


def test_rates() -> None:
    assert per_minute(3, CONTROL_HZ) == 180.0
    assert per_minute(0, 1) == 0.0
    for count, ticks in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ShapeError, match="rate: got"):
            per_minute(count, ticks)


def test_the_least_clearance_is_that_of_the_lowest_pose(robot: RobotConfig, clearance: Clearance) -> None:
    """A sweep that dips and rises again; only rows that are looked at count."""
    low = robot.home.copy()
    low[robot.joint_names.index("shoulder_lift")] += 0.3
    way = np.linspace(robot.home, low, 20)
    sweep = np.vstack([way, way[::-1]])
    lowest = min(clearance.nearest(low), key=lambda near: near.distance_m)
    assert least_clearance(sweep, clearance, 1) == lowest
    assert lowest.distance_m < min(near.distance_m for near in clearance.nearest(robot.home))
    assert least_clearance(sweep, clearance, 25).distance_m > lowest.distance_m
    with pytest.raises(ShapeError, match="clearance: got every 0"):
        least_clearance(sweep, clearance, 0)


def test_the_torque_holds_the_arm_up(robot: RobotConfig) -> None:
    """At rest the motors carry the weight: the moment of gravity about each joint, but for its dry friction."""
    simulator = Simulator(robot, random_scene(0))
    for _ in range(600):
        simulator.step(robot.home)
    joints = [simulator.model.joint(name).dofadr[0] for name in robot.joint_names]
    friction = simulator.model.dof_frictionloss[joints]
    assert np.abs(simulator.dq).max() < 1e-3
    assert (np.abs(simulator.torque - simulator.data.qfrc_bias[joints]) <= friction + 1e-3).all()
    assert np.abs(simulator.torque).max() > 0.1
    assert simulator.motors(0, 0).load == pytest.approx(simulator.torque / 2.94)


def test_a_trace_is_what_the_simulator_did(
    reached: tuple[EpisodeResult, Trace], robot: RobotConfig, task: Task
) -> None:
    """Its states, set anew in another simulator, have the same fingertips and objects."""
    result, trace = reached
    assert len(trace) == result.ticks
    assert trace.q.shape == trace.commands.shape == trace.torque.shape == (result.ticks, 6)
    assert np.isfinite(trace.commands).all()
    assert (np.abs(trace.dq[1:] - np.diff(trace.q, axis=0) / DT_S).max(axis=1) < 0.3).all()
    simulator = Simulator(robot, task.sample(1).scene)
    simulator.reset(task.sample(1).scene, trace.q[-1])
    # MuJoCo's sites are those of the last of four substeps' beginning.
    assert simulator.fingertip() == pytest.approx(trace.fingertips[-1, 0], abs=1e-3)
    assert simulator.object_position(0) == pytest.approx(trace.objects[0, 0], abs=1e-3)


def test_an_episode_is_measured(reached: tuple[EpisodeResult, Trace], clearance: Clearance) -> None:
    result, trace = reached
    metrics = measure(result, trace, clearance)
    straight = np.linalg.norm(trace.fingertips[-1, 0] - trace.fingertips[0, 0])
    assert straight <= metrics.tip_path_m <= 3 * straight
    assert metrics.joint_path_rad >= np.linalg.norm(trace.q[-1] - trace.q[0])
    assert metrics.log_dimensionless_jerk == result.smoothness
    assert -3.0 < metrics.sparc < -1.4
    assert 0.0 < metrics.tracking_error_rad < 0.2
    assert 0.0 < metrics.energy_j < 2.94 * np.abs(trace.dq).sum() * DT_S
    assert metrics.clearance_m == least_clearance(trace.q, clearance, CLEARANCE_EVERY_TICKS).distance_m > 0.0
    assert (metrics.clamps_per_min, metrics.rejects_per_min, metrics.holds_per_min) == (0.0, 0.0, 0.0)


def test_nothing_recorded_is_no_trace() -> None:
    assert TraceRecorder().trace() is None
