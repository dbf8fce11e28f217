"""Values that cross the borders between parts. All are frozen; arrays are read-only."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.trajectory import JointTrajectory

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class JointSample:
    """Measured joints at one time.

    q: (n,) rad and dq: (n,) rad/s in the robot's joint order; stamp_ns: ROS time; received_ns: monotonic time.
    """

    stamp_ns: int
    received_ns: int
    q: FloatArray
    dq: FloatArray


@dataclass(frozen=True, kw_only=True)
class MotorSample:
    """What the motors say of themselves at one time; NaN where they do not.

    load: share of full torque, -1..1; temperature_c: degrees Celsius; voltage_v: V; torque_on: bool. All (n,) in the
    robot's joint order. stamp_ns: ROS time; received_ns: monotonic time.
    """

    stamp_ns: int
    received_ns: int
    load: FloatArray
    temperature_c: FloatArray
    voltage_v: FloatArray
    torque_on: BoolArray


@dataclass(frozen=True)
class MotorCommand:
    """What the motors are to do: go to q (n,) rad in the robot's joint order, or be without torque."""

    q: FloatArray
    limp: bool = False


@dataclass(frozen=True, kw_only=True)
class CameraImage:
    """One picture. rgb: (height, width, 3) uint8; stamp_ns: ROS time of capture."""

    camera: str
    stamp_ns: int
    rgb: Image


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The joint command one source wants now, exactly as it arrived: not yet checked.

    q: (len(joint_names),) rad; stamps in ROS nanoseconds; received_ns in monotonic nanoseconds.
    disagreement, novelty: what a learned policy's monitors say of it, as shares of their thresholds: above 1 is
    doubtful, 0 not measured.
    """

    source: str
    sequence: int
    stamp_ns: int
    observation_stamp_ns: int
    received_ns: int
    joint_names: tuple[str, ...]
    q: FloatArray
    dq: FloatArray | None = None
    disagreement: float = 0.0
    novelty: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Context:
    """What System 2 made of its pictures and its instruction.

    keys_values: (layers, 2, heads, tokens, head_size) float32, already projected for System 1's cross-attention.
    stamp_ns: the oldest picture used, ROS time. image_stamps_ns: one for each camera of the bundle.
    observation_stamp_ns: of the joints it was made with. novelty: how unlike those of successful runs its pictures
    look, as a share of a threshold: above 1 is doubtful, 0 not measured.
    """

    bundle_id: str
    sequence: int
    stamp_ns: int
    instruction: str
    keys_values: npt.NDArray[np.float32]
    image_stamps_ns: tuple[int, ...] = ()
    observation_stamp_ns: int = 0
    inference_ms: float = 0.0
    novelty: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Joint targets at known future times.

    positions: (horizon, n) rad; row i is due at start_ns + i * dt_ns, ROS time.
    disagreement, novelty: as in Proposal, of all proposals that follow it.
    """

    sequence: int
    observation_stamp_ns: int
    context_stamp_ns: int
    start_ns: int
    dt_ns: int
    positions: FloatArray = field(repr=False)
    disagreement: float = 0.0
    novelty: float = 0.0

    @property
    def end_ns(self) -> int:
        """Time of the last target, ROS nanoseconds."""
        return self.start_ns + self.dt_ns * (len(self.positions) - 1)

    @cached_property
    def trajectory(self) -> JointTrajectory:
        """The rows at their target times; worked out once, by whoever asks first (best the thread that inferred)."""
        times = self.start_ns + self.dt_ns * np.arange(len(self.positions), dtype=np.int64)
        return JointTrajectory(times, self.positions)
