"""Runs one fault case on one moving arm, in lockstep: agent, faults, supervisor, motors, physics, referee.

The same case, source and seed give the same result to the bit.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, JointSample, Proposal
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.evaluate.campaign import Campaign, make_agent
from so_arm_policy.evaluate.faults.case import OTHER, FaultCase, Injector, Now, Onset
from so_arm_policy.evaluate.faults.judgement import complaints
from so_arm_policy.evaluate.halt import DT
from so_arm_policy.evaluate.referee import Findings, Referee
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput, Verdict
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Episode

# Far from zero, so that also stamps of many seconds ago are positive.
EPOCH_NS = 1_000 * NS
# A fault begins when the fastest joint of the command is at least this fast and not slowing down, rad/s.
ONSET_RAD_S = 0.5
ONSET_AFTER_TICKS = 30
ONSET_WITHIN_TICKS = 600
PID_TURNED_RAD = 0.9
HEALTHY_C, HEALTHY_V = 35.0, 7.4
LEARNED = "system1"
NOBODY = "-"  # source of a case in which nothing ever runs


class Judge(Protocol):
    """What stands between proposals and motors: the supervisor, or another one to compare it with."""

    @property
    def mode(self) -> Mode:
        """State of the machine."""
        ...

    def step(self, tick: TickInput) -> Verdict:
        """Judge one tick."""
        ...


MakeJudge = Callable[[SupervisorConfig, RobotConfig, str], Judge]


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What came of one case with one source and seed.

    why: what was not contained, by the referee; empty when it was. onset: tick at which the fault began.
    reasons: codes the supervisor gave while the fault was there, most frequent first; for people, no part of the
    judgement. text: what a refused start said.
    """

    case: str
    group: str
    source: str
    seed: int | None
    why: tuple[str, ...]
    onset: int | None = None
    found: Findings | None = None
    reasons: tuple[str, ...] = ()
    text: str = ""

    @property
    def contained(self) -> bool:
        """Whether all came as it must."""
        return not self.why


def refuse(case: FaultCase, group: str) -> CaseResult:
    """Run a case that must not even start."""
    assert case.start is not None
    try:
        case.start()
    except ConfigError as error:
        return CaseResult(case=case.name, group=group, source=NOBODY, seed=None, why=(), text=str(error))
    return CaseResult(case=case.name, group=group, source=NOBODY, seed=None, why=("it started",))


def campaign_of(source: str, robot: str) -> Campaign:
    """Return who moves the arm of `robot` and at what task. Raises ConfigError."""
    single = {
        LEARNED: ("pick_place", "so101_flow"),
        "pid": ("reach", "pid_privileged"),
        "expert": ("pick_place", "expert"),
        "planner": ("pick_place", "planner_privileged"),
    }
    both = {LEARNED: ("handover", "handover_flow"), "expert": ("handover", "expert")}
    table = single if robot == "so101" else both
    if source not in table:
        raise ConfigError(f"faults: got source {source!r} for robot {robot!r}, expected one of {list(table)}")
    task, who = table[source]
    if source == LEARNED:
        return Campaign(task=task, bundle=str(find_shipped("bundles", who)))
    return Campaign(task=task, scripted=who, robot=robot)


class Stage:
    """One source with its task, robot and simulator, for many runs. Use it in the thread that made it."""

    def __init__(self, source: str, robot: str) -> None:
        """Load the source and compile the model. Raises ConfigError or BundleError."""
        self.source = source
        self.task, self.robot, self.agent = make_agent(campaign_of(source, robot))
        self.renderer = SceneRenderer(self.robot)
        self.simulator = Simulator(self.robot, self.task.sample(0).scene)
        self._clearance = Clearance(self.robot)

    def run(self, case: FaultCase, group: str, seed: int, make_judge: MakeJudge | None = None) -> CaseResult:
        """Run `case` on the episode of `seed`. make_judge: makes what is tested, by default the supervisor."""
        kept = {name: getattr(self.simulator.model, name).copy() for name in _PLANT}
        try:
            return _Run(self, case, seed, make_judge or self._supervisor).result(group)
        finally:
            for name, values in kept.items():
                getattr(self.simulator.model, name)[:] = values

    def start(self, episode: Episode) -> FloatArray | None:
        """Return where the joints stand at the start, (n,) rad, None for home."""
        if self.source != "pid":
            return None
        # From home its way is too short for a fault to be on: turn the arm away from where it must go.
        q = self.robot.home.copy()
        q[0] = -math.copysign(PID_TURNED_RAD, episode.scene.objects[episode.goal.steps[0].object].y)
        return q

    def _supervisor(self, config: SupervisorConfig, robot: RobotConfig, source: str) -> Supervisor:
        return Supervisor(config, robot, source, self._clearance)

    def close(self) -> None:
        """Free the renderer."""
        self.renderer.close()


# What a fault may change in the model, to be put right after the run.
_PLANT = ("dof_damping", "actuator_forcerange", "jnt_range")


