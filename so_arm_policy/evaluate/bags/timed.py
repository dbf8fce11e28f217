"""Runs System 2, System 1 and the supervisor on the observations of any bag, at the times at which they were recorded.

For bags of others, or another policy than the recorded one: nothing but joints, pictures and words is needed. All times
are those of arrival, so that no one else's stamps matter.
"""

import time
from collections import Counter
from dataclasses import replace

import numpy as np

from so_arm_policy.core.errors import BundleError, ChunkExpired, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS, TimeGrid
from so_arm_policy.core.values import CameraImage, Chunk, Context, JointSample, Proposal
from so_arm_policy.evaluate.bags import messages
from so_arm_policy.evaluate.bags.roles import Event, Roles, camera_picture
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput
from so_arm_policy.sim.clearance import Clearance

NAME = "system1"
JUMP_NS = NS  # without any message for so long, or back: another run begins
BACK_NS = NS // 10


class Timed:
    """Feeds events to all three. jumps: times at which the clock of the bag jumped; all begin anew there.

    stops: emergency stops, after each of which the supervisor begins anew where the recorded arm is.
    actions, codes: of the verdicts; latency_ms: of the inferences; silences: why there was no proposal, in ticks.
    """

    def __init__(
        self,
        bundle: Bundle,
        robot: RobotConfig,
        safety: SupervisorConfig,
        timing: PolicyTiming | None = None,
        instruction: str | None = None,
    ) -> None:
        """instruction: for bags without one. Raises BundleError or ConfigError."""
        self._bundle, self._robot = bundle, robot
        self._timing = timing or PolicyTiming()
        self._every = self._timing.infer_every or bundle.manifest.infer_every
        self._system2, self._system1 = System2(bundle, robot), System1(bundle, robot)
        self._safety, self._clearance = safety, Clearance(robot, safety.keep_outs.all, safety.looking_m)
        self._instruction = instruction
        self._newest_ns, self._tick = 0, 0
        self._grid = TimeGrid(origin_ns=0)
        self.actions: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.silences: Counter[str] = Counter()
        self.latency_ms: dict[str, list[float]] = {"system2": [], "system1": []}
        self.jumps = self.stops = 0
        self._begin(0)

    def hear(self, event: Event, roles: Roles) -> list[Chunk]:
        """Run the ticks before `event`, then take it in; return the chunks inferred."""
        passed_ns = event.time_ns - self._newest_ns
        if self._newest_ns and not -BACK_NS <= passed_ns <= JUMP_NS:
            self.jumps += 1
        if not self._newest_ns or not -BACK_NS <= passed_ns <= JUMP_NS:
            self._begin(event.time_ns)
        self._newest_ns = max(self._newest_ns, event.time_ns)
        chunks = []
        while self._grid.due_ns(self._tick + 1) <= event.time_ns:
            self._tick += 1
            chunks += self._run(self._grid.due_ns(self._tick))
        try:
            self._keep(event)
        except InputError as error:
            roles.unusable(event, error)
        return chunks

    def _begin(self, at_ns: int) -> None:
        self._newest_ns, self._grid, self._tick = at_ns, TimeGrid(origin_ns=at_ns), 0
        self._sample: JointSample | None = None
        self._pictures: dict[str, CameraImage] = {}
        self._context: Context | None = None
        self._coming: tuple[int, Context] | None = None
        self._chunk: tuple[int, Chunk] | None = None
        self._encoded: tuple[object, ...] = ()
        self._next_context = self._next_inference = self._sequence = 0
        self._system1.reset(0)
        self._system2.reset()
        self._supervisor = Supervisor(self._safety, self._robot, NAME, self._clearance)

    def _keep(self, event: Event) -> None:
        now_ns = event.time_ns
        if event.role.startswith("camera "):
            picture = camera_picture(event, self._robot, exact=False)
            self._pictures[picture.camera] = replace(picture, stamp_ns=now_ns)
        elif event.role == "joint_states":
            sample = messages.joint_sample(event.message, self._robot, now_ns)
            self._sample = replace(sample, stamp_ns=now_ns)
        elif event.role == "instruction":
            self._instruction = str(event.message.data)

    def _run(self, now_ns: int) -> list[Chunk]:
        """Run one tick; return the chunk inferred in it, if any."""
        if self._sample is None:
            return []
        self._look(self._sample)
        if self._coming is not None and self._coming[0] <= self._tick:
            self._context, self._coming = self._coming[1], None
        self._take_chunk(now_ns)
        chunks = self._infer(now_ns, self._sample)
        self._take_chunk(now_ns)
        self._judge(now_ns, self._sample, self._propose(now_ns))
        return chunks

    def _look(self, sample: JointSample) -> None:
        cameras = self._bundle.manifest.cameras
        if self._coming is not None or self._tick < self._next_context or self._instruction is None:
            return
        if any(camera not in self._pictures for camera in cameras):
            return
        asked = (self._instruction, *(self._pictures[c].stamp_ns for c in cameras))
        if asked == self._encoded:
            return
        self._encoded = asked
        try:
            context = self._system2.encode(self._pictures, self._instruction, sample)
        except (InputError, BundleError) as error:
            self.silences[f"system 2: {str(error).partition(':')[0]}"] += 1
            return
        self.latency_ms["system2"].append(context.inference_ms)
        self._coming = (self._tick + self._timing.context_latency_ticks, context)
        self._next_context = self._tick + round(self._grid.rate_hz / self._timing.context_hz)

    def _infer(self, now_ns: int, sample: JointSample) -> list[Chunk]:
        if self._context is None or self._chunk is not None or self._tick < self._next_inference:
            return []
        # What the recorded arm did is not what this policy says: it follows as one that is held does.
        following = self._supervisor.mode is Mode.ACTIVE
        try:
            request = self._system1.request(now_ns, sample, self._context, following)
        except InputError as error:
            self.silences[str(error).partition(":")[0]] += 1
            return []
        began_ns = time.perf_counter_ns()
        chunk = self._system1.infer(request)
        self.latency_ms["system1"].append((time.perf_counter_ns() - began_ns) / 1e6)
        self._chunk = (self._tick + self._timing.inference_delay_ticks, chunk)
        self._next_inference = self._tick + self._every
        return [chunk]

    def _take_chunk(self, now_ns: int) -> None:
        if self._chunk is not None and self._chunk[0] <= self._tick:
            self._system1.accept(self._chunk[1], now_ns)
            self._chunk = None

    def _propose(self, now_ns: int) -> Proposal | None:
        try:
            q, dq = self._system1.command(now_ns)
        except ChunkExpired:
            self.silences["no chunk"] += 1
            return None
        chunk = self._system1.chunk
        assert chunk is not None
        self._sequence += 1
        return Proposal(
            source=NAME,
            sequence=self._sequence,
            stamp_ns=now_ns,
            observation_stamp_ns=min(chunk.observation_stamp_ns, chunk.context_stamp_ns),
            received_ns=now_ns,
            joint_names=self._robot.joint_names,
            q=np.array(q),
            dq=np.array(dq),
            disagreement=chunk.disagreement,
            novelty=chunk.novelty,
        )

    def _judge(self, now_ns: int, sample: JointSample, proposal: Proposal | None) -> None:
        heard = {NAME: proposal} if proposal is not None else {}
        verdict = self._supervisor.step(TickInput(now_ns=now_ns, ros_now_ns=now_ns, sample=sample, proposals=heard))
        self.actions[verdict.action.value] += 1
        if verdict.code:
            self.codes[verdict.code] += 1
        if verdict.mode is Mode.ESTOP:
            # The recorded arm does not do what this policy says, and is left behind sooner or later.
            self.stops += 1
            self._supervisor = Supervisor(self._safety, self._robot, NAME, self._clearance)
