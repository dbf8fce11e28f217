"""A learned policy as an agent: System 2 and System 1 at their own rates, with the delays they would have."""

import time
from collections import Counter
from dataclasses import dataclass, replace

from so_arm_policy.core.errors import ChunkExpired, ConfigError, InputError, PictureFrozen
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Chunk, Context, Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.monitors import Monitors
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.sim.tasks.task import Episode


@dataclass(frozen=True, kw_only=True)
class PolicyTiming:
    """Rates and delays of a policy in simulated time.

    context_hz: contexts a second; context_latency_ticks: from the picture to the context's arrival.
    infer_every: ticks between inferences of System 1, None for the bundle's own; inference_delay_ticks: from the
    measurement to the first tick that follows the chunk. Each system does one thing at a time, so a delay longer
    than its period stretches the period.
    """

    context_hz: float = 10.0
    context_latency_ticks: int = 6
    infer_every: int | None = None
    inference_delay_ticks: int = 1

    def __post_init__(self) -> None:
        """Refuse what no loop could keep."""
        if not 0.0 < self.context_hz <= CONTROL_HZ:
            raise ConfigError(f"timing: got context_hz {self.context_hz}, expected 0 < context_hz <= {CONTROL_HZ}")
        for name in ("context_latency_ticks", "inference_delay_ticks"):
            if not 0 <= getattr(self, name) <= 2 * CONTROL_HZ:
                raise ConfigError(f"timing: got {name} {getattr(self, name)}, expected 0..{2 * CONTROL_HZ}")
        if self.infer_every is not None and not 1 <= self.infer_every <= CONTROL_HZ:
            raise ConfigError(f"timing: got infer_every {self.infer_every}, expected 1..{CONTROL_HZ}")


class PolicyAgent:
    """Runs a bundle. The instruction is all it is told; what it knows of the scene it has from the cameras."""

    name = "system1"

    def __init__(
        self,
        bundle: Bundle,
        robot: RobotConfig,
        timing: PolicyTiming | None = None,
        precision: str = "fp32",
        joining: str = "committed",
        monitors: Monitors | None = None,
    ) -> None:
        """Open both graphs. precision, joining: of System 1; monitors: of both. Raises BundleError or ConfigError."""
        self._timing = timing or PolicyTiming()
        self._infer_every = self._timing.infer_every or bundle.manifest.infer_every
        self._cameras = bundle.manifest.cameras
        self._joints = robot.joint_names
        self._system2 = System2(bundle, robot, monitors=monitors)
        self._system1 = System1(bundle, robot, precision=precision, joining=joining, monitors=monitors)

    @property
    def context(self) -> Context | None:
        """The newest context that has arrived, or None."""
        return self._context

    @property
    def chunk(self) -> Chunk | None:
        """The chunk being followed, or None."""
        return self._system1.chunk

    def add_latency(self, ticks: int) -> None:
        """Let every context arrive so much later. Raises ConfigError where that would be too late."""
        late = self._timing.context_latency_ticks + ticks
        self._timing = replace(self._timing, context_latency_ticks=late)

    def reset(self, episode: Episode) -> None:
        """Forget the last episode; the noise of this one follows from its seed."""
        self._instruction = episode.instruction
        self._system1.reset(episode.seed)
        self._system2.reset()
        self._context: Context | None = None
        self._coming_context: tuple[int, Context] | None = None
        self._coming_chunk: tuple[int, Chunk] | None = None
        self._contexts = self._inferences = self._sequence = self._next_inference = 0
        self._silences: Counter[str] = Counter()
        self._system1_ms: list[float] = []
        self._system2_ms: list[float] = []

    def propose(self, moment: Moment) -> Proposal | None:
        """Look, think and sample as far as this tick's turn; return the command, or None while there is none."""
        self._run_system2(moment)
        self._run_system1(moment)
        try:
            q, dq = self._system1.command(moment.now_ns)
        except ChunkExpired:
            self._silences["no chunk"] += 1
            return None
        chunk = self._system1.chunk
        assert chunk is not None
        self._sequence += 1
        return Proposal(
            source=self.name,
            sequence=self._sequence,
            stamp_ns=moment.now_ns,
            observation_stamp_ns=min(chunk.observation_stamp_ns, chunk.context_stamp_ns),
            received_ns=moment.now_ns,
            joint_names=self._joints,
            q=q,
            dq=dq,
            disagreement=chunk.disagreement,
            novelty=chunk.novelty,
        )

    def report(self) -> AgentReport:
        """Say how often both systems ran and how long it took."""
        return AgentReport(
            contexts=self._contexts,
            inferences=self._inferences,
            silences=dict(sorted(self._silences.items())),
            system1_ms=tuple(self._system1_ms),
            system2_ms=tuple(self._system2_ms),
        )

    def _run_system2(self, moment: Moment) -> None:
        due = moment.tick * self._timing.context_hz >= self._contexts * CONTROL_HZ
        if due and self._coming_context is None:
            self._contexts += 1
            try:
                context = self._system2.encode(moment.look(self._cameras), self._instruction, moment.sample)
            except PictureFrozen:
                self._silences["pictures frozen"] += 1
                return
            self._coming_context = (moment.tick + self._timing.context_latency_ticks, context)
            self._system2_ms.append(context.inference_ms)
        if self._coming_context is not None and self._coming_context[0] <= moment.tick:
            self._context, self._coming_context = self._coming_context[1], None

    def _run_system1(self, moment: Moment) -> None:
        self._take_chunk(moment)
        if self._context is None or self._coming_chunk is not None or moment.tick < self._next_inference:
            return
        try:
            request = self._system1.request(moment.now_ns, moment.sample, self._context, moment.following)
        except InputError as error:
            self._silences[str(error).partition(":")[0]] += 1
            return
        began = time.perf_counter_ns()
        chunk = self._system1.infer(request)
        self._system1_ms.append((time.perf_counter_ns() - began) / 1e6)
        self._inferences += 1
        self._coming_chunk = (moment.tick + self._timing.inference_delay_ticks, chunk)
        self._next_inference = moment.tick + self._infer_every
        self._take_chunk(moment)

    def _take_chunk(self, moment: Moment) -> None:
        if self._coming_chunk is not None and self._coming_chunk[0] <= moment.tick:
            self._system1.accept(self._coming_chunk[1], moment.now_ns)
            self._coming_chunk = None
