"""The service by which things are put anew around the simulated arms; the next tick does it."""

import queue
import threading
from dataclasses import dataclass, field

from rclpy.node import Node

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.ros import convert, topics
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Task
from so_arm_policy.srv import SetScene

ANSWER_S = 0.5


@dataclass(kw_only=True)
class SceneRequest:
    """What was asked for. task: None for the present one. refused: why it was not done, or ""."""

    scene: Scene
    task: Task | None
    refused: str = ""
    done: threading.Event = field(default_factory=threading.Event)


class SceneService:
    """The service sim/set_scene."""

    def __init__(self, node: Node) -> None:
        """Offer it on `node`."""
        self._node = node
        self._requests: queue.SimpleQueue[SceneRequest] = queue.SimpleQueue()
        node.create_service(topics.SET_SCENE.type, topics.SET_SCENE.name, self._on_request)

    def take(self) -> SceneRequest | None:
        """Return a request that waits, if any; the tick that takes it must `answer` it."""
        return None if self._requests.empty() else self._requests.get_nowait()

    @staticmethod
    def answer(request: SceneRequest, refused: str = "") -> None:
        """Let the caller know."""
        request.refused = refused
        request.done.set()

    def _on_request(self, asked: SetScene.Request, response: SetScene.Response) -> SetScene.Response:
        response.message = self._refused(asked)
        response.success = not response.message
        return response

    def _refused(self, asked: SetScene.Request) -> str:
        try:
            task = make_task(asked.task) if asked.task else None
            request = SceneRequest(scene=convert.scene(asked.scene), task=task)
        except SoArmError as error:
            return str(error)
        self._requests.put(request)
        return request.refused if request.done.wait(ANSWER_S) else "no tick answered, the simulator is stopping"
