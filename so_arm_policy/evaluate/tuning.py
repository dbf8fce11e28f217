"""Gains of the Cartesian PID by a stated procedure: relay feedback for a start, then a search over episodes.

The seeds are kept for this; no test and no published figure uses them. A first-order lag stands between command and
motors in every second episode: the simulated motors hardly lag, real ones do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from so_arm_policy.control.cartesian_pid import CartesianPidConfig
from so_arm_policy.control.differential_ik import DifferentialIk, JointMotion, JointMotionConfig
from so_arm_policy.control.fingertip_servo import FingertipServoConfig
from so_arm_policy.control.thing_servo import ThingServoConfig
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import Agent, AgentReport, Moment
from so_arm_policy.evaluate.crafted_agents import privileged_pid_agent
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout, Step
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.task import Episode

FIRST_SEED = 3000
RELAY_M_S = 0.05
RELAY_S = 6.0
FAILURE_S = 10.0
OVERSHOOT_S_PER_M = 100.0
ROUGHNESS_S = 0.1
CLAMP_S = 0.1
# Where the search for the bounds begins; that for the gains begins where the relay says.
START = {"speed_limit": 0.4, "acceleration_limit": 2.0}
# What is searched for, each in the logarithm between these.
RANGES = {"kp": (1.0, 40.0), "kd": (1e-3, 0.5), "speed_limit": (0.1, 0.8), "acceleration_limit": (0.5, 6.0)}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a search may cost. episodes: of each try; tries: sets of gains; lag_s: of the motors, assumed."""

    episodes: int = 8
    tries: int = 60
    lag_s: float = 0.04

    def __post_init__(self) -> None:
        """Refuse searches that are none. Raises ConfigError."""
        if not 2 <= self.episodes <= 1000:
            raise ConfigError(f"tuning: got {self.episodes} episodes, expected 2..1000")
        if not 1 <= self.tries <= 10_000:
            raise ConfigError(f"tuning: got {self.tries} tries, expected 1..10000")
        if not 0.0 <= self.lag_s <= 0.5:
            raise ConfigError(f"tuning: got a lag of {self.lag_s} s, expected 0..0.5")


