"""System 1: from a context and the measured joints to chunks of motion, sampled on every tick."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray, frozen
from so_arm_policy.core.chunks import ChunkBuffer, ChunkEnsemble
from so_arm_policy.core.errors import BundleError, ConfigError, InputError, ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Chunk, Context, JointSample
from so_arm_policy.policy.bundle import Bundle, check_robot
from so_arm_policy.policy.disagreement import LAG_NS
from so_arm_policy.policy.graphs import ORT_ERRORS, PRECISIONS
from so_arm_policy.policy.monitors import Monitors
from so_arm_policy.policy.providers import CPU, Provider

# Clocks of one machine, read by different processes: this much ahead is no fault.
FUTURE_NS = 20_000_000
MAX_SAMPLE_AGE_NS = 200_000_000
# How far a motion may be from an arm that does not follow it: less than what the supervisor lets in after a hold.
RESTART_RAD = 0.1
# How chunks join. committed: each is made for the motion under way (its prefix), and the switch to it fades. measured:
# it is made for the measured pose and velocity alone. ensemble: likewise, and the mean of all for a time is followed.
JOININGS = "committed", "measured", "ensemble"


@dataclass(frozen=True, kw_only=True)
class ActRequest:
    """One inference to be done: everything it needs, so that it can run on any thread.

    keys_values: the context's; state: (n,) rad; noise: (*noise_shape,); prefix: (P, n) rad; all float32.
    novelty: of the context and its pictures, as in Chunk. before: what the new chunk is compared with, None where there
    is nothing.
    """

    sequence: int
    observation_stamp_ns: int
    context_stamp_ns: int
    keys_values: npt.NDArray[np.float32] = field(repr=False)
    state: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32] = field(repr=False)
    prefix: npt.NDArray[np.float32] = field(repr=False)
    novelty: float = 0.0
    before: Chunk | None = field(default=None, repr=False)


class System1:
    """Runs a bundle's fast graph. One tick thread owns it, only `infer` may run elsewhere.

    The starting noise is drawn once and kept until `reset`: a fresh draw at each inference would make the arm tremble.
    """

    def __init__(
        self,
        bundle: Bundle,
        robot: RobotConfig,
        seed: int = 0,
        *,
        blend_s: float = 0.1,
        max_context_age_s: float = 2.0,
        max_divergence_rad: float = 0.35,
        noise_std: float | None = None,
        threads: int = 1,
        precision: str = "fp32",
        joining: str = "committed",
        monitors: Monitors | None = None,
        provider: Provider = CPU,
    ) -> None:
        """Open the graph.

        blend_s: how long a switch between chunks fades. max_context_age_s: age of the oldest picture above which no
        inference is asked for. max_divergence_rad: when the measured joints are further than this from the motion under
        way (something held the arm), that motion is forgotten and the next chunk starts from the measured pose.
        noise_std: of the noise, by default the bundle's; for `act` it is the spread of the style, and 0 the mean style.
        precision: of the graph's weights, "fp32" or "int8" (where the bundle has it). joining: one of JOININGS.
        monitors: by default the bundle's. provider: where inferences run.
        Raises BundleError, ConfigError.
        """
        check_robot(bundle.manifest, robot)
        for name, value in (("max_context_age_s", max_context_age_s), ("max_divergence_rad", max_divergence_rad)):
            if not 0.0 < value < 1000.0:
                raise ConfigError(f"system1: got {name} {value}, expected 0 < {name} < 1000")
        self._manifest = bundle.manifest
        self._lower, self._upper = robot.lower, robot.upper
        self._noise_std = bundle.manifest.noise_std if noise_std is None else noise_std
        if not 0.0 <= self._noise_std <= 10.0:
            raise ConfigError(f"system1: got noise_std {noise_std}, expected 0..10")
        self._file = PRECISIONS.get(precision, "")
        self._session = bundle.system1_session(threads, provider, precision)
        if joining not in JOININGS:
            raise ConfigError(f"system1: got joining {joining!r}, expected one of {list(JOININGS)}")
        self._committed = joining == "committed"
        self._buffer = ChunkEnsemble() if joining == "ensemble" else ChunkBuffer(blend_s)
        self._max_context_age_ns = round(max_context_age_s * NS)
        self._max_divergence_rad = max_divergence_rad
        self._offsets_ns = [row * self._manifest.dt_ns for row in range(self._manifest.prefix)]
        self._sequence = self._oldest_accepted = 0
        self._monitors = monitors or bundle.monitors()
        self._checked: Context | None = None
        self._novelty = 0.0
        self._recent: deque[Chunk] = deque()
        self.reset(seed)

    @property
    def chunk(self) -> Chunk | None:
        """The chunk being followed, or None."""
        return self._buffer.chunk

    @property
    def monitored(self) -> bool:
        """Whether the bundle was calibrated: its chunks carry their disagreement and novelty."""
        return self._monitors is not None

    @property
    def dropped(self) -> int:
        """Chunks not accepted since the start: late, out of order or asked for before a reset."""
        return self._buffer.dropped

    def reset(self, seed: int | None = None) -> None:
        """Forget all motion, also of inferences under way, and draw new noise; from `seed` on where it is given."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        drawn = self._random.standard_normal(self._manifest.noise_shape, dtype=np.float32)
        self._noise = np.asarray(drawn * np.float32(self._noise_std), dtype=np.float32)
        self._noise.setflags(write=False)
        self._forget()

    def request(self, now_ns: int, sample: JointSample, context: Context, following: bool = True) -> ActRequest:
        """Return the inference to do next, seen from ROS time `now_ns`.

        following: whether the arm does what `command` says. While the supervisor holds the arm it does not: then a
        motion that has left the arm behind is forgotten soon, so that the next one starts where the arm is.
        Raises InputError when the context is another bundle's, too old or from the future, or the joints are unusable.
        """
        self._check_sample(now_ns, sample)
        self._check_context(now_ns, context)
        prefix = self._prefix(sample, self._max_divergence_rad if following else RESTART_RAD)
        request = self._request(self._sequence, sample, context, prefix, self._before(sample.stamp_ns))
        self._sequence += 1
        return request

    def request_again(
        self,
        now_ns: int,
        sequence: int,
        sample: JointSample,
        context: Context,
        prefix: npt.NDArray[np.float32],
        before: Chunk | None,
    ) -> ActRequest:
        """Return the request that was made at ROS time `now_ns` with this `prefix`, (P, n) rad; forgets no motion.

        Raises InputError as `request`.
        """
        self._check_sample(now_ns, sample)
        self._check_context(now_ns, context)
        expected = len(self._offsets_ns), len(self._manifest.joints)
        if prefix.shape != expected or not np.isfinite(prefix).all():
            raise InputError(f"prefix: got {prefix.shape}, expected {expected} finite numbers")
        return self._request(sequence, sample, context, prefix, before)

    def _request(
        self,
        sequence: int,
        sample: JointSample,
        context: Context,
        prefix: npt.NDArray[np.float32],
        before: Chunk | None,
    ) -> ActRequest:
        return ActRequest(
            sequence=sequence,
            observation_stamp_ns=sample.stamp_ns,
            context_stamp_ns=context.stamp_ns,
            keys_values=context.keys_values,
            state=sample.q.astype(np.float32),
            noise=self._noise,
            prefix=prefix,
            novelty=self._novelty,
            before=before,
        )

    def infer(self, request: ActRequest) -> Chunk:
        """Return the chunk that follows from `request`, a pure function of it. Raises BundleError."""
        feed = {
            "keys_values": request.keys_values,
            "state": request.state,
            "prefix": request.prefix,
        }
        if self._manifest.noise_shape:
            feed["noise"] = request.noise
        try:
            (positions,) = self._session.run(("positions",), feed)
            checked = frozen(positions, (self._manifest.horizon, len(self._manifest.joints)), "positions")
        except (*ORT_ERRORS, ShapeError) as error:
            raise BundleError(f"{self._file}: got {error}, expected finite positions") from error
        chunk = Chunk(
            sequence=request.sequence,
            observation_stamp_ns=request.observation_stamp_ns,
            context_stamp_ns=request.context_stamp_ns,
            start_ns=request.observation_stamp_ns,
            dt_ns=self._manifest.dt_ns,
            positions=checked,
            disagreement=self._disagreement(checked, request),
            novelty=request.novelty,
        )
        _ = chunk.trajectory  # worked out here, so that the tick thread need not
        return chunk

    def accept(self, chunk: Chunk, now_ns: int) -> bool:
        """Follow `chunk` from ROS time `now_ns` on; False, and counted, when late, out of order or before a reset."""
        if chunk.sequence < self._oldest_accepted:
            self._buffer.dropped += 1
            return False
        if not self._buffer.push(chunk, now_ns):
            return False
        self._recent.append(chunk)
        return True

    def command(self, now_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for ROS time `now_ns`. Raises ChunkExpired.

        Within the joints' ranges: a network that closes a gripper asks for a little less than nothing.
        """
        q, dq = self._buffer.sample(now_ns)
        inside = np.clip(q, self._lower, self._upper)
        return (q, dq) if (inside == q).all() else (inside, np.where(inside == q, dq, 0.0))

    def _forget(self) -> None:
        self._buffer.clear()
        self._recent.clear()
        self._oldest_accepted = self._sequence

    def _before(self, start_ns: int) -> Chunk | None:
        """Return the newest chunk followed that is LAG_NS older than one from `start_ns` on; forgets older ones."""
        while len(self._recent) > 1 and self._recent[1].start_ns <= start_ns - LAG_NS:
            self._recent.popleft()
        return self._recent[0] if self._recent and self._recent[0].start_ns <= start_ns - LAG_NS else None

    def _disagreement(self, positions: FloatArray, request: ActRequest) -> float:
        if self._monitors is None or request.before is None:
            return 0.0
        start_ns, prefix = request.observation_stamp_ns, self._manifest.prefix
        return self._monitors.disagreement(positions, start_ns, prefix, request.before)

    def _prefix(self, sample: JointSample, divergence_rad: float) -> npt.NDArray[np.float32]:
        """Return what is committed from the observation on, (P, n); with no motion under way the measured pose held."""
        if not self._committed:
            if sample.dq.shape != sample.q.shape or not np.isfinite(sample.dq).all():
                raise InputError(f"joint velocities: got {sample.dq.tolist()}, expected {len(sample.q)} finite numbers")
            offsets_s = np.array(self._offsets_ns, dtype=np.float64)[:, None] / NS
            return (sample.q + offsets_s * sample.dq).astype(np.float32)
        chunk = self._buffer.chunk
        if chunk is not None and sample.stamp_ns <= chunk.end_ns:
            times = [min(sample.stamp_ns + offset_ns, chunk.end_ns) for offset_ns in self._offsets_ns]
            committed = [self._buffer.sample(time_ns)[0] for time_ns in times]
            if np.abs(committed[0] - sample.q).max() <= divergence_rad:
                return np.array(committed, dtype=np.float32)
            self._forget()
        return np.repeat(sample.q[None].astype(np.float32), self._manifest.prefix, axis=0)

    def _check_sample(self, now_ns: int, sample: JointSample) -> None:
        joints = len(self._manifest.joints)
        if sample.q.shape != (joints,) or not np.isfinite(sample.q).all():
            raise InputError(f"joints: got {sample.q.tolist()}, expected {joints} finite numbers")
        _check_age("joints", now_ns, sample.stamp_ns, MAX_SAMPLE_AGE_NS)

    def _check_context(self, now_ns: int, context: Context) -> None:
        _check_age("context", now_ns, context.stamp_ns, self._max_context_age_ns)
        if context is self._checked:
            return
        if context.bundle_id != self._manifest.id:
            raise InputError(f"context: got one of bundle {context.bundle_id!r}, expected {self._manifest.id!r}")
        got = context.keys_values
        if got.shape != self._manifest.context_shape or got.dtype != np.float32:
            raise InputError(
                f"context: got {got.dtype} {got.shape}, expected float32 {tuple(self._manifest.context_shape)}"
            )
        if not np.isfinite(got).all():
            raise InputError("context: got keys_values that are not finite, expected finite ones")
        self._novelty = max(self._monitors.novelty(context), context.novelty) if self._monitors is not None else 0.0
        self._checked = context


def _check_age(what: str, now_ns: int, stamp_ns: int, limit_ns: int) -> None:
    if stamp_ns <= 0:
        raise InputError(f"{what}: got stamp {stamp_ns} ns, expected a time after zero")
    age_ns = now_ns - stamp_ns
    if age_ns > limit_ns:
        raise InputError(f"{what}: got {age_ns / 1e6:.1f} ms old, expected at most {limit_ns / 1e6:.0f} ms")
    if age_ns < -FUTURE_NS:
        raise InputError(f"{what}: got a stamp {-age_ns / 1e6:.1f} ms ahead, expected at most {FUTURE_NS / 1e6:.0f} ms")
