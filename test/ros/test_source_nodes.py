"""Sources of proposals, and the mock robot: what they make of good messages and of garbage."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ros_world import GARBAGE, NAMES, ROBOT, N, command, diagnostics_of, joints, now_ns, repeat, wait_until
from sensor_msgs.msg import JointState
from so_arm_policy.msg import SafetyStatus
from std_msgs.msg import String

from so_arm_policy.core.values import CameraImage
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.mock_robot_node import MockRobotNode
from so_arm_policy.ros.pid_node import PidNode
from so_arm_policy.ros.servo_node import CartesianPidNode, ServoNode
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task


def test_the_mock_robot_follows_commands_by_name_and_refuses_garbage(graph):
    node = graph.run(MockRobotNode())
    heard = graph.hear(topics.JOINT_STATES)
    say = graph.say(topics.JOINT_COMMAND)
    for number, msg in enumerate(list(GARBAGE.values())[:5], 1):
        say(msg)
        wait_until(lambda number=number: node.counts["errors: joint_command"] == number)
    q = np.linspace(-0.5, 0.5, N)
    backwards = command(q)
    backwards.name, backwards.position = NAMES[::-1], q[::-1].tolist()
    say(backwards)
    wait_until(lambda: heard and list(heard[-1].position) == q.tolist())
    assert heard[0].name == NAMES
    assert list(heard[0].position) == ROBOT.home.tolist()
    status = diagnostics_of(node)
    assert status.level == DiagnosticStatus.WARN
    assert "joint_command" in status.message


def test_a_robot_follows_one_supervisor_and_nobody_else(graph):
    node = graph.run(MockRobotNode())
    heard, say = graph.hear(topics.JOINT_STATES), graph.say(topics.JOINT_COMMAND)
    say(joints(np.full(N, 0.1)))
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    assert "expected one of the safety supervisor" in diagnostics_of(node).message
    wait_until(lambda: len(heard) > 20)
    assert list(heard[-1].position) == ROBOT.home.tolist()

    def both():
        say(command(np.full(N, 0.3), writer="safety_supervisor#second"))
        return command(np.full(N, 0.2))

    say(command(np.full(N, 0.2)))
    wait_until(lambda: heard[-1].position[0] == 0.2)
    errors = node.counts["errors: joint_command"]
    repeat(say, both, lambda: node.counts["errors: joint_command"] > errors)


@pytest.mark.parametrize("graph", [("-p", "any_writer:=true")], indirect=True)
def test_a_robot_that_may_follow_anybody_does(graph):
    graph.run(MockRobotNode())
    heard, say = graph.hear(topics.JOINT_STATES), graph.say(topics.JOINT_COMMAND)
    say(joints(np.full(N, 0.1)))
    wait_until(lambda: heard and heard[-1].position[0] == 0.1)


def test_sources_propose_only_while_there_are_joint_states(graph):
    node = graph.run(HoldNode())
    heard = graph.hear(topics.proposal("hold"))
    say = graph.say(topics.JOINT_STATES)
    repeat(say, joints, lambda: len(heard) > 5)
    assert heard[-1].joint_names == NAMES
    assert list(heard[-1].position) == ROBOT.home.tolist()
    assert [m.sequence for m in heard] == sorted({m.sequence for m in heard})
    wait_until(lambda: node.counts["errors: joint_states"] > 0)
    count, ticks = node.counts["proposals"], node.loop.ticks
    wait_until(lambda: node.loop.ticks > ticks + 20)
    assert node.counts["proposals"] == count


def test_pid_goes_to_its_goal_and_refuses_one_out_of_reach(graph):
    node = graph.run(PidNode())
    heard = graph.hear(topics.proposal("pid"))
    say, goal = graph.say(topics.JOINT_STATES), graph.say(topics.PID_GOAL)
    goal(JointState(name=NAMES, position=[9.0] * N))
    wait_until(lambda: node.counts["errors: pid/goal"] == 1)
    target = ROBOT.home.copy()
    target[0] += 0.3
    goal(JointState(name=NAMES, position=target.tolist()))
    wait_until(lambda: node.counts["pid/goal"] == 2)

    def where_it_wants_to_be():
        return joints(heard[-1].position if heard else ROBOT.home)

    repeat(say, where_it_wants_to_be, lambda: heard and abs(heard[-1].position[0] - target[0]) < 0.02)


@pytest.mark.parametrize("make", [HoldNode, PidNode])
def test_a_source_that_is_not_followed_stays_where_the_arm_is(graph, make):
    node = graph.run(make())
    heard = graph.hear(topics.proposal(node.get_name()))
    say, status = graph.say(topics.JOINT_STATES), graph.say(topics.SAFETY_STATUS)
    status(SafetyStatus(state=SafetyStatus.ACTIVE, source="system1"))
    wait_until(lambda: node.counts["safety/status"] == 1)
    moved = ROBOT.home + 0.3
    repeat(say, joints, lambda: len(heard) > 3)
    repeat(say, lambda: joints(moved), lambda: np.allclose(heard[-1].position, moved, atol=0.01))
    repeat(say, lambda: joints(moved), lambda: node.loop.ticks % 100 == 0)
    np.testing.assert_allclose(heard[-1].position, moved, atol=0.01)


@pytest.mark.parametrize("state", [SafetyStatus.ACTIVE, SafetyStatus.FALLBACK])
def test_a_source_that_acts_goes_to_its_goal_also_as_the_fallback(graph, state):
    node = graph.run(PidNode())
    heard = graph.hear(topics.proposal("pid"))
    say, status = graph.say(topics.JOINT_STATES), graph.say(topics.SAFETY_STATUS)
    status(SafetyStatus(state=state, source="pid"))
    wait_until(lambda: node.counts["safety/status"] == 1)
    away = ROBOT.home + 0.3  # the arm stands there: the command leads it by what it may
    repeat(say, lambda: joints(away), lambda: bool(heard) and np.abs(heard[-1].position - away).max() > 0.05)


@pytest.mark.parametrize("make", [ServoNode, CartesianPidNode])
def test_a_servo_stays_until_it_sees_what_it_was_told_of_and_then_goes_there(graph, make):
    node = graph.run(make())
    scene = make_task("reach").sample(3).scene
    renderer = SceneRenderer(ROBOT)
    looks = {name: renderer.render(scene, Simulator(ROBOT, scene).qpos, name) for name in ROBOT.camera_names}
    renderer.close()
    heard = graph.hear(topics.proposal(node.get_name()))
    say = graph.say(topics.JOINT_STATES)
    show = {name: graph.say(topics.image(name)) for name in node._eyes.cameras}
    instruct = graph.say(topics.INSTRUCTION)

    def see():
        for name, publish in show.items():
            picture = CameraImage(camera=name, stamp_ns=now_ns(), rgb=looks[name])
            publish(convert.image_msg(picture, name))
        return joints(heard[-1].position if heard else ROBOT.home)

    instruct(String(data="juggle the red cube"))
    repeat(say, see, lambda: node.counts["errors: instruction"] == 1 and len(heard) > 50)
    assert heard[-1].source == node.get_name()
    np.testing.assert_allclose([m.position for m in heard], [ROBOT.home] * len(heard), atol=1e-9)
    instruct(String(data=f"touch the {scene.objects[0].words}"))
    repeat(say, see, lambda: np.abs(np.array(heard[-1].position) - ROBOT.home).max() > 0.2)
    assert node.facts()["trouble"] == ""
    assert convert.stamp_ns(heard[-1].observation_stamp) < convert.stamp_ns(heard[-1].header.stamp)
