"""Joining chunks by their target times, without a jump in position or velocity."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ChunkExpired, ConfigError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.trajectory import JointTrajectory
from so_arm_policy.core.values import Chunk


def chunk_trajectory(chunk: Chunk) -> JointTrajectory:
    """Return the chunk's rows at their target times, worked out once for each chunk."""
    return chunk.trajectory


@dataclass(frozen=True)
class _Offset:
    """What the old motion had more than the new one at the switch; fades to zero as a cubic Hermite curve."""

    since_ns: int
    motion: FloatArray  # (2, n): position rad, velocity rad/s

    def at(self, time_ns: int, blend_s: float) -> FloatArray | None:
        """Return what is left of it at `time_ns`, (2, n), or None when it has faded."""
        u = (time_ns - self.since_ns) / NS / blend_s
        if u >= 1.0:
            return None
        v = 1.0 - u
        basis = np.array(
            [
                [v * v * (1.0 + 2.0 * u), blend_s * u * v * v],
                [-6.0 * u * v / blend_s, v * (1.0 - 3.0 * u)],
            ]
        )
        return basis @ self.motion


class ChunkBuffer:
    """The newest chunk, sampled at any time it covers.

    At a switch the output keeps its position and velocity; the difference to the new chunk fades over `blend_s`.
    Targets already late at the switch are not moved to; they only shape the curve to the next one.
    Not thread-safe: one tick loop owns it.
    """

    def __init__(self, blend_s: float = 0.1) -> None:
        """blend_s: seconds over which a switch fades. Raises ConfigError."""
        if not 0.0 < blend_s <= 2.0:
            raise ConfigError(f"chunk buffer: got blend_s {blend_s}, expected 0 < blend_s <= 2")
        self._blend_s = blend_s
        self._trajectory: JointTrajectory | None = None
        self._offset: _Offset | None = None
        self._newest = -1
        self.chunk: Chunk | None = None
        self.dropped = 0

    def clear(self) -> None:
        """Forget all motion, as after a reset or a restart of the source."""
        self._trajectory = self._offset = self.chunk = None
        self._newest = -1

    def push(self, chunk: Chunk, now_ns: int) -> bool:
        """Switch to `chunk` at ROS time `now_ns`; False, and counted, when it is older than the present one or late."""
        if chunk.sequence <= self._newest or chunk.end_ns <= now_ns:
            self.dropped += 1
            return False
        before = self._sample_or_none(now_ns)
        self._trajectory, self.chunk, self._newest = chunk_trajectory(chunk), chunk, chunk.sequence
        self._offset = None
        if before is not None:
            position, velocity = self._trajectory.sample(now_ns)
            self._offset = _Offset(now_ns, np.array([before[0] - position, before[1] - velocity]))
        return True

    def sample(self, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s at ROS time `time_ns`. Raises ChunkExpired."""
        if self._trajectory is None:
            raise ChunkExpired("no chunk yet")
        position, velocity = self._trajectory.sample(time_ns)
        if self._offset is not None:
            extra = self._offset.at(time_ns, self._blend_s)
            if extra is not None:
                position, velocity = position + extra[0], velocity + extra[1]
        return position, velocity

    def _sample_or_none(self, time_ns: int) -> tuple[FloatArray, FloatArray] | None:
        try:
            return self.sample(time_ns)
        except ChunkExpired:
            return None