class _Run:
    """One run. `tick` by `tick`; the fault begins at `onset`."""

    def __init__(self, stage: Stage, case: FaultCase, seed: int, make_judge: MakeJudge) -> None:
        self._stage, self._case, self._seed = stage, case, seed
        self._simulator, self._robot = stage.simulator, stage.robot
        self._injector: Injector = case.injector()
        episode = stage.task.sample(seed)
        start = self._injector.begin(stage.robot)
        self._simulator.reset(episode.scene, stage.start(episode) if start is None else start)
        stage.agent.reset(episode)
        self._name = stage.agent.name
        config = SupervisorConfig(**{"sources": (self._name, OTHER), **case.config})  # type: ignore[arg-type]
        self._judge = make_judge(config, stage.robot, self._name)
        self._referee = Referee(self._simulator)
        self._mailbox: dict[str, Proposal] = {}
        self._commands: list[FloatArray] = []
        self._reasons: Counter[str] = Counter()
        self._onset: int | None = None
        self._since: tuple[int, float, FloatArray, FloatArray] | None = None

    def result(self, group: str) -> CaseResult:
        """Run to the end and have it judged."""
        raised = ""
        for tick in range(ONSET_WITHIN_TICKS + self._case.ticks):
            if self._onset is None and self._begins(tick):
                self._mark(tick)
            if self._onset is not None and tick - self._onset >= self._case.ticks:
                break
            raised = self._step(tick)
            if raised:
                break
        first, end = self._onset or 0, (self._onset or 0) + self._case.end
        found = self._referee.findings(first, min(end, self._referee.tick))
        why = [raised] if raised else ["the arm never moved at speed"] if self._onset is None else []
        return CaseResult(
            case=self._case.name,
            group=group,
            source=self._stage.source,
            seed=self._seed,
            why=tuple(why) or complaints(self._case, found, self._robot),
            onset=self._onset,
            found=found,
            reasons=tuple(code for code, _ in self._reasons.most_common(3)),
        )

    def _begins(self, tick: int) -> bool:
        if self._case.onset is Onset.START:
            return True
        fast = float(np.abs(self._velocity()).max()) >= ONSET_RAD_S
        return tick >= ONSET_AFTER_TICKS and fast and self._referee.quickening

    def _velocity(self) -> FloatArray:
        """Return how fast the command of each joint of an arm moves, rad/s; 0 for grippers, which may be blocked."""
        if len(self._commands) < 2:
            return np.zeros(len(self._robot.joints))
        grippers = [name.endswith("gripper") for name in self._robot.joint_names]
        return np.where(grippers, 0.0, (self._commands[-1] - self._commands[-2]) / DT)

    def _mark(self, tick: int) -> None:
        """Note how the arm moves as the fault begins."""
        self._onset = tick
        q = self._commands[-1] if self._commands else self._simulator.q.copy()
        dq = self._velocity()
        joint = int(np.abs(dq).argmax())
        self._since = joint, -1.0 if dq[joint] < 0 else 1.0, q, dq

    def _step(self, tick: int) -> str:
        """One period of everything; returns what the supervisor died of, or ""."""
        moment = self._moment(tick)
        honest = self._stage.agent.propose(moment)
        now = self._now(moment)
        injector = Injector() if now is None else self._injector
        # What does nothing asks nothing of the moment either, so any will do when there is no fault.
        now = now or self._any_now(moment)
        injector.plant(now)
        arrived = injector.arrive(now, honest)
        self._mailbox |= {proposal.source: proposal for proposal in arrived}
        tick_input = self._input(moment)
        command: FloatArray | None = None
        for one in injector.see(now, tick_input):
            try:
                verdict = self._judge.step(one)
            except Exception as error:  # noqa: BLE001 - whatever it is, a dead supervisor is the finding
                return f"the supervisor died of {type(error).__name__}: {error}"
            if verdict.code and now.tick >= 0:
                self._reasons[verdict.code] += 1
            if verdict.command is not None and self._referee.sent(verdict.command):
                command = verdict.command
                self._simulator.limp = verdict.limp
        if command is not None:
            self._commands.append(command)
            for proposal in arrived if honest is not None and injector is self._injector else []:
                self._referee.told(honest.q, proposal.q)  # type: ignore[union-attr]
        self._simulator.step(command)
        self._referee.stepped()
        return ""

    def _input(self, moment: Moment) -> TickInput:
        """Return what a supervisor sees that nobody deceives: motors that are well, by their report too."""
        now_ns, n = moment.now_ns, len(self._robot.joints)
        motors = self._simulator.motors(now_ns, now_ns)
        return TickInput(
            now_ns=now_ns,
            ros_now_ns=now_ns,
            sample=moment.sample,
            proposals=dict(self._mailbox),
            motors=replace(motors, temperature_c=np.full(n, HEALTHY_C), voltage_v=np.full(n, HEALTHY_V)),
        )

    def _moment(self, tick: int) -> Moment:
        simulator, now_ns = self._simulator, EPOCH_NS + self._simulator.time_ns
        sample = JointSample(stamp_ns=now_ns, received_ns=now_ns, q=simulator.q, dq=simulator.dq)

        def look(cameras: object) -> dict[str, CameraImage]:
            render = self._stage.renderer.render
            return {
                name: CameraImage(camera=name, stamp_ns=now_ns, rgb=render(simulator.scene, simulator.qpos, name))
                for name in cameras  # type: ignore[attr-defined]
            }

        following = self._judge.mode is Mode.ACTIVE
        return Moment(tick=tick, now_ns=now_ns, sample=sample, following=following, look=look, simulator=simulator)

    def _now(self, moment: Moment) -> Now | None:
        """Return what the injector sees, None while there is no fault."""
        if self._onset is None or moment.tick - self._onset >= self._case.end:
            return None
        return self._any_now(moment)

    def _any_now(self, moment: Moment) -> Now:
        joint, way, q0, dq0 = self._since or (0, 1.0, moment.sample.q, moment.sample.dq)
        return Now(
            tick=-1 if self._onset is None else moment.tick - self._onset,
            true_tick=moment.tick,
            now_ns=moment.now_ns,
            robot=self._robot,
            simulator=self._simulator,
            source=self._name,
            joint=joint,
            way=way,
            q0=q0,
            dq0=dq0,
            sample=moment.sample,
            seed=self._seed,
        )
