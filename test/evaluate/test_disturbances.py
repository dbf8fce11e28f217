"""Disturbances: as strong as they say, and nothing of them is left, whatever ends the episode."""

import contextlib

import mujoco
import numpy as np
import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.evaluate.disturbances import PUSH_TICKS, Disturbance, Gain, JointNoise, Payload, Push
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.task import Episode

TASK = Reach(time_limit_s=0.8)
SEED = 3
RAISED_TICK = 60


class Raiser:
    """Holds still, and raises in the midst of the episode."""

    name = "hold"

    def reset(self, episode: Episode) -> None:
        pass

    def propose(self, moment: Moment) -> Proposal | None:
        self.simulator = moment.simulator
        if moment.tick == RAISED_TICK:
            raise ValueError
        return None

    def report(self) -> AgentReport:
        return AgentReport()


@pytest.mark.parametrize("disturbance", [Payload(0.3), Gain(0.4), Push(2.0), JointNoise(0.01)])
def test_an_error_leaves_no_trace_in_the_model(robot: RobotConfig, disturbance: Disturbance) -> None:
    agent = Raiser()
    rollout = Rollout(TASK, robot, agent, disturbance=disturbance)
    with contextlib.suppress(ValueError):
        rollout.run(TASK.sample(SEED))
    fresh = Simulator(robot, TASK.sample(SEED).scene)
    assert _bytes(agent.simulator.model) == _bytes(fresh.model)
    assert not agent.simulator.data.xfrc_applied.any()


def _bytes(model: mujoco.MjModel) -> bytes:
    buffer = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


@pytest.fixture
def simulator(robot: RobotConfig) -> Simulator:
    return Simulator(robot, random_scene(SEED))


def test_a_payload_weighs_what_it_should(simulator: Simulator) -> None:
    """The moment about the shoulder grows by mass times gravity times the horizontal lever."""
    model, data = simulator.model, simulator.data
    dof = model.joint("shoulder_lift").dofadr[0]
    before, mass = data.qfrc_bias[dof], model.body_subtreemass[0]
    Payload(0.5).begin(simulator, SEED)
    mujoco.mj_forward(model, data)
    lever = data.body("gripper").xipos - data.joint("shoulder_lift").xanchor
    moment = np.cross(lever, (0.0, 0.0, 0.5 * 9.81)) @ data.joint("shoulder_lift").xaxis
    assert abs(moment) > 0.2
    assert data.qfrc_bias[dof] - before == pytest.approx(moment, rel=1e-6)
    assert model.body_subtreemass[0] - mass == pytest.approx(0.5)
    assert model.body_subtreemass[model.body("wrist").id] > 0.5


def test_a_soft_servo_pushes_less(simulator: Simulator) -> None:
    def force() -> float:
        simulator.data.ctrl[:] = simulator.q + 1e-4
        mujoco.mj_forward(simulator.model, simulator.data)
        return simulator.torque.copy()

    before = force()
    Gain(0.4).begin(simulator, SEED)
    assert force() == pytest.approx(0.4 * before)
    assert (np.abs(before) > 0.05).all()


def test_a_push_gives_its_impulse_once(simulator: Simulator) -> None:
    push, total, ticks = Push(0.6), np.zeros(3), []
    push.begin(simulator, SEED)
    for tick in range(3 * CONTROL_HZ):
        push.act(simulator, tick)
        force = simulator.data.xfrc_applied[:, :3].sum(axis=0)
        total += force / CONTROL_HZ
        ticks += [tick] if force.any() else []
    assert np.linalg.norm(total) == pytest.approx(0.6)
    assert ticks == list(range(ticks[0], ticks[0] + PUSH_TICKS))
    assert not simulator.data.xfrc_applied[:, 3:].any()


def test_noise_has_its_deviation_and_a_velocity_that_belongs_to_it(simulator: Simulator) -> None:
    noise, still = JointNoise(0.01), np.zeros(6)
    noise.begin(simulator, SEED)
    samples = [noise.measured(JointSample(stamp_ns=1, received_ns=1, q=still, dq=still), t) for t in range(12000)]
    q, dq = np.array([s.q for s in samples]), np.array([s.dq for s in samples])
    assert q.std(axis=0) == pytest.approx(0.01, rel=0.15)
    assert np.abs(q.mean(axis=0)).max() < 1e-3
    assert np.abs(np.corrcoef(q.T) - np.eye(6)).max() < 0.15
    # The trapezium rule, whose error at 10 Hz and 120 steps a second is some per cent.
    assert np.diff(q, axis=0) == pytest.approx((dq[1:] + dq[:-1]) / 2 / CONTROL_HZ, abs=3e-4)
