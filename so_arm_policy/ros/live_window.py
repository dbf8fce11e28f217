"""What is heard of one live episode while it lasts."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.compare.live.heard import Heard, Stamped, Verdicts
from so_arm_policy.evaluate.demo_summary import SIMULATOR, SUPERVISOR, SYSTEM1
from so_arm_policy.evaluate.director import TaskReading
from so_arm_policy.evaluate.recorder import NodeHistory
from so_arm_policy.evaluate.recording import NodeRecord


class Window:
    """Grows from an instruction to the end of its episode; `over` is set when the judge said how it ended.

    One thread fills it. let_act: the source was selected. fresh: a chunk came that follows from a context of
    the instruction, of pictures taken since it was given. nodes: their ticks, beginning with what was heard before.
    """

    def __init__(self, instruction: str, seed: int, told_ns: int, status: Verdicts | None) -> None:
        """told_ns: ROS time at which the instruction was given; status: the last one before."""
        self.told_ns = told_ns
        self._told = (instruction, seed)
        self._began_ns = self.heard_ns = time.monotonic_ns()
        self._over_ns: int | None = None
        self._over_stamp_ns = 0
        self._joints: list[tuple[int, FloatArray]] = []
        self._readings: list[TaskReading] = []
        self._fresh_ns: int | None = None
        self._contexts = self._chunks = 0
        self._context_ms: list[float] = []
        self._since_over: set[str] = set()
        self.commands: list[tuple[int, FloatArray]] = []
        self.states: list[FloatArray] = []
        self.verdicts: list[Verdicts] = [] if status is None else [status]
        self.proposals: list[tuple[int, int]] = []
        self.pictures: list[int] = []
        self.nodes: dict[str, NodeHistory] = {}
        self.let_act = self.fresh = False

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return self._over_ns is not None

    @property
    def latest(self) -> TaskReading | None:
        """The judge's newest word on this instruction."""
        return self._readings[-1] if self._readings else None

    def finish(self, now_ns: int) -> None:
        """End the episode. now_ns: ROS time."""
        self._over_ns, self._over_stamp_ns = time.monotonic_ns(), now_ns

    def joint(self, sample: JointSample) -> None:
        """Keep a joint state of the episode."""
        if sample.stamp_ns >= self.told_ns and not self.over:
            self._joints.append((sample.stamp_ns, sample.q))

    def reading(self, reading: TaskReading) -> None:
        """Keep what the judge says of this instruction."""
        if (reading.instruction, reading.seed) == self._told and not self.over:
            self._readings.append(reading)
            self.heard_ns = time.monotonic_ns()

    def context(self, instruction: str, pictured_ns: int, inference_ms: float) -> None:
        """Count a context. pictured_ns: when its oldest picture was taken."""
        if instruction == self._told[0] and pictured_ns >= self.told_ns and not self.over:
            self._contexts += 1
            self._context_ms.append(inference_ms)
            self._fresh_ns = pictured_ns if self._fresh_ns is None else self._fresh_ns

    def chunk(self, context_ns: int) -> None:
        """Count a chunk. context_ns: the oldest picture behind it."""
        if self._fresh_ns is not None and context_ns >= self._fresh_ns and not self.over:
            self._chunks += 1
            self.fresh = True

    def diagnosed(self, name: str, facts: Mapping[str, str]) -> None:
        """Take in the diagnostics of a node; those of the first message after the end are the last that count."""
        if name in self._since_over:
            return
        self.nodes.setdefault(name, NodeHistory(name)).hear(facts, recording=True)
        if self.over:
            self._since_over.add(name)

    def complete(self, nodes: Sequence[str]) -> bool:
        """Whether all that is said after the end has come: the ticks of `nodes` and the supervisor's counts."""
        told = self.over and bool(self.verdicts) and self.verdicts[-1].stamp_ns >= self._over_stamp_ns
        return told and self._since_over >= set(nodes)

    def result(self, source: str, joints: int, state_size: int) -> Heard:
        """Return the episode. joints, state_size: numbers in a joint state, and in a state of the simulator."""
        assert self._over_ns is not None
        last = next((i for i, v in enumerate(self.verdicts) if v.stamp_ns >= self._over_stamp_ns), len(self.verdicts))
        policy = source == SYSTEM1
        return Heard(
            wall_s=(self._over_ns - self._began_ns) / NS,
            readings=tuple(self._readings),
            joints=Stamped.of(self._joints, joints),
            commands=Stamped.of(self.commands, joints),
            states=np.array(self.states).reshape(len(self.states), state_size),
            verdicts=tuple(self.verdicts[: last + 1]),
            contexts=self._contexts if policy else None,
            inferences=self._chunks if policy else None,
            context_ms=tuple(self._context_ms),
            proposals=np.array(self.proposals, dtype=np.int64).reshape(len(self.proposals), 2),
            pictures=np.array(self.pictures, dtype=np.int64),
            supervisor=self._node(SUPERVISOR),
            source=self._node(source),
            simulator=self._node(SIMULATOR),
        )

    def _node(self, name: str) -> NodeRecord:
        history = self.nodes.get(name)
        return NodeRecord(name=name) if history is None else history.record(starts=1, rss_mib=float("nan"))
