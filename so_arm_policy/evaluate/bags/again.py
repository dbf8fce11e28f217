"""Runs the decisions of a recorded stack again, each from what it followed from, and compares: live against bag.

System 2 encodes the recorded pictures, System 1 infers from what System 2 makes of them, and the supervisor judges what
had arrived at each of its ticks. All three are pure functions of that, so what comes out must be the same, bit for bit.
"""

import time
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, Chunk, Context, JointSample, MotorSample, Proposal
from so_arm_policy.evaluate.bags import messages
from so_arm_policy.evaluate.bags.judge_again import JudgeAgain
from so_arm_policy.evaluate.bags.messages import stamp_ns
from so_arm_policy.evaluate.bags.recent import Parity, Recent
from so_arm_policy.evaluate.bags.roles import Event, Roles, camera_picture
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2

LATE_NS = NS  # what a decision followed from may have been recorded so much later than the decision


class Again:
    """Feeds events to all three. contexts, chunks, verdicts: how they compare; latency_ms: of the inferences made."""

    def __init__(self, bundle: Bundle | None, robot: RobotConfig, judge: JudgeAgain | None) -> None:
        """bundle: None leaves System 2 and 1 out; judge: likewise the supervisor. Raises BundleError."""
        self._bundle, self._robot, self._judge = bundle, robot, judge
        self._system2 = System2(bundle, robot) if bundle else None
        self._system1: dict[tuple[int, str], System1] = {}
        self.contexts, self.chunks = Parity(), Parity()
        self.latency_ms: dict[str, list[float]] = {"system2": [], "system1": []}
        self._pictures: Recent[CameraImage] = Recent()
        self._samples: Recent[JointSample] = Recent()
        self._motors: Recent[MotorSample] = Recent()
        self._proposals: Recent[Proposal] = Recent()
        self._made: Recent[Context] = Recent()
        self._asked: Recent[Any] = Recent()
        self._inferred: Recent[Chunk] = Recent()
        self._waiting: deque[Event] = deque()

    @property
    def verdicts(self) -> Parity | None:
        """The supervisor's."""
        return self._judge.parity if self._judge else None

    def hear(self, event: Event, roles: Roles) -> list[Chunk]:
        """Take in one event, decide again what was decided LATE_NS before; return the chunks inferred."""
        try:
            self._keep(event)
        except InputError as error:
            roles.unusable(event, error)
        return self._decide(event.time_ns - LATE_NS)

    def finish(self) -> list[Chunk]:
        """Decide what is left."""
        return self._decide(None)

    def _keep(self, event: Event) -> None:
        time_ns, message, robot = event.time_ns, event.message, self._robot
        if event.role.startswith("camera "):
            picture = camera_picture(event, robot, exact=True)
            self._pictures.put(time_ns, (picture.camera, picture.stamp_ns), picture)
        elif event.role == "joint_states":
            sample = messages.joint_sample(message, robot, 0)
            self._samples.put(time_ns, sample.stamp_ns, sample)
        elif event.role == "motor_states":
            motors = messages.motor_sample(message, robot, 0)
            self._motors.put(time_ns, motors.stamp_ns, motors)
        elif event.role == "proposal":
            proposal = messages.proposal(message, 0)
            self._proposals.put(time_ns, (proposal.source, proposal.sequence, proposal.stamp_ns), proposal)
        elif event.role == "system1_tick":
            self._asked.put(time_ns, (int(message.sequence), stamp_ns(message.observation_stamp)), message)
        elif event.role in ("context", "chunk", "supervisor_tick"):
            self._check(event)
            self._waiting.append(event)

    def _check(self, event: Event) -> None:
        """Raise InputError for a decision that cannot be one: it is told from one that came out otherwise."""
        if event.role == "context":
            messages.context(event.message)
        elif event.role == "chunk":
            messages.chunk(event.message, self._robot)
        else:
            messages.check_supervisor_tick(event.message, self._robot)

    def _decide(self, until_ns: int | None) -> list[Chunk]:
        chunks = []
        while self._waiting and (until_ns is None or self._waiting[0].time_ns <= until_ns):
            event = self._waiting.popleft()
            if event.role == "supervisor_tick" and self._judge:
                self._judge.tick(event.message, self._samples, self._motors, self._proposals)
            elif event.role == "context" and self._system2:
                self._context(event)
            elif event.role == "chunk" and self._bundle:
                chunks += self._chunk(event)
        return chunks

    def _context(self, event: Event) -> None:
        assert self._bundle is not None
        assert self._system2 is not None
        recorded = messages.context(event.message)
        if recorded.bundle_id != self._bundle.manifest.id:
            self.contexts.missing[f"made by bundle {recorded.bundle_id}"] += 1
            return
        keys = zip(self._bundle.manifest.cameras, recorded.image_stamps_ns, strict=False)
        pictures = {key[0]: p for key in keys if (p := self._pictures.get(key)) is not None}
        sample = self._samples.get(recorded.observation_stamp_ns)
        if sample is None or len(pictures) < len(self._bundle.manifest.cameras):
            self.contexts.missing["joint_states" if sample is None else "pictures"] += 1
            return
        made = self._system2.encode_again(pictures, recorded.instruction, sample)
        self.latency_ms["system2"].append(made.inference_ms)
        same = np.array_equal(made.keys_values, recorded.keys_values) and made.stamp_ns == recorded.stamp_ns
        worst = np.abs(made.keys_values - recorded.keys_values).max()
        self.contexts.count(same, f"context {recorded.sequence}: differs by up to {worst:g}")
        kept = replace(made, sequence=recorded.sequence)
        self._made.put(event.time_ns, (recorded.sequence, recorded.stamp_ns), kept)

    def _chunk(self, event: Event) -> list[Chunk]:
        recorded = messages.chunk(event.message, self._robot)
        asked = self._asked.get((recorded.sequence, recorded.observation_stamp_ns))
        if asked is None:
            self.chunks.missing["system1/tick"] += 1
            return []
        context = self._made.get((int(asked.context_sequence), stamp_ns(asked.context_stamp)))
        sample = self._samples.get(recorded.observation_stamp_ns)
        if context is None or sample is None:
            self.chunks.missing["context" if context is None else "joint_states"] += 1
            return []
        system1 = self._of(int(asked.seed), str(asked.joining))
        prefix = np.asarray(asked.prefix, dtype=np.float32).reshape(-1, len(self._robot.joints))
        before = self._inferred.get(int(asked.before))
        now_ns = stamp_ns(asked.header.stamp)
        request = system1.request_again(now_ns, recorded.sequence, sample, context, prefix, before)
        began_ns = time.perf_counter_ns()
        chunk = system1.infer(request)
        self.latency_ms["system1"].append((time.perf_counter_ns() - began_ns) / 1e6)
        same = np.array_equal(chunk.positions, recorded.positions) and _times(chunk) == _times(recorded)
        worst = np.abs(chunk.positions - recorded.positions).max()
        self.chunks.count(same, f"chunk {recorded.sequence}: differs by up to {worst:g} rad")
        self._inferred.put(event.time_ns, chunk.sequence, chunk)
        return [chunk]

    def _of(self, seed: int, joining: str) -> System1:
        if (seed, joining) not in self._system1:
            assert self._bundle is not None
            self._system1[seed, joining] = System1(self._bundle, self._robot, seed, joining=joining)
        return self._system1[seed, joining]


def _times(chunk: Chunk) -> tuple[int, ...]:
    return chunk.sequence, chunk.observation_stamp_ns, chunk.context_stamp_ns, chunk.start_ns, chunk.dt_ns
