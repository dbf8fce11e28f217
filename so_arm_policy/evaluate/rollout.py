"""One episode in lockstep: simulator, agent and supervisor on the same simulated 120 Hz grid, without ROS.

The same seed gives the same episode to the bit, on the same machine and versions: time is simulated, every delay is a
number of ticks, and nothing depends on how long a computation took.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import CameraImage, JointSample, Proposal
from so_arm_policy.evaluate.agent import Agent, AgentReport, Asked, Backed, Moment, StandIn
from so_arm_policy.evaluate.disturbances import Disturbance
from so_arm_policy.evaluate.smoothness import log_dimensionless_jerk
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput, Verdict
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Episode, Task, TaskStatus

# Time of the first tick: a stamp of zero is a fault everywhere.
EPOCH_NS = NS
MOVING = (Mode.ACTIVE, Mode.FALLBACK)  # of the supervisor: the arm does what a source proposes


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One tick as subscribers see it, before its command acts.

    sample: what was measured; q, dq: where the joints truly were, (n,) rad, and how fast, (n,) rad/s. qpos: state of
    the model, enough to draw it. torque: of the motors, (n,) N m. fingertips: between the jaws of each
    arm, (arms, 3) m, objects: their middles, (k, 3) m, both in the world frame.
    """

    tick: int
    now_ns: int
    sample: JointSample
    proposal: Proposal | None
    verdict: Verdict
    status: TaskStatus
    q: FloatArray
    dq: FloatArray
    qpos: FloatArray
    torque: FloatArray
    fingertips: FloatArray
    objects: FloatArray


@dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """What came of one episode.

    instruction: what the agent was told; goal: what it was judged by; time_s: when it had succeeded, else None. held_s:
    how long it had been at its goal by the end, as the task counts it.
    smoothness: log dimensionless jerk of the commands, higher is smoother; None where nothing was commanded.
    actions, rules: verdicts of the supervisor by kind, and those other than PASS by reason code. doubts: ticks in which
    a doubt in the agent lasted, by code.
    digest: sha256 over every measured position and command; equal for equal episodes.
    """

    seed: int
    instruction: str
    goal: Goal
    success: bool
    time_s: float | None
    final_distance_m: float
    held_s: float
    smoothness: float | None
    ticks: int
    actions: dict[str, int]
    rules: dict[str, int]
    agent: AgentReport
    digest: str
    doubts: dict[str, int] = field(default_factory=dict)


class Subscriber(Protocol):
    """Watches episodes: recorders, animations, metrics. The loop does not know what it does."""

    def on_start(self, episode: Episode) -> None:
        """Hear that `episode` begins."""
        ...

    def on_step(self, step: Step) -> None:
        """See one tick."""
        ...

    def on_end(self, result: EpisodeResult) -> None:
        """Hear how it ended."""
        ...


class Rollout:
    """Runs episodes of one task with one agent; compiles the model once. Use it in the thread that made it."""

    def __init__(
        self,
        task: Task,
        robot: RobotConfig,
        agent: Agent,
        safety: SupervisorConfig | None = None,
        disturbance: Disturbance | None = None,
        operator: Callable[[int], Asked] = lambda tick: Asked(),  # noqa: ARG005
    ) -> None:
        """Compile the models.

        safety: by default the supervisor's own values with the agent as the only source, or what the agent has.
        disturbance: by default none. operator: says what a person asks for at a tick; by default nothing.
        """
        self._disturbance = disturbance or Disturbance()
        self._operator = operator
        self._task = task
        self._robot = robot
        self._agent = agent
        self._fallback = agent.fallback if isinstance(agent, Backed) else None
        own = agent.safety if isinstance(agent, Backed) else SupervisorConfig(sources=(agent.name,))
        self._safety = safety or own
        self._clearance = Clearance(robot, self._safety.keep_outs.all, self._safety.looking_m)
        self._renderer = SceneRenderer(robot)
        self._simulator: Simulator | None = None

    def run(self, episode: Episode, subscribers: Sequence[Subscriber] = ()) -> EpisodeResult:
        """Run `episode` until it succeeds or its time is over; `episode.goal` is what it is judged by."""
        simulator = self._stand(episode)
        self._disturbance.begin(simulator, episode.seed)
        try:
            return self._run(simulator, episode, subscribers)
        finally:
            self._disturbance.end(simulator)

    def _run(self, simulator: Simulator, episode: Episode, subscribers: Sequence[Subscriber]) -> EpisodeResult:
        supervisor = Supervisor(self._safety, self._robot, self._agent.name, self._clearance)
        tracker = self._task.tracker(episode.goal)
        cast = _Cast(self._agent, self._fallback, episode)
        for subscriber in subscribers:
            subscriber.on_start(episode)
        tally = _Tally()
        limit = round(self._task.time_limit_s * CONTROL_HZ)
        verdict: Verdict | None = None
        for tick in range(limit + 1):
            status = tracker.update(simulator)
            if status.success or tick == limit:
                break
            moment = self._moment(simulator, tick)
            proposals = cast.propose(moment, verdict)
            verdict = supervisor.step(_tick_input(moment, proposals, self._operator(tick)))
            tally.add(moment.sample, verdict)
            if subscribers:
                step = _step(moment, proposals.get(verdict.source), verdict, status)
                for subscriber in subscribers:
                    subscriber.on_step(step)
            self._disturbance.act(simulator, tick)
            simulator.step(verdict.command)
        result = tally.result(episode, status, tick, self._agent.report())
        for subscriber in subscribers:
            subscriber.on_end(result)
        return result

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _stand(self, episode: Episode) -> Simulator:
        if self._simulator is None:
            self._simulator = Simulator(self._robot, episode.scene)
        else:
            self._simulator.reset(episode.scene)
        return self._simulator

    def _moment(self, simulator: Simulator, tick: int) -> Moment:
        now_ns = EPOCH_NS + simulator.time_ns
        truth = JointSample(stamp_ns=now_ns, received_ns=now_ns, q=simulator.q, dq=simulator.dq)
        sample = self._disturbance.measured(truth, tick)

        def look(cameras: Sequence[str]) -> Mapping[str, CameraImage]:
            return {
                name: CameraImage(
                    camera=name, stamp_ns=now_ns, rgb=self._renderer.render(simulator.scene, simulator.qpos, name)
                )
                for name in cameras
            }

        return Moment(tick=tick, now_ns=now_ns, sample=sample, following=False, look=look, simulator=simulator)


