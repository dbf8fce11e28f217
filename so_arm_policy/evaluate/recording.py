"""A live run as a value: what was told, commanded, measured, seen and judged, on one time axis.

All times are seconds since the start of the run; before it nothing is recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from so_arm_policy.core.arrays import FloatArray, frozen
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Image
from so_arm_policy.sim.scene import Scene


@dataclass(frozen=True, eq=False)
class Series:
    """Values over time. times_s: (T,) s, never decreasing; values: (T, k). Raises ShapeError."""

    times_s: FloatArray
    values: FloatArray = field(repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and the order."""
        times = frozen(self.times_s, (None,), "series times")
        if (np.diff(times) < 0).any():
            raise ShapeError("series: got times that decrease, expected times in order")
        object.__setattr__(self, "times_s", times)
        object.__setattr__(self, "values", frozen(self.values, (len(times), None), "series values"))

    def __len__(self) -> int:
        return len(self.times_s)

    def between(self, start_s: float, end_s: float) -> "Series":
        """Return the part with start_s <= time < end_s."""
        first, end = np.searchsorted(self.times_s, [start_s, end_s])
        return Series(self.times_s[first:end], self.values[first:end])

    def before(self, time_s: float) -> FloatArray | None:
        """Return the newest value (k,) at or before `time_s`, or None."""
        index = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return None if index < 0 else self.values[index]


class Outcome(Enum):
    """How one try ended. A late one began too close to the end of the run to have its whole time: it does not count."""

    DONE = "done"
    FAILED = "failed"
    LATE = "late"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One instruction given to the robot, in the scene of `seed`.

    distance_m: what was left to the goal at its end, nan when never heard of.
    """

    number: int
    instruction: str
    seed: int
    start_s: float
    end_s: float
    outcome: Outcome
    distance_m: float


@dataclass(frozen=True, kw_only=True)
class SceneChange:
    """From here on, the simulator's states are of this scene."""

    time_s: float
    scene: Scene


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A node ended by SIGKILL, on purpose."""

    node: str
    time_s: float


@dataclass(frozen=True, kw_only=True)
class ModeChange:
    """The supervisor changed its mode, and why."""

    time_s: float
    mode: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One camera picture kept for the report. rgb: (height, width, 3) uint8; number: of the try it belongs to.

    q: (n,) rad, the joints at that time.
    """

    time_s: float
    camera: str
    number: int
    instruction: str
    q: FloatArray
    rgb: Image = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """What one process was like.

    starts: 1 when it never had to be restarted. facts: the newest of its diagnostics.
    ticks, missed, lateness: of its tick loop during the run; lateness bins as in core.ticks.Histogram.sparse.
    """

    name: str
    starts: int = 1
    rss_mib: float = float("nan")
    facts: Mapping[str, str] = field(default_factory=dict)
    ticks: int = 0
    missed: int = 0
    lateness: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A whole run.

    scenes: at least the first one. commands, measured: joint positions, (T, n) rad, of joint_command and joint_states.
    states: the simulator's qpos. distance: to the goal of the present instruction, (T, 1) m. context_age: at each
    chunk, how much older its pictures were than its joints, (T, 1) s. arrivals: stream name -> times at which a message
    came, (T,) s each. passed: proposals passed bit-identical; verdicts: all others by reason. Both count the run only.
    failure: why the nodes could not go on to the end, or "".
    """

    robot: RobotConfig
    bundle_id: str
    source: str
    task: str
    seed: int
    scenes: tuple[SceneChange, ...]
    duration_s: float
    commands: Series
    measured: Series
    states: Series
    distance: Series
    context_age: Series
    arrivals: Mapping[str, FloatArray]
    modes: tuple[ModeChange, ...]
    tries: tuple[Try, ...]
    kills: tuple[Kill, ...]
    frames: tuple[Frame, ...]
    nodes: tuple[NodeRecord, ...]
    passed: int
    verdicts: Mapping[str, int]
    failure: str = ""

    def __post_init__(self) -> None:
        """Refuse series that are not of this robot. Raises ShapeError."""
        joints = len(self.robot.joints)
        for name, width in (("commands", joints), ("measured", joints), ("distance", 1), ("context_age", 1)):
            got = getattr(self, name).values.shape
            if got[1] != width:
                raise ShapeError(f"recording: got {name} of shape {got}, expected (T, {width})")
        if not 0.0 < self.duration_s < 1e6:
            raise ShapeError(f"recording: got duration_s {self.duration_s}, expected 0 < duration_s < 1e6")
        if not self.scenes:
            raise ShapeError("recording: got no scene, expected the first one")

    def scene_at(self, time_s: float) -> Scene:
        """Return the scene that the newest state at or before `time_s` is of; before the first state, the first one."""
        return next((c.scene for c in reversed(self.scenes) if c.time_s <= time_s), self.scenes[0].scene)

    def node(self, name: str) -> NodeRecord | None:
        """Return what is known of node `name`."""
        return next((node for node in self.nodes if node.name == name), None)
