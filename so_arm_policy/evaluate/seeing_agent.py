"""Hand-crafted sources in lockstep: they are shown the table at a rate, as late as it takes to understand a picture."""

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from so_arm_policy.control.source import StandsBy, TaskSource
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.sim.tasks.task import Episode
from so_arm_policy.sim.truth import tabletop_of


@dataclass(frozen=True, kw_only=True)
class SeeingTiming:
    """hz: looks a second; latency_ticks: from the picture to when the source is shown what was on it.

    The next look does not wait for the last one: most of the latency is exposure and transport.
    """

    hz: float = 30.0
    latency_ticks: int = 6

    def __post_init__(self) -> None:
        """Refuse what no loop could keep. Raises ConfigError."""
        if not 0.0 < self.hz <= CONTROL_HZ:
            raise ConfigError(f"seeing: got {self.hz} Hz, expected 0 < hz <= {CONTROL_HZ}")
        if not 0 <= self.latency_ticks <= 2 * CONTROL_HZ:
            raise ConfigError(f"seeing: got latency_ticks {self.latency_ticks}, expected 0..{2 * CONTROL_HZ}")


@runtime_checkable
class Explains(Protocol):
    """A source that can say why it is silent."""

    @property
    def trouble(self) -> str | None:
        """Why it does not do what it was told, or None."""
        ...


class Eyes(Protocol):
    """Whatever makes a table of a moment."""

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop | None:
        """Return what of what is wanted (see TaskSource) is on the table, or None where nothing could be made out."""
        ...


class TruthEyes:
    """Privileged: see the true state of the simulator."""

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop:  # noqa: ARG002
        """Return the true table."""
        return tabletop_of(moment.simulator)


class SeeingAgent:
    """Runs a source that is told an instruction and shown tables."""

    def __init__(self, source: TaskSource, robot: RobotConfig, eyes: Eyes, timing: SeeingTiming | None = None) -> None:
        """timing: by default 30 looks a second, known 50 ms later."""
        self.name = source.name
        self._source = source
        self._joints = robot.joint_names
        self._eyes = eyes
        self._timing = timing or SeeingTiming()

    def add_latency(self, ticks: int) -> None:
        """Be shown everything so much later. Raises ConfigError where that would be too late."""
        self._timing = replace(self._timing, latency_ticks=self._timing.latency_ticks + ticks)

    def reset(self, episode: Episode) -> None:
        """Reset the source and tell it the instruction. Raises InputError where it does not understand."""
        self._source.reset()
        self._source.tell(episode.instruction)
        self._coming: deque[tuple[int, int, Tabletop]] = deque()
        self._seen_ns: int | None = None
        self._due = self._looks = 0
        self._was_followed = False
        self._silences: Counter[str] = Counter()

    def propose(self, moment: Moment) -> Proposal | None:
        """Look, show what is known by now, and return what the source wants."""
        self._look(moment)
        return self._proposal(moment)

    def stand_by(self, episode: Episode, moment: Moment) -> Proposal | None:
        """Begin `episode` anew from where the arm is now, without a look at the table; return what that begins with."""
        self.reset(episode)
        return self._proposal(moment)

    def _proposal(self, moment: Moment) -> Proposal | None:
        wanted = self._wanted(moment)
        if wanted is None:
            self._silences[self._why()] += 1
            return None
        # While it rests to look, and while nothing that could be seen matters, the joints are all it uses.
        seen_ns = self._seen_ns if self._source.wanted and self._seen_ns is not None else moment.sample.stamp_ns
        return Proposal(
            source=self.name,
            sequence=moment.tick,
            stamp_ns=moment.now_ns,
            observation_stamp_ns=min(moment.sample.stamp_ns, seen_ns),
            received_ns=moment.now_ns,
            joint_names=self._joints,
            q=wanted[0],
            dq=wanted[1],
        )

    def report(self) -> AgentReport:
        """Say how often it looked and was silent; a look counts as a context."""
        return AgentReport(contexts=self._looks, silences=dict(sorted(self._silences.items())))

    def _wanted(self, moment: Moment) -> tuple[FloatArray, FloatArray] | None:
        self._was_followed |= moment.following
        if self._was_followed and not moment.following and isinstance(self._source, StandsBy):
            return self._source.standby(moment.now_ns, moment.sample)
        return self._source.command(moment.now_ns, moment.sample)

    def _why(self) -> str:
        """Say why the source is silent; of an error what it is about."""
        trouble = self._source.trouble if isinstance(self._source, Explains) else None
        return (trouble or "no command").partition(":")[0]

    def _look(self, moment: Moment) -> None:
        wanted = self._source.wanted
        heedless = wanted == frozenset()
        if moment.tick * self._timing.hz >= self._due * CONTROL_HZ:
            self._due += 1
            table = None if heedless else self._eyes.look(moment, wanted)
            self._looks += not heedless
            if table is not None:
                self._coming.append((moment.tick + self._timing.latency_ticks, moment.now_ns, table))
        while self._coming and self._coming[0][0] <= moment.tick:
            _, stamp_ns, table = self._coming.popleft()
            self._source.see(table, stamp_ns)
            self._seen_ns = stamp_ns
        if heedless:
            self._seen_ns = None
