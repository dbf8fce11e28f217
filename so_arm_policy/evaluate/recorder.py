"""Gathers a live run, message by message, into a Recording."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.recording import Frame, Kill, ModeChange, NodeRecord, Recording, SceneChange, Series, Try
from so_arm_policy.sim.scene import Scene

HISTOGRAM = "lateness_histogram_10us"


class _Rows:
    """A Series that grows."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._times: list[float] = []
        self._values: list[FloatArray] = []

    def add(self, time_s: float, values: FloatArray) -> None:
        self._times.append(max(time_s, self._times[-1] if self._times else 0.0))
        self._values.append(values)

    def series(self) -> Series:
        return Series(np.array(self._times), np.array(self._values).reshape(len(self._times), self._width))


@dataclass
class Counters:
    """Counters of one process that start again at zero when it is restarted; `total` goes on.

    The first values seen before the run are its baseline: what happened before does not count.
    """

    last: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)

    def baseline(self, values: Mapping[str, int]) -> None:
        """Count from `values` on."""
        self.last, self.total = dict(values), {}

    def add(self, values: Mapping[str, int], restarted: bool) -> None:
        """Take in the newest values."""
        before = {} if restarted else self.last
        for name, value in values.items():
            self.total[name] = self.total.get(name, 0) + max(value - before.get(name, 0), 0)
        self.last = dict(values)


class NodeHistory:
    """Follows one node through its diagnostics, also across restarts."""

    def __init__(self, name: str) -> None:
        """name: of the node."""
        self._record = NodeRecord(name=name)
        self._counts = Counters()
        self._lateness = Counters()

    def hear(self, facts: Mapping[str, str], recording: bool) -> None:
        """Take in one diagnostic message; before the run it only sets the baseline."""
        counts = {name: int(facts[name]) for name in ("ticks", "ticks_missed") if facts.get(name, "").isdecimal()}
        lateness = _bins(facts.get(HISTOGRAM, ""))
        if recording:
            restarted = counts.get("ticks", 0) < self._counts.last.get("ticks", 0)
            self._counts.add(counts, restarted)
            self._lateness.add(lateness, restarted)
        else:
            self._counts.baseline(counts)
            self._lateness.baseline(lateness)
        kept = {name: value for name, value in facts.items() if name != HISTOGRAM}
        self._record = replace(self._record, facts=kept)

    def record(self, starts: int, rss_mib: float) -> NodeRecord:
        """Return what is known at the end of the run."""
        return replace(
            self._record,
            starts=starts,
            rss_mib=rss_mib,
            ticks=self._counts.total.get("ticks", 0),
            missed=self._counts.total.get("ticks_missed", 0),
            lateness={int(place): n for place, n in self._lateness.total.items() if n},
        )


def _bins(text: str) -> dict[str, int]:
    try:
        return {str(place): int(count) for place, count in json.loads(text).items()}
    except (ValueError, AttributeError):
        return {}


class Recorder:
    """Grows while a run goes on. One thread owns it. Times in s since the start of the run."""

    def __init__(self, robot: RobotConfig, scene: Scene, state_size: int) -> None:
        """scene: the present one; state_size: numbers in the simulator's qpos."""
        self._robot = robot
        self._scenes = [SceneChange(time_s=0.0, scene=scene)]
        joints = len(robot.joints)
        self._commands, self._measured, self._states = _Rows(joints), _Rows(joints), _Rows(state_size)
        self._distance, self._context_age = _Rows(1), _Rows(1)
        self._arrivals: dict[str, list[float]] = {}
        self._modes: list[ModeChange] = []
        self._frames: list[Frame] = []
        self._verdicts = Counters()

    def arrival(self, stream: str, time_s: float) -> None:
        """Note that a message of `stream` came."""
        self._arrivals.setdefault(stream, []).append(time_s)

    def command(self, time_s: float, q: FloatArray) -> None:
        """Note a joint command, (n,) rad."""
        self.arrival("joint_command", time_s)
        self._commands.add(time_s, q)

    def measured(self, time_s: float, q: FloatArray) -> None:
        """Note a joint state, (n,) rad."""
        self.arrival("joint_states", time_s)
        self._measured.add(time_s, q)

    def scene(self, time_s: float, scene: Scene) -> None:
        """Note the scene of the states that come now."""
        self._scenes.append(SceneChange(time_s=time_s, scene=scene))

    def state(self, time_s: float, qpos: FloatArray) -> None:
        """Note the state of the whole simulator."""
        self._states.add(time_s, qpos)

    def distance(self, time_s: float, distance_m: float) -> None:
        """Note how far the goal of the present instruction is."""
        self._distance.add(time_s, np.array([distance_m]))

    def chunk(self, time_s: float, context_age_s: float) -> None:
        """Note a chunk, and how old the pictures behind it were."""
        self.arrival("chunk", time_s)
        self._context_age.add(time_s, np.array([context_age_s]))

    def frame(self, frame: Frame) -> None:
        """Keep a picture."""
        self._frames.append(frame)

    def verdicts(self, passed: int, counts: Mapping[str, int], before_run: bool = False) -> None:
        """Take in the supervisor's counters; those from before the run are the baseline."""
        values = {"": passed, **counts}
        if before_run:
            self._verdicts.baseline(values)
        else:
            self._verdicts.add(values, restarted=passed < self._verdicts.last.get("", 0))

    def mode(self, time_s: float, mode: str, reason: str) -> None:
        """Note the supervisor's mode; only changes are kept."""
        if not self._modes or self._modes[-1].mode != mode:
            self._modes.append(ModeChange(time_s=time_s, mode=mode, reason=reason))

    def finish(
        self,
        *,
        bundle_id: str,
        source: str,
        task: str,
        seed: int,
        duration_s: float,
        tries: tuple[Try, ...],
        kills: tuple[Kill, ...],
        nodes: tuple[NodeRecord, ...],
        failure: str = "",
    ) -> Recording:
        """Return the run as a value."""
        counts = dict(self._verdicts.total)
        passed = counts.pop("", 0)
        return Recording(
            robot=self._robot,
            bundle_id=bundle_id,
            source=source,
            task=task,
            seed=seed,
            scenes=tuple(self._scenes),
            duration_s=duration_s,
            commands=self._commands.series(),
            measured=self._measured.series(),
            states=self._states.series(),
            distance=self._distance.series(),
            context_age=self._context_age.series(),
            arrivals={name: np.array(times) for name, times in self._arrivals.items()},
            modes=tuple(self._modes),
            tries=tries,
            kills=kills,
            frames=tuple(self._frames),
            nodes=nodes,
            passed=passed,
            verdicts={reason: count for reason, count in counts.items() if count},
            failure=failure,
        )
