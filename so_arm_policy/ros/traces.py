"""What a node's decisions follow from, said on every tick while somebody listens: a bag of it gives them again."""

from rclpy.publisher import Publisher

from so_arm_policy.core.values import Context
from so_arm_policy.msg import SupervisorTick, System1Tick
from so_arm_policy.policy.system1 import ActRequest
from so_arm_policy.ros import convert
from so_arm_policy.safety.values import TickInput, Verdict


class SupervisorTrace:
    """Says what the supervisor knew and judged."""

    def __init__(self, publisher: Publisher) -> None:
        """publisher: of safety/tick."""
        self._publisher = publisher
        self._sequence = -1

    def say(self, given: TickInput, verdict: Verdict, selected: str) -> None:
        """Say one tick, after which `selected` is the source; while nobody listens it is only counted."""
        self._sequence += 1
        if not self._publisher.get_subscription_count():
            return
        proposals, sample, motors = given.proposals, given.sample, given.motors
        msg = SupervisorTick(
            sequence=self._sequence,
            now_ns=given.now_ns,
            joints_received_ns=sample.received_ns if sample else 0,
            motors_received_ns=motors.received_ns if motors else 0,
            sources=list(proposals),
            sequences=[p.sequence for p in proposals.values()],
            stamps=[convert.time_msg(p.stamp_ns) for p in proposals.values()],
            received_ns=[p.received_ns for p in proposals.values()],
            estop=given.estop or "",
            reset=given.reset,
            select=given.select or "",
            fault_codes=[f.code for f in given.faults],
            fault_texts=[f.text for f in given.faults],
            fault_latches=[f.latches for f in given.faults],
            selected=selected,
            verdict=verdict.action.value,
            state=int(verdict.mode),
            reason_code=verdict.code,
            reason_text=verdict.text,
            doubts=list(verdict.doubts),
            slowed=verdict.slowed,
            limp=verdict.limp,
        )
        msg.header.stamp = convert.time_msg(given.ros_now_ns)
        msg.joints_stamp = convert.time_msg(sample.stamp_ns if sample else 0)
        msg.motors_stamp = convert.time_msg(motors.stamp_ns if motors else 0)
        if verdict.command is not None:
            msg.command = convert.doubles(verdict.command)
        self._publisher.publish(msg)


class System1Trace:
    """Says what System 1 asked its network for."""

    def __init__(self, publisher: Publisher, seed: int, joining: str) -> None:
        """publisher: of system1/tick."""
        self._publisher, self._seed, self._joining = publisher, seed, joining

    def say(self, request: ActRequest, context: Context, following: bool, now_ns: int) -> None:
        """Say one request, made at ROS time `now_ns`; nothing while nobody listens."""
        if not self._publisher.get_subscription_count():
            return
        msg = System1Tick(
            sequence=request.sequence,
            context_sequence=context.sequence,
            before=request.before.sequence if request.before else -1,
            following=following,
            seed=self._seed,
            joining=self._joining,
            prefix=request.prefix.reshape(-1),
        )
        msg.header.stamp = convert.time_msg(now_ns)
        msg.observation_stamp = convert.time_msg(request.observation_stamp_ns)
        msg.context_stamp = convert.time_msg(request.context_stamp_ns)
        self._publisher.publish(msg)
