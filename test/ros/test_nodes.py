"""What every node has in common: garbage does not end it, and rclpy stays whole."""

import ast
from pathlib import Path

import pytest
from ros_world import GARBAGE, joints, wait_until

from so_arm_policy.ros import node as node_module
from so_arm_policy.ros import topics
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.pid_node import PidNode
from so_arm_policy.ros.planner_node import PlannerNode
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode


@pytest.mark.parametrize("make", [HoldNode, PidNode, PlannerNode, SafetySupervisorNode])
def test_garbage_on_joint_states_is_reported_once_and_the_node_goes_on(graph, make):
    node = graph.run(make())
    logged = []
    node.get_logger().error = logged.append
    say = graph.say(topics.JOINT_STATES)
    for number, msg in enumerate(GARBAGE.values(), 1):
        say(msg)
        wait_until(lambda number=number: node.counts["errors: joint_states"] == number)
    assert node.sample is None
    assert len(logged) <= 1
    say(joints())
    wait_until(lambda: node.sample is not None)
    ticks = node.loop.ticks
    wait_until(lambda: node.loop.ticks > ticks)


def test_no_attribute_of_a_node_hides_one_of_rclpy_s(graph):
    taken = set(vars(graph.tester)) | set(dir(graph.tester))
    for path in Path(node_module.__file__).parent.glob("*node.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
                assert item.attr not in taken, f"{path.name}: {item.attr}"