@dataclass(frozen=True, kw_only=True)
class Ultimate:
    """The limit cycle under a relay. gain: of the loop at the limit of stability, 1/s; period_s: of the cycle."""

    gain: float
    period_s: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one set of gains costs, means over its episodes.

    time_s: to success, with FAILURE_S on top of the time limit for none; overshoot_m: most that the way to the target
    grew again after having been shorter; roughness: negative log dimensionless jerk; clamps: changed commands.
    """

    successes: int
    time_s: float
    overshoot_m: float
    roughness: float
    clamps: float
    ticks: int

    @property
    def total(self) -> float:
        """All of it in s."""
        return self.time_s + OVERSHOOT_S_PER_M * self.overshoot_m + ROUGHNESS_S * self.roughness + CLAMP_S * self.clamps


class Lag:
    """First-order lag of motors behind their command."""

    def __init__(self, lag_s: float) -> None:
        """lag_s: time constant; 0 for none."""
        self._blend = 1.0 - math.exp(-1.0 / (CONTROL_HZ * lag_s)) if lag_s > 0.0 else 1.0
        self._q: FloatArray | None = None

    def follow(self, q: FloatArray) -> FloatArray:
        """Return where the motors are told to be when the command is `q` (n,) rad; call once a tick."""
        self._q = q if self._q is None else self._q + self._blend * (q - self._q)
        return self._q


class LaggingAgent:
    """Another agent on motors that lag."""

    def __init__(self, agent: Agent, lag_s: float) -> None:
        """lag_s: of the motors; can be set anew between episodes."""
        self.lag_s = lag_s
        self._agent = agent

    @property
    def name(self) -> str:
        """That of the other."""
        return self._agent.name

    def reset(self, episode: Episode) -> None:
        """Begin an episode, at rest."""
        self._lag = Lag(self.lag_s)
        self._agent.reset(episode)

    def propose(self, moment: Moment) -> Proposal | None:
        """Return where the motors get to by what the other proposes."""
        proposal = self._agent.propose(moment)
        return None if proposal is None else replace(proposal, q=self._lag.follow(proposal.q), dq=None)

    def report(self) -> AgentReport:
        """Say what the other says."""
        return self._agent.report()


class Rebound:
    """Subscriber: how far the fingertip got away from the target again, m."""

    def on_start(self, episode: Episode) -> None:
        """Forget the last episode."""
        self.overshoot_m, self._nearest = 0.0, math.inf

    def on_step(self, step: Step) -> None:
        """Measure."""
        self._nearest = min(self._nearest, step.status.distance_m)
        self.overshoot_m = max(self.overshoot_m, step.status.distance_m - self._nearest)

    def on_end(self, result: EpisodeResult) -> None:
        """Nothing to do."""


def relay(robot: RobotConfig, lag_s: float, axis: int) -> Ultimate:
    """Let a relay drive the fingertip to and fro along one axis at the home pose, and measure the cycle.

    After Astrom & Hagglund, "Automatic tuning of simple regulators", Automatica 20, 1984: the describing function of a
    relay of amplitude d that causes a cycle of amplitude a is 4 d / (pi a), which is the ultimate gain.
    """
    simulator = Simulator(robot, random_scene(FIRST_SEED))
    ik = DifferentialIk(arm_spec().compile(), robot, JointMotionConfig())
    lag, motion, dt = Lag(lag_s), JointMotion.at_rest(simulator.q), 1.0 / CONTROL_HZ
    center, trace = ik.fingertip(simulator.q), []
    for _ in range(round(RELAY_S * CONTROL_HZ)):
        error = center - ik.fingertip(simulator.q)
        velocity = 3.0 * error
        velocity[axis] = math.copysign(RELAY_M_S, error[axis])
        rate, _ = ik.step(motion, simulator.q, velocity, dt)
        motion = motion.moved(rate, dt, robot.lower, robot.upper)
        simulator.step(lag.follow(motion.q))
        trace.append(float(error[axis]))
    settled = np.array(trace[len(trace) // 2 :])
    crossings = np.flatnonzero((settled[:-1] < 0.0) & (settled[1:] >= 0.0))
    if len(crossings) < 3:
        raise ConfigError(f"relay: got {len(crossings)} cycles along axis {axis}, expected at least 3")
    period_s = float(np.diff(crossings).mean()) * dt
    return Ultimate(gain=4.0 * RELAY_M_S / (math.pi * float(np.ptp(settled)) / 2.0), period_s=period_s)


def first_gains(ultimate: Ultimate) -> CartesianPidConfig:
    """Return gains after Tyreus & Luyben, Ind. Eng. Chem. Res. 31, 1992: Ku / 3.2 and Tu / 6.3, without the integral.

    The moving command integrates already.
    """
    kp = ultimate.gain / 3.2
    return replace(CartesianPidConfig(), kp=kp, kd=kp * ultimate.period_s / 6.3, **START)


class Trial:
    """Runs the tuning episodes with any gains; compiles the models once."""

    def __init__(self, tuning: Tuning) -> None:
        """Nothing has been run."""
        self._tuning = tuning
        self._task = Reach()
        self._robot = load_robot(self._task.robot)
        self.episodes = self.ticks = 0

    def cost(self, gains: CartesianPidConfig) -> Cost:
        """Return what `gains` cost."""
        config = ThingServoConfig(servo=FingertipServoConfig(pid=gains))
        agent = LaggingAgent(privileged_pid_agent(self._task, self._robot, config), 0.0)
        rollout, rebound = Rollout(self._task, self._robot, agent), Rebound()
        results, overshoots = [], []
        for k in range(self._tuning.episodes):
            agent.lag_s = self._tuning.lag_s * (k % 2)
            results.append(rollout.run(self._task.sample(FIRST_SEED + k), [rebound]))
            overshoots.append(rebound.overshoot_m)
        rollout.close()
        self.episodes += len(results)
        self.ticks += sum(result.ticks for result in results)
        failed_s = self._task.time_limit_s + FAILURE_S
        return Cost(
            successes=sum(result.success for result in results),
            time_s=float(np.mean([result.time_s or failed_s for result in results])),
            overshoot_m=float(np.mean(overshoots)),
            roughness=-float(np.mean([result.smoothness or 0.0 for result in results])),
            clamps=float(np.mean([result.actions.get("CLAMP", 0) for result in results])),
            ticks=sum(result.ticks for result in results),
        )


def search(
    trial: Trial, start: CartesianPidConfig, tries: int, on_try: Callable[[CartesianPidConfig, Cost], None]
) -> CartesianPidConfig:
    """Return the best of `tries` sets of gains near `start`; Nelder & Mead, The Computer Journal 7, 1965."""
    best: list[tuple[float, CartesianPidConfig]] = []

    def total(x: FloatArray) -> float:
        gains = _gains(x, start)
        cost = trial.cost(gains)
        on_try(gains, cost)
        best.append((cost.total, gains))
        return cost.total

    x0 = _position(start)
    simplex = np.vstack([x0, x0 + np.where(x0 < 0.5, 0.2, -0.2) * np.eye(len(x0))])
    options = {"maxfev": tries, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-4}
    minimize(total, x0, method="Nelder-Mead", bounds=[(0.0, 1.0)] * len(x0), options=options)
    return min(best, key=lambda found: found[0])[1]


def _position(gains: CartesianPidConfig) -> FloatArray:
    """Return where in RANGES `gains` are, 0..1 each."""
    x = [math.log(getattr(gains, name) / low) / math.log(high / low) for name, (low, high) in RANGES.items()]
    return np.clip(x, 0.0, 1.0)


def _gains(x: FloatArray, start: CartesianPidConfig) -> CartesianPidConfig:
    found = {
        name: float(f"{low * (high / low) ** float(share):.3g}")
        for share, (name, (low, high)) in zip(np.clip(x, 0.0, 1.0), RANGES.items(), strict=True)
    }
    return replace(start, **found)
