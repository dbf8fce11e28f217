"""System 1 as a node: a command on every tick, from chunks that a worker infers beside the tick."""

import functools
import sys
from dataclasses import dataclass

from so_arm_policy.core.errors import ChunkExpired, InputError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.values import Chunk, Context, Proposal
from so_arm_policy.msg import SafetyStatus, SceneContext
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.graphs import PRECISIONS
from so_arm_policy.policy.system1 import JOININGS, ActRequest, System1
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.inference import InferenceWorker
from so_arm_policy.ros.inference_config import InferenceConfig
from so_arm_policy.ros.node import age_ms, percentiles
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.status import moves
from so_arm_policy.ros.tick_node import SOURCE_PHASE, TickNode
from so_arm_policy.ros.traces import System1Trace

NAME = "system1"


@dataclass(frozen=True, kw_only=True)
class System1Config(InferenceConfig):
    """Parameters of the system1 node."""

    infer_every: int = parameter(0, "ticks between inferences; 0 takes what the bundle says", low=0, high=120)
    seed: int = parameter(0, "seed of the noise that a chunk is made from", low=0, high=2**31 - 1)
    blend_s: float = parameter(0.1, "time over which a switch between chunks fades", low=0.001, high=2.0)
    max_context_age_s: float = parameter(2.0, "oldest picture that may be acted on", low=0.01, high=60.0)
    precision: str = parameter(
        "fp32", "of the graph's weights; int8 where the bundle has it", choices=tuple(PRECISIONS)
    )
    joining: str = parameter("committed", "what a chunk is made for, and how it is followed", choices=JOININGS)


class System1Node(TickNode[System1Config]):
    """Samples the newest chunk; asks for the next every few ticks. With nothing to go on it is silent and says why."""

    phase = SOURCE_PHASE

    def __init__(self) -> None:
        """Raises ConfigError or BundleError."""
        super().__init__(NAME, System1Config)
        config = self.config
        bundle = load_bundle(find_shipped("bundles", config.bundle), self.robot)
        self._every = config.infer_every or bundle.manifest.infer_every
        self._system1 = System1(
            bundle,
            self.robot,
            config.seed,
            blend_s=config.blend_s,
            max_context_age_s=config.max_context_age_s,
            threads=config.threads,
            precision=config.precision,
            joining=config.joining,
            provider=config.where(),
        )
        if not self._system1.monitored:
            self.get_logger().info("the bundle has no monitors: `so-arm calibrate` makes them")
        self._newest_context: Context | None = None
        self._following = True
        self._worker: InferenceWorker[ActRequest, Chunk] = InferenceWorker(
            self._system1.infer, self._on_chunk, functools.partial(self.report, "inference")
        )
        self._due_tick = 0
        self._sequence = 0
        self._proposed_ns = 0
        self._proposals = self.speak(topics.proposal(NAME))
        self._chunk_topic = self.speak(topics.CHUNK)
        self._trace = System1Trace(self.speak(topics.SYSTEM1_TICK), config.seed, config.joining)
        self.listen(topics.JOINT_STATES, self.on_joint_states)
        self.listen(topics.CONTEXT, self._on_context)
        self.listen(topics.SAFETY_STATUS, self._on_status)

    def start(self) -> None:
        """Begin inferences and ticks."""
        super().start()
        self.spawn("inference", functools.partial(self._worker.run, self.stopping))

    def stop(self) -> None:
        """End both."""
        self._worker.close()
        super().stop()

    def tick(self, tick: Tick) -> None:
        """Take in a finished chunk, ask for the next, propose."""
        now_ns = self.now_ns()
        due_ns = self.due_ns(tick, now_ns)
        chunk = self._worker.take()
        if chunk is not None:
            self._system1.accept(chunk, due_ns)
        # A simulator's clock may be slower than the ticks, pause, or not have begun: a stamp is given once.
        if now_ns == self._proposed_ns:
            return
        self._proposed_ns = now_ns
        if tick.index >= self._due_tick:
            self._ask(tick, now_ns)
        if self._waiting():
            return
        try:
            q, dq = self._system1.command(due_ns)
        except ChunkExpired as error:
            self.report("silent", f"no proposal: {error}", warn=True)
            return
        followed = self._system1.chunk
        assert followed is not None
        proposal = Proposal(
            source=NAME,
            sequence=self._sequence,
            stamp_ns=now_ns,
            observation_stamp_ns=min(followed.observation_stamp_ns, followed.context_stamp_ns),
            received_ns=tick.now_ns,
            joint_names=self.robot.joint_names,
            q=q,
            dq=dq,
            disagreement=followed.disagreement,
            novelty=followed.novelty,
        )
        self._sequence += 1
        self._proposals.publish(convert.joint_command(proposal))
        self.counts["proposals"] += 1

    def facts(self) -> dict[str, object]:
        """Return inference times, what was late, and how old the grounds are."""
        now_ns, context, chunk = self.now_ns(), self._newest_context, self._system1.chunk
        return {
            **super().facts(),
            **percentiles("inference", self._worker.times),
            "waiting_for": self._waiting(),
            "infer_every_ticks": self._every,
            "inferences_late": self._worker.late,
            "chunks_dropped": self._system1.dropped,
            "context_age_ms": age_ms(now_ns, context.stamp_ns if context else None),
            "monitored": self._system1.monitored,
            "disagreement": chunk.disagreement if chunk else 0.0,
            "novelty": chunk.novelty if chunk else 0.0,
            "chunk_age_ms": age_ms(now_ns, chunk.observation_stamp_ns if chunk else None),
        }

    def _waiting(self) -> str:
        """Return what has never come yet; before that there is nothing to complain about."""
        return "joint_states" if self.sample is None else "system2/context" if self._newest_context is None else ""

    def _ask(self, tick: Tick, now_ns: int) -> None:
        sample, context = self.sample, self._newest_context
        if sample is None or context is None or not self._worker.is_free():
            return
        try:
            following = self._following
            request = self._system1.request(now_ns, sample, context, following)
        except InputError as error:
            self.report("request", str(error))
            return
        self._due_tick = tick.index + self._every
        self._worker.ask(request)
        self._trace.say(request, context, following, now_ns)

    def _on_chunk(self, chunk: Chunk) -> None:
        self.counts["inferences"] += 1
        self._chunk_topic.publish(convert.chunk_msg(chunk, self.robot, self.now_ns()))

    def _on_context(self, msg: SceneContext) -> None:
        self._newest_context = convert.context(msg)

    def _on_status(self, msg: SafetyStatus) -> None:
        self._following = moves(msg, NAME) and not msg.slowed


def main() -> int:
    """Run the node."""
    return run_node(System1Node)


if __name__ == "__main__":
    sys.exit(main())
