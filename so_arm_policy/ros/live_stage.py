"""A stack on which one episode after another is run: the arm comes home, the table is laid, the source is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.task import Future
from std_srvs.srv import Trigger

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS, TimeGrid
from so_arm_policy.evaluate.compare.live.heard import Heard
from so_arm_policy.evaluate.demo_summary import SIMULATOR, SUPERVISOR, SYSTEM1
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.demo_run import NodeLog, Say, listening, wait_until_up
from so_arm_policy.ros.homing import HOMING, Homing
from so_arm_policy.ros.live_monitor import LiveMonitor
from so_arm_policy.ros.live_window import Window
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack
from so_arm_policy.safety.values import Mode
from so_arm_policy.sim.tasks.task import Episode, Task
from so_arm_policy.srv import SelectSource, SetScene

# Patience in real seconds: a machine may be slow, but not for ever.
HOME_S = 20.0
ANSWER_S = 5.0
READY_S = 30.0  # to see a scene and have something to propose
SILENT_S = 10.0  # of the judge
DIAGNOSED_S = 10.0
RESET_EVERY_S = 0.5


class NotHomeError(DeviceError):
    """The arm did not come home: what comes next needs a fresh stack."""


@contextmanager
def live_stage(options: StackOptions, log: NodeLog, say: Say) -> Iterator["LiveStage"]:
    """Run a stack for as long as the block runs; a node that ends is not started again.

    Raises ConfigError or BundleError for what no stack can be made of, DeviceError where it does not come up.
    """
    specs, robot = stack(options), load_robot(options.description)
    with (
        listening(lambda: LiveMonitor(robot, options.control_source)) as monitor,
        Stack(specs, log, restart=False) as nodes,
    ):
        wait_until_up(specs, robot, nodes, monitor, log, say)
        yield LiveStage(robot, options.control_source, nodes, monitor)


class LiveStage:
    """Runs episodes. One thread owns it."""

    def __init__(self, robot: RobotConfig, source: str, nodes: Stack, monitor: LiveMonitor) -> None:
        """source: who acts in the episodes."""
        self._robot, self._source, self._nodes, self._monitor = robot, source, nodes, monitor
        self._homing = Homing(robot)
        self._proposing = False
        self._grid = TimeGrid(origin_ns=0, rate_hz=CONTROL_HZ)

    def run(self, task: Task, episode: Episode, state_size: int) -> Heard:
        """Run one episode to its end and return what was heard of it.

        The arm stands at home and the scene is that of the episode when the instruction is given; who acts is selected
        once it can have seen the scene. state_size: numbers in a state of the simulator. Raises NotHomeError before the
        episode has begun; DeviceError where the stack fails.
        """
        self._come_home()
        self._lay(task, episode)
        self._proposing = False
        window = self._monitor.begin(episode.instruction, episode.seed)
        self._wait(lambda: self._has_seen(window), READY_S, f"{self._source} to have seen the scene")
        self._select(self._source)
        window.let_act = True
        self._wait(lambda: self._is_over(task, window), None, "the end of the episode")
        window.finish(self._monitor.now_ns())
        self._select(HOMING)
        self._proposing = True
        loops = (SUPERVISOR, self._source, SIMULATOR)
        self._wait(lambda: window.complete(loops), DIAGNOSED_S, f"what {', '.join(loops)} say of their ticks")
        self._monitor.end()
        return window.result(self._source, len(self._robot.joints), state_size)

    def _come_home(self) -> None:
        self._homing.restart()
        self._proposing = True
        asked_s = -RESET_EVERY_S
        until_s = time.monotonic() + HOME_S
        self._select(HOMING)
        while not self._homing.arrived or self._monitor.mode is Mode.ESTOP:
            now_s = time.monotonic()
            if now_s > until_s:
                raise NotHomeError(f"the arm: got it elsewhere after {HOME_S:.0f} s, expected it at home")
            if self._monitor.mode is Mode.ESTOP and now_s - asked_s > RESET_EVERY_S:
                asked_s = now_s
                self._ask(topics.RESET, Trigger.Request())  # refused while the arm still moves
                self._homing.restart()
            self._tick()

    def _lay(self, task: Task, episode: Episode) -> None:
        request = SetScene.Request(task=task.name, scene=convert.scene_json(episode.scene))
        answer = self._ask(topics.SET_SCENE, request)
        if not answer.success:
            raise NotHomeError(f"the scene of seed {episode.seed}: {answer.message}")

    def _select(self, source: str) -> None:
        answer = self._ask(topics.SELECT, SelectSource.Request(source=source))
        if not answer.success:
            raise DeviceError(f"{topics.SELECT.name}: {answer.message}")

    def _has_seen(self, window: Window) -> bool:
        if self._source == SYSTEM1:
            return window.fresh
        pictures = self._monitor.pictures
        return all(pictures.get(camera, 0) >= window.told_ns for camera in self._robot.camera_names)

    def _is_over(self, task: Task, window: Window) -> bool:
        if time.monotonic_ns() - window.heard_ns > SILENT_S * NS:
            raise DeviceError(f"the judge: got no word on the episode for {SILENT_S:.0f} s, expected 10 a second")
        latest = window.latest
        return latest is not None and (latest.done_s is not None or latest.time_s >= task.time_limit_s)

    def _ask(self, service: topics.Service, request: object) -> SelectSource.Response:
        self._wait(lambda: self._monitor.offers(service), ANSWER_S, f"somebody who offers {service.name}")
        future: Future = self._monitor.call(service, request)
        self._wait(future.done, ANSWER_S, f"an answer of {service.name}")
        return future.result()

    def _wait(self, done: Callable[[], bool], patience_s: float | None, what: str) -> None:
        until_s = None if patience_s is None else time.monotonic() + patience_s
        while not done():
            if until_s is not None and time.monotonic() > until_s:
                raise DeviceError(f"the stack: got nothing for {patience_s:.0f} s, expected {what}")
            self._tick()

    def _tick(self) -> None:
        """Propose the way home, if that is asked for, and wait for the next tick."""
        if not self._nodes.poll():
            raise DeviceError(self._nodes.failure)
        sample, now_ns = self._monitor.sample, time.monotonic_ns()
        if self._proposing and sample is not None:
            message = self._homing.propose(self._monitor.now_ns(), now_ns, sample)
            self._monitor.homing_proposals.publish(message)
        due_ns = self._grid.due_ns(self._grid.tick_at(now_ns) + 1)
        time.sleep(max(due_ns - time.monotonic_ns(), 0) / NS)
