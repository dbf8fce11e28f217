"""What the robot is told next: something else in the same scene, or, where a try uses the scene up, in a fresh one."""

from collections.abc import Iterator
from typing import Protocol

from rclpy.task import Future

from so_arm_policy.evaluate.director import Order, instruction_sequence
from so_arm_policy.ros import topics
from so_arm_policy.ros.demo_monitor import DemoMonitor
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks.task import Episode, Task

ANSWER_S = 2.0  # a simulator that does not answer within this was killed
AGAIN_S = 0.25  # after an arm was in the way
PATIENCE_S = 3.0  # for the arm to go out of the way; then another scene is tried


class Orders(Protocol):
    """Gives one order after another."""

    def next(self, now_s: float) -> Order | None:
        """Return the next order once everything is there for it; until then None: call it again soon."""
        ...


def orders(task: Task, seed: int, monitor: DemoMonitor) -> Orders:
    """Return what suits `task`: the same scene for as long as it can be used, else that of each seed from `seed` on."""
    assert monitor.scene is not None
    if uses_up(task.sample(seed)):
        return FreshScenes(task, seed, monitor)
    return OneScene(task, monitor.scene, seed)


def uses_up(episode: Episode) -> bool:
    """Whether the scene of `episode` is another one afterwards: things are put somewhere, or move by themselves."""
    return episode.scene.motion is not None or any(step.place is not None for step in episode.goal.steps)


class OneScene:
    """Every instruction of a scene again and again."""

    def __init__(self, task: Task, scene: Scene, seed: int) -> None:
        """seed: of the order. Raises ConfigError for a scene with fewer than two instructions."""
        self._seed = scene.seed
        self._texts: Iterator[str] = instruction_sequence(task.instructions(scene), seed)

    def next(self, now_s: float) -> Order | None:
        """Return the next instruction."""
        return Order(next(self._texts), self._seed)


class FreshScenes:
    """The episodes of one seed after another; the simulator is asked for each scene, and refuses one behind an arm.

    Meanwhile the robot goes on with what it was told before, and so leaves sooner or later: the arm is never moved by
    anyone but the policy. A scene whose places it keeps is given up for the next one.
    """

    def __init__(self, task: Task, seed: int, monitor: DemoMonitor) -> None:
        """seed: of the first episode."""
        self._task, self._seed, self._monitor = task, seed, monitor
        self._episode: Episode | None = None
        self._asked: Future | None = None
        self._asked_s = self._since_s = 0.0

    def next(self, now_s: float) -> Order | None:
        """Return what is told in the next scene once that is there."""
        if self._episode is None:
            self._episode = self._task.sample(self._seed)
            self._since_s, self._asked_s = now_s, -AGAIN_S
        if self._asked is None:
            if now_s - self._asked_s >= AGAIN_S:
                self._asked, self._asked_s = self._monitor.set_scene(self._episode.scene, self._task.name), now_s
            return None
        if self._asked.done():
            return self._answered(now_s)
        if now_s - self._asked_s > ANSWER_S:
            self._monitor.forget(topics.SET_SCENE, self._asked)
            self._asked = None
        return None

    def _answered(self, now_s: float) -> Order | None:
        assert self._asked is not None
        assert self._episode is not None
        answer, self._asked = self._asked.result(), None
        told = Order(self._episode.instruction, self._seed)
        if answer.success or now_s - self._since_s > PATIENCE_S:
            self._episode = None
            self._seed += 1
        if not answer.success:
            if self._episode is None:
                self._monitor.get_logger().warning(f"{answer.message}; given up")
            return None
        return told
