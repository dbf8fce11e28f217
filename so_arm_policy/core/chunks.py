"""Joining chunks by their target times, without a jump in position or velocity."""

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ChunkExpired, ConfigError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.trajectory import JointTrajectory
from so_arm_policy.core.values import Chunk


def join(before: JointTrajectory, chunk: Chunk, now_ns: int, blend_s: float) -> JointTrajectory:
    """Return the motion that leaves `before` at `now_ns` with its position and velocity and goes on along `chunk`.

    Rows that are late, or due too soon to be steered to, are dropped. What `before` and the chunk differ by at the
    first row used fades over `blend_s`; it is nothing where the chunk was made for what is committed (its prefix).
    A short piece of the past is kept, since measurements are a little older than the present.
    """
    times = chunk.trajectory.times_ns
    used = times > min(now_ns + chunk.dt_ns // 4, int(times[-1]) - 1)
    times, rows = times[used], chunk.positions[used]
    meeting_ns = int(times[0]) if times[0] <= before.end_ns else now_ns
    gap = before.sample(meeting_ns)[0] - chunk.trajectory.sample(meeting_ns)[0]
    faded = np.clip((times - meeting_ns) / NS / blend_s, 0.0, 1.0)[:, None]
    rows = rows + (1.0 - faded * faded * (3.0 - 2.0 * faded)) * gap
    past_ns = max(before.start_ns, now_ns - chunk.dt_ns)
    known_ns = [past_ns, now_ns] if past_ns < now_ns else [now_ns]
    known = np.array([before.sample(time_ns) for time_ns in known_ns])
    return JointTrajectory(np.concatenate([known_ns, times]), np.concatenate([known[:, 0], rows]), known[:, 1])


class ChunkBuffer:
    """The newest chunk, sampled at any time it covers.

    At a switch the output keeps its position and velocity, see `join`. Not thread-safe: one tick loop owns it.
    """

    def __init__(self, blend_s: float = 0.1) -> None:
        """blend_s: seconds over which a switch fades. Raises ConfigError."""
        if not 0.0 < blend_s <= 2.0:
            raise ConfigError(f"chunk buffer: got blend_s {blend_s}, expected 0 < blend_s <= 2")
        self._blend_s = blend_s
        self._trajectory: JointTrajectory | None = None
        self._newest = -1
        self.chunk: Chunk | None = None
        self.dropped = 0

    def clear(self) -> None:
        """Forget all motion, as after a reset or a restart of the source."""
        self._trajectory = self.chunk = None
        self._newest = -1

    def push(self, chunk: Chunk, now_ns: int) -> bool:
        """Switch to `chunk` at ROS time `now_ns`; False, and counted, when it is older than the present one or late."""
        if chunk.sequence <= self._newest or chunk.end_ns <= now_ns:
            self.dropped += 1
            return False
        self._follow(chunk, now_ns)
        self.chunk, self._newest = chunk, chunk.sequence
        return True

    def sample(self, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s at ROS time `time_ns`. Raises ChunkExpired."""
        if self._trajectory is None:
            raise ChunkExpired("no chunk yet")
        return self._trajectory.sample(time_ns)

    def _follow(self, chunk: Chunk, now_ns: int) -> None:
        before = self._trajectory
        if before is not None and before.start_ns <= now_ns <= before.end_ns:
            self._trajectory = join(before, chunk, now_ns, self._blend_s)
        else:
            self._trajectory = chunk.trajectory


class ChunkEnsemble(ChunkBuffer):
    """The mean of all chunks that cover a time, the k-th oldest of them with weight exp(-`fading` * k).

    Temporal ensembling of ACT (Zhao et al., "Learning fine-grained bimanual manipulation with low-cost hardware",
    2023), with the same fading.
    """

    def __init__(self, fading: float = 0.01) -> None:
        """Raises ConfigError for a fading that is no number of 0 or more."""
        super().__init__()
        if not 0.0 <= fading < float("inf"):
            raise ConfigError(f"chunk ensemble: got fading {fading}, expected a finite one, 0 or more")
        self._fading = fading
        self._chunks: list[Chunk] = []

    def clear(self) -> None:
        """Forget all motion."""
        super().clear()
        self._chunks = []

    def sample(self, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s at ROS time `time_ns`. Raises ChunkExpired."""
        covering = [c.trajectory for c in self._chunks if c.start_ns <= time_ns <= c.end_ns]
        if not covering:
            raise ChunkExpired(f"no chunk for {time_ns} ns")
        weights = np.exp(-self._fading * np.arange(len(covering)))
        sampled = np.array([trajectory.sample(time_ns) for trajectory in covering])
        position, velocity = np.tensordot(weights / weights.sum(), sampled, axes=1)
        return position, velocity

    def _follow(self, chunk: Chunk, now_ns: int) -> None:
        self._chunks = [c for c in self._chunks if c.end_ns > now_ns] + [chunk]
