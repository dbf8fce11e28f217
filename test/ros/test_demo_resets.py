"""What a demo resets between two tries: a rule's stop, never a person's."""

import math
import time
from collections.abc import Iterator

import pytest
from ros_world import ROBOT, N, joints, now_ns, wait_until
from so_arm_policy.msg import MotorStates

from so_arm_policy.ros import topics
from so_arm_policy.ros.demo_monitor import DemoMonitor
from so_arm_policy.ros.demo_resets import PATIENCE_S, Resets
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode


class Stopped:
    """A supervisor, what a demo hears of it, and a robot whose first motor has its torque or not."""

    def __init__(self, graph) -> None:
        graph.run(SafetySupervisorNode())
        self.monitor = DemoMonitor(ROBOT)
        graph.spinner.add(self.monitor)
        self.say_joints, self.say_motors = graph.say(topics.JOINT_STATES), graph.say(topics.MOTOR_STATES)
        self.tester = graph.tester
        self.torque = True
        self.resets = Resets(self.monitor)
        self.began = time.monotonic()

    def waits(self) -> bool:
        self.live()
        return self.resets.waits(time.monotonic() - self.began)

    def live(self) -> None:
        self.say_joints(joints())
        unknown = [math.nan] * N
        torque = [self.torque, *[True] * (N - 1)]
        names = list(ROBOT.joint_names)
        motors = MotorStates(joint_names=names, load=unknown, temperature=unknown, voltage=unknown, torque_on=torque)
        motors.header.stamp.sec, motors.header.stamp.nanosec = divmod(now_ns(), 10**9)
        self.say_motors(motors)

    def until(self, stopped_by: str) -> None:
        def so() -> bool:
            self.live()
            return self.monitor.stopped_by == stopped_by

        wait_until(so)


@pytest.fixture
def world(graph) -> Iterator[Stopped]:
    made = Stopped(graph)
    yield made
    graph.spinner.stop()
    made.monitor.destroy_node()


def test_the_stop_of_a_rule_is_reset_once_its_cause_is_gone(world):
    wait_until(lambda: not world.waits() and "safety/status" in world.monitor.heard)
    world.torque = False
    world.until("plant.torque_off")
    assert world.resets.waits(0.0), "the next try waits"
    assert not world.resets.waits(PATIENCE_S), "but not for ever: what stays stopped has to show in the tries"
    world.torque = True
    wait_until(lambda: not world.waits() and world.monitor.stopped_by == "")


def test_a_person_s_stop_is_left_to_the_person(world):
    client = world.tester.create_client(topics.ESTOP.type, topics.ESTOP.name)
    wait_until(client.service_is_ready)
    answer = client.call_async(topics.ESTOP.type.Request())
    wait_until(answer.done)
    world.until("estop.request")
    for _ in range(100):
        assert not world.waits()
        time.sleep(0.01)
    assert world.monitor.stopped_by == "estop.request"
