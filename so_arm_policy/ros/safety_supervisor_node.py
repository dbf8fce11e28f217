"""The safety supervisor as a node: the only writer of joint_command."""

import functools
import queue
import sys
import threading
import time
from dataclasses import dataclass, field

from rclpy.clock import Clock, ClockType
from std_srvs.srv import Trigger

from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.ticks import Tick
from so_arm_policy.msg import JointCommand
from so_arm_policy.robot.description import load_yaml
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import age_ms
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.status import StatusWriter
from so_arm_policy.ros.tick_node import TickNode, TickNodeConfig
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.inbox import Inbox
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Fault, Mode, TickInput
from so_arm_policy.srv import SelectSource

ANSWER_S = 0.5
FOLLOWING = (Mode.ACTIVE, Mode.FALLBACK)


@dataclass(frozen=True, kw_only=True)
class SafetySupervisorConfig(TickNodeConfig):
    """Parameters of the supervisor node."""

    source: str = parameter("system1", "source selected at the start; safety/select changes it")
    safety: str = parameter("safety.yaml", "parameters of the rules: a shipped file (config) or a path")


@dataclass(kw_only=True)
class _Request:
    """What a service asks for; the next tick answers."""

    estop: str | None = None
    reset: bool = False
    select: str | None = None
    refused: str = ""
    done: threading.Event = field(default_factory=threading.Event)


class SafetySupervisorNode(TickNode[SafetySupervisorConfig]):
    """Hears every source and the joints, judges on every tick, writes the command and says why."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("safety_supervisor", SafetySupervisorConfig)
        path = find_shipped("config", self.config.safety)
        rules = from_mapping(SupervisorConfig, load_yaml(path), str(path))
        self._supervisor = Supervisor(rules, self.robot, self.config.source)
        self._inbox = Inbox(rules.sources)
        self._heard_ns: dict[str, int] = {}
        # A queue, not a slot: a reset that comes in the same tick must not overwrite an e-stop.
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._faults: tuple[Fault, ...] = ()
        self._commands = self.speak(topics.JOINT_COMMAND)
        self._status = StatusWriter(self.speak(topics.SAFETY_STATUS))
        self.listen(topics.JOINT_STATES, self.on_joint_states)
        for source in rules.sources:
            self.listen(topics.proposal(source), functools.partial(self._on_proposal, source))
        self.create_service(topics.ESTOP.type, topics.ESTOP.name, self._on_estop)
        self.create_service(topics.RESET.type, topics.RESET.name, self._on_reset)
        self.create_service(topics.SELECT.type, topics.SELECT.name, self._on_select)
        self.create_timer(1.0, self._look_for_others, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def tick(self, tick: Tick) -> None:
        """Judge and command."""
        requests = [self._requests.get_nowait() for _ in range(self._requests.qsize())]
        now_ns = self.now_ns()
        verdict = self._supervisor.step(
            TickInput(
                now_ns=tick.now_ns,
                ros_now_ns=now_ns,
                sample=self.sample,
                proposals=self._inbox.take(self._supervisor.mode in FOLLOWING),
                estop=next((r.estop for r in requests if r.estop), None),
                reset=any(r.reset for r in requests),
                select=next((r.select for r in reversed(requests) if r.select is not None), None),
                faults=self._faults,
            )
        )
        if verdict.command is not None:
            self._commands.publish(convert.joint_state(self.robot, now_ns, verdict.command))
            self.counts["joint_command"] += 1
        self._status.update(self._supervisor, verdict, now_ns)
        for request in requests:
            request.refused = verdict.refused
            request.done.set()

    def facts(self) -> dict[str, object]:
        """Return what was judged, and how old its grounds are."""
        sample, heard = self.sample, dict(self._heard_ns)
        now_ns = time.monotonic_ns()
        ages = {f"proposal_age_ms: {s}": age_ms(now_ns, at_ns) for s, at_ns in heard.items()}
        return {
            **super().facts(),
            "mode": self._supervisor.mode.name,
            "source": self._supervisor.source,
            "passed": self._supervisor.passed,
            **{f"verdicts: {code}": n for code, n in self._supervisor.counts.items() if n},
            "joint_states_age_ms": age_ms(now_ns, sample.received_ns if sample else None),
            **ages,
        }

    def _on_proposal(self, source: str, msg: JointCommand) -> None:
        proposal = convert.proposal(msg, time.monotonic_ns())
        self._heard_ns[source] = proposal.received_ns
        self._inbox.put(source, proposal)

    def _on_estop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._ask(_Request(estop="safety/estop was called"), "stopped", response)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._ask(_Request(reset=True), "reset", response)

    def _on_select(self, request: SelectSource.Request, response: SelectSource.Response) -> SelectSource.Response:
        return self._ask(_Request(select=request.source), f"selected {request.source}", response)

    def _ask(self, request: _Request, done: str, response: Trigger.Response) -> Trigger.Response:
        self._requests.put(request)
        answered = request.done.wait(ANSWER_S)
        response.success = answered and not request.refused
        response.message = (request.refused or done) if answered else "no tick answered, the supervisor is stopping"
        self.get_logger().info(response.message)
        return response

    def _look_for_others(self) -> None:
        me = (self.get_name(), self.get_namespace())
        found = [(e.node_name, e.node_namespace) for e in self.get_publishers_info_by_topic(self._commands.topic_name)]
        others = sorted({f"{namespace.rstrip('/')}/{name}" for name, namespace in found if (name, namespace) != me})
        if found.count(me) > 1:
            others.append("a second safety_supervisor")
        if others:
            text = f"{self._commands.topic_name}: got publisher {', '.join(others)}, expected safety_supervisor alone"
            self._faults = (Fault(code="source.unknown_publisher", text=text),)
            self.report("joint_command", text)
        else:
            self._faults = ()


def main() -> int:
    """Run the node."""
    return run_node(SafetySupervisorNode)


if __name__ == "__main__":
    sys.exit(main())