class _Cast:
    """Who proposes in one episode: the agent, and who stands behind it."""

    def __init__(self, agent: Agent, fallback: StandIn | None, episode: Episode) -> None:
        self._agent, self._fallback, self._episode = agent, fallback, episode
        self._newest: dict[str, Proposal] = {}
        agent.reset(episode)
        if fallback is not None:
            fallback.reset(episode)

    def propose(self, moment: Moment, last: Verdict | None) -> dict[str, Proposal]:
        """Return the newest proposal of each. last: what was decided at the tick before."""
        acting = last.source if last is not None else ""
        followed = last is not None and last.mode in MOVING and not last.slowed
        self._keep(self._agent.propose(replace(moment, following=followed and self._agent.name == acting)))
        if self._fallback is None:
            return self._newest
        if self._fallback.name == acting:
            self._keep(self._fallback.propose(replace(moment, following=followed)))
        else:
            self._keep(self._fallback.stand_by(self._episode, moment))
        return self._newest

    def _keep(self, proposal: Proposal | None) -> None:
        if proposal is not None:
            self._newest[proposal.source] = proposal


def _tick_input(moment: Moment, proposals: Mapping[str, Proposal], asked: Asked) -> TickInput:
    now_ns = moment.now_ns
    return TickInput(
        now_ns=now_ns,
        ros_now_ns=now_ns,
        sample=moment.sample,
        proposals=dict(proposals),
        estop=asked.estop,
        reset=asked.reset,
        select=asked.select,
        motors=moment.simulator.motors(now_ns, now_ns),
    )


def _step(moment: Moment, proposal: Proposal | None, verdict: Verdict, status: TaskStatus) -> Step:
    simulator = moment.simulator
    return Step(
        tick=moment.tick,
        now_ns=moment.now_ns,
        sample=moment.sample,
        proposal=proposal,
        verdict=verdict,
        status=status,
        q=simulator.q,
        dq=simulator.dq,
        qpos=simulator.qpos,
        torque=simulator.torque,
        fingertips=np.array([simulator.fingertip(arm) for arm in range(len(simulator.robot.arms))]),
        objects=np.array([simulator.object_position(i) for i in range(len(simulator.scene.objects))]),
    )


class _Tally:
    """Counts verdicts and hashes the motion of one episode."""

    def __init__(self) -> None:
        self._actions: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()
        self._hash = hashlib.sha256()
        self._commands: list[FloatArray] = []

    def add(self, sample: JointSample, verdict: Verdict) -> None:
        self._actions[verdict.action.value] += 1
        if verdict.code:
            self._rules[verdict.code] += 1
        self._doubts.update(verdict.doubts)
        self._hash.update(sample.q.tobytes())
        if verdict.command is not None:
            self._hash.update(verdict.command.tobytes())
            self._commands.append(verdict.command)

    def result(self, episode: Episode, status: TaskStatus, ticks: int, agent: AgentReport) -> EpisodeResult:
        return EpisodeResult(
            seed=episode.seed,
            instruction=episode.instruction,
            goal=episode.goal,
            success=status.success,
            time_s=ticks / CONTROL_HZ if status.success else None,
            final_distance_m=status.distance_m,
            held_s=status.held_s,
            smoothness=log_dimensionless_jerk(np.array(self._commands), 1.0 / CONTROL_HZ) if self._commands else None,
            ticks=ticks,
            actions=dict(sorted(self._actions.items())),
            rules=dict(sorted(self._rules.items())),
            agent=agent,
            digest=self._hash.hexdigest(),
            doubts=dict(sorted(self._doubts.items())),
        )
