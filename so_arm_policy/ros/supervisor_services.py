"""What people ask of the supervisor, and asked of the one before it; each request is answered by the next tick."""

import queue
import threading
from dataclasses import dataclass, field

from rclpy.node import Node
from std_srvs.srv import Trigger

from so_arm_policy.ros import topics
from so_arm_policy.ros.decisions import Decisions
from so_arm_policy.srv import SelectSource

ANSWER_S = 0.5
STARTED = "started stopped (start_stopped); a reset lets the source act"


@dataclass(kw_only=True)
class Request:
    """One request: exactly one of estop (why), reset, select (a source). refused: why it was not done, or ""."""

    estop: str | None = None
    reset: bool = False
    select: str | None = None
    refused: str = ""
    done: threading.Event = field(default_factory=threading.Event)


class SupervisorServices:
    """The services safety/estop, safety/reset and safety/select."""

    def __init__(self, node: Node) -> None:
        """Offer them on `node`."""
        self._node = node
        # A queue, not a slot: a reset that comes in the same tick must not overwrite an e-stop.
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        node.create_service(topics.ESTOP.type, topics.ESTOP.name, self._on_estop)
        node.create_service(topics.RESET.type, topics.RESET.name, self._on_reset)
        node.create_service(topics.SELECT.type, topics.SELECT.name, self._on_select)

    def begin(self, before: Decisions, source: str, start_stopped: bool) -> str:
        """Ask for what was decided `before`, of a supervisor that starts with `source`.

        Returns why the emergency stop is to be latched, or "".
        """
        why = before.stopped or (STARTED if start_stopped else "")
        if before.source != source:
            self._requests.put(Request(select=before.source))
            self._node.get_logger().warning(f"source {before.source!r} is selected, as before")
        if why:
            self._requests.put(Request(estop=why))
            self._node.get_logger().warning(f"begins stopped: {why}")
        return why

    def take(self) -> list[Request]:
        """Return the requests that wait; the tick that takes them must `answer` them."""
        return [self._requests.get_nowait() for _ in range(self._requests.qsize())]

    @staticmethod
    def answer(requests: list[Request], refused: str) -> None:
        """Let the callers know."""
        for request in requests:
            request.refused = refused
            request.done.set()

    def _on_estop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._ask(Request(estop="safety/estop was called"), "stopped", response)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._ask(Request(reset=True), "reset", response)

    def _on_select(self, request: SelectSource.Request, response: SelectSource.Response) -> SelectSource.Response:
        return self._ask(Request(select=request.source), f"selected {request.source}", response)

    def _ask(self, request: Request, done: str, response: Trigger.Response) -> Trigger.Response:
        self._requests.put(request)
        answered = request.done.wait(ANSWER_S)
        response.success = answered and not request.refused
        response.message = (request.refused or done) if answered else "no tick answered, the supervisor is stopping"
        self._node.get_logger().info(response.message)
        return response
