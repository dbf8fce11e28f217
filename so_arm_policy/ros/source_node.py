"""The shell of every hand-crafted source: on each tick, what it wants goes out as a proposal."""

from typing import TypeVar

from so_arm_policy.control.source import Source
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.msg import SafetyStatus
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import age_ms
from so_arm_policy.ros.status import moves, stands
from so_arm_policy.ros.tick_node import SOURCE_PHASE, TickNode, TickNodeConfig

STALE_NS = NS // 5

C = TypeVar("C", bound=TickNodeConfig)


class SourceNode(TickNode[C]):
    """Publishes proposal/<source> while there are joint states to follow from."""

    phase = SOURCE_PHASE

    def __init__(self, name: str, config_type: type[C]) -> None:
        """`source` must be set by the sub-class before `start`."""
        super().__init__(name, config_type)
        self.source: Source
        self._sequence = 0
        self._proposed_ns = 0
        self._proposals = self.speak(topics.proposal(name))
        self._followed, self._stands, self._silent = True, False, False
        self.listen(topics.JOINT_STATES, self.on_joint_states)
        self.listen(topics.SAFETY_STATUS, self._on_status)

    def restart(self) -> None:
        """Begin anew from where the arm is: the source was not followed."""
        self.source.reset()

    def standby(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        """Return what to propose while the arm is held; by default what a source does that begins anew."""
        self.restart()
        return self.source.command(now_ns, sample)

    def tick(self, tick: Tick) -> None:
        """Ask the source and publish what it wants; a silence of the joints is a hold."""
        sample, now_ns = self.sample, self.now_ns()
        if sample is None:
            return
        if tick.now_ns - sample.received_ns > STALE_NS:
            self.report("joint_states", f"joint_states: got none for {age_ms(tick.now_ns, sample.received_ns):.0f} ms")
            self._silent = True
            self.standby(now_ns, sample)
            return
        # A simulator's clock may be slower than the ticks, pause, or not have begun: a stamp is given once.
        if now_ns == self._proposed_ns:
            return
        self._proposed_ns = now_ns
        wanted = self._wanted(self.due_ns(tick, now_ns), sample)
        if wanted is None:
            return
        proposal = Proposal(
            source=self.source.name,
            sequence=self._sequence,
            stamp_ns=now_ns,
            observation_stamp_ns=self.observed_ns(sample),
            received_ns=tick.now_ns,
            joint_names=self.robot.joint_names,
            q=wanted[0],
            dq=wanted[1],
        )
        self._sequence += 1
        self._proposals.publish(convert.joint_command(proposal))
        self.counts["proposals"] += 1

    def observed_ns(self, sample: JointSample) -> int:
        """Return the stamp of the oldest measurement that the command follows from; by default that of the joints."""
        return sample.stamp_ns

    def _wanted(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        # While another source moves the arm, or nobody, what this one wants must stay near where the arm is.
        if self._silent or (self._stands and not self._followed):
            self._silent = False
            return self.standby(now_ns, sample)
        if not self._followed:
            self.restart()
        return self.source.command(now_ns, sample)

    def _on_status(self, msg: SafetyStatus) -> None:
        self._followed, self._stands = moves(msg, self.source.name), stands(msg)
