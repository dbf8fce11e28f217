"""Nodes of the stack in this process, fed with messages: what they make of good ones and of garbage."""

import ast
import math
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from ros_world import wait_until
from sensor_msgs.msg import Image, JointState
from so_arm_policy.msg import JointCommand, SafetyStatus, SceneContext, SimState
from so_arm_policy.srv import SelectSource
from std_msgs.msg import String

from so_arm_policy.core.values import CameraImage, Context, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros import node as node_module
from so_arm_policy.ros.camera_node import CameraNode
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.mock_robot_node import MockRobotNode
from so_arm_policy.ros.pid_node import PidNode
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode
from so_arm_policy.ros.simulator_node import SimulatorNode
from so_arm_policy.ros.system1_node import System1Node
from so_arm_policy.ros.system2_node import System2Node

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
NAMES = list(ROBOT.joint_names)

GARBAGE = {
    "nan": JointState(name=NAMES, position=[math.nan] * N),
    "missing": JointState(name=NAMES[1:], position=[0.0] * (N - 1)),
    "double": JointState(name=[*NAMES, NAMES[0]], position=[0.0] * (N + 1)),
    "lengths": JointState(name=NAMES, position=[0.0]),
    "empty": JointState(),
    "velocity": JointState(name=NAMES, position=[0.0] * N, velocity=[math.inf] * N),
}


def now_ns():
    return time.time_ns()


def joints(q=ROBOT.home):
    return convert.joint_state(ROBOT, now_ns(), np.asarray(q))


def diagnostics_of(node):
    heard = []
    node._diagnostics.publish = heard.append
    node._publish_diagnostics()
    return heard[-1].status[0]


def repeat(say, make, until):
    """Say something about 120 times a second until something is true."""

    def again():
        say(make())
        return until()

    wait_until(again)


def test_the_mock_robot_follows_commands_by_name_and_refuses_garbage(graph):
    node = graph.run(MockRobotNode())
    heard = graph.hear(topics.JOINT_STATES)
    command = graph.say(topics.JOINT_COMMAND)
    for number, msg in enumerate(list(GARBAGE.values())[:5], 1):
        command(msg)
        wait_until(lambda number=number: node.counts["errors: joint_command"] == number)
    q = np.linspace(-0.5, 0.5, N)
    command(JointState(name=NAMES[::-1], position=q[::-1].tolist()))
    wait_until(lambda: heard and list(heard[-1].position) == q.tolist())
    assert heard[0].name == NAMES
    assert list(heard[0].position) == ROBOT.home.tolist()
    status = diagnostics_of(node)
    assert status.level == DiagnosticStatus.WARN
    assert "joint_command" in status.message


@pytest.mark.parametrize("make", [HoldNode, PidNode, SafetySupervisorNode])
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


def hold_proposal(sequence, q=ROBOT.home, **changes):
    stamp = now_ns()
    proposal = Proposal(
        source="hold",
        sequence=sequence,
        stamp_ns=stamp,
        observation_stamp_ns=stamp,
        received_ns=0,
        joint_names=ROBOT.joint_names,
        q=np.asarray(q),
    )
    msg = convert.joint_command(proposal)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


class Supervised:
    """A supervisor that listens to `hold`, and the test as robot and source."""

    def __init__(self, graph):
        self.node = graph.run(SafetySupervisorNode())
        self.commands = graph.hear(topics.JOINT_COMMAND)
        self.statuses = graph.hear(topics.SAFETY_STATUS)
        self.say_joints = graph.say(topics.JOINT_STATES)
        self.say_proposal = graph.say(topics.proposal("hold"))
        self.sequence = 0
        self.tester = graph.tester

    def feed(self, until, make_proposal=hold_proposal):
        def make():
            self.sequence += 1
            if make_proposal is not None:
                self.say_proposal(make_proposal(self.sequence))
            return joints()

        repeat(self.say_joints, make, until)

    def state(self):
        return self.statuses[-1].state if self.statuses else None

    def ask(self, service, request):
        client = self.tester.create_client(service.type, service.name)
        wait_until(client.service_is_ready)
        future = client.call_async(request)
        wait_until(future.done)
        return future.result()


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_the_supervisor_passes_holds_stops_and_starts_again(graph):
    world = Supervised(graph)
    wait_until(lambda: world.state() == SafetyStatus.INIT)
    assert world.commands == []
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    world.feed(lambda: world.state() == SafetyStatus.HOLD, make_proposal=None)
    assert world.statuses[-1].reason_code == "time.silent"
    seen = len(world.commands)
    wait_until(lambda: len(world.commands) > seen + 20)
    np.testing.assert_allclose(world.commands[-1].position, ROBOT.home)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    assert world.ask(topics.ESTOP, topics.ESTOP.type.Request()).success
    wait_until(lambda: world.state() == SafetyStatus.ESTOP)
    world.feed(lambda: world.node.loop.ticks % 50 == 0)
    assert world.state() == SafetyStatus.ESTOP
    world.say_joints(joints())
    answer = world.ask(topics.SELECT, SelectSource.Request(source="autopilot"))
    assert not answer.success
    assert "autopilot" in answer.message
    assert world.ask(topics.SELECT, SelectSource.Request(source="pid")).success

    def reset():
        world.say_joints(joints())
        return world.ask(topics.RESET, topics.RESET.type.Request()).success

    wait_until(reset)
    wait_until(lambda: world.statuses[-1].source == "pid" and world.state() == SafetyStatus.HOLD)


BAD_PROPOSALS = {
    "schema.nonfinite": {"position": [math.nan] * N},
    "schema.length": {"position": [0.0]},
    "schema.names": {"joint_names": ["a"] * N},
    "source.mismatch": {"source": "pid"},
    "limit.position_band": {"position": [9.0] * N},
}


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_the_supervisor_survives_every_bad_proposal_names_it_and_keeps_the_arm_still(graph):
    world = Supervised(graph)
    for code, changes in BAD_PROPOSALS.items():
        world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
        world.feed(
            lambda code=code: code in world.statuses[-1].rules,
            lambda sequence, changes=changes: hold_proposal(sequence, **changes),
        )
    world.say_proposal(JointCommand())
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    for command in world.commands:
        np.testing.assert_allclose(command.position, ROBOT.home, atol=1e-9)


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_a_second_writer_of_joint_command_makes_the_supervisor_hold(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    other = graph.tester.create_publisher(JointState, "joint_command", topics.RELIABLE)
    world.feed(lambda: world.statuses[-1].reason_code == "source.unknown_publisher")
    assert "tester" in world.statuses[-1].reason_text
    assert world.state() == SafetyStatus.HOLD
    graph.tester.destroy_publisher(other)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_a_second_supervisor_counts_once_it_speaks_since_a_silent_one_may_be_a_killed_one_s_ghost(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    twin = rclpy.create_node("safety_supervisor", use_global_arguments=False)
    publisher = twin.create_publisher(JointState, "joint_command", topics.RELIABLE)
    count = graph.tester.count_publishers
    world.feed(lambda: count("joint_command") == 2)
    checks = []
    check = world.node._writer.check
    world.node._writer.check = lambda: checks.append(check())
    world.feed(lambda: len(checks) == 2)
    assert world.state() == SafetyStatus.ACTIVE

    def both(sequence):
        publisher.publish(joints())
        return hold_proposal(sequence)

    world.feed(lambda: world.statuses[-1].reason_code == "source.unknown_publisher", both)
    assert "a second safety_supervisor" in world.statuses[-1].reason_text
    twin.destroy_publisher(publisher)
    twin.destroy_node()
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


def test_no_attribute_of_a_node_hides_one_of_rclpy_s(graph):
    taken = set(vars(graph.tester)) | set(dir(graph.tester))
    for path in Path(node_module.__file__).parent.glob("*node.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
                assert item.attr not in taken, f"{path.name}: {item.attr}"


def picture(camera, **changes):
    rgb = np.full((camera.height, camera.width, 3), 128, np.uint8)
    msg = convert.image_msg(CameraImage(camera=camera.name, stamp_ns=now_ns(), rgb=rgb), camera.frame_id)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def test_system2_waits_refuses_what_it_cannot_use_and_then_encodes(policy_graph):
    graph = policy_graph
    node = graph.run(System2Node())
    contexts = graph.hear(topics.CONTEXT)
    cameras = {c.name: graph.say(topics.image(c.name)) for c in ROBOT.cameras}
    say_joints, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    wait_until(lambda: "instruction" in node.facts()["waiting_for"])

    def see(until):
        def make():
            for camera in ROBOT.cameras:
                cameras[camera.name](picture(camera))
            return joints()

        repeat(say_joints, make, until)

    for number, change in enumerate(({"encoding": "mono8"}, {"width": 4}, {"step": 1}), 1):
        cameras["wrist"](picture(ROBOT.camera("wrist"), **change))
        wait_until(lambda number=number: node.counts["errors: wrist/image_raw"] == number)
    cameras["wrist"](Image())
    for text in ("", "   ", "fold the laundry", "touch the red cube " * 50):
        before = node.counts["errors: encode"]
        instruct(String(data=text))
        see(lambda before=before: node.counts["errors: encode"] > before)
    assert contexts == []
    instruct(String(data="Touch the RED cube."))
    see(lambda: len(contexts) >= 2)
    context = convert.context(contexts[-1])
    assert context.bundle_id == "tiny"
    assert context.stamp_ns == min(context.image_stamps_ns)
    assert contexts[0].sequence < contexts[-1].sequence
    count = node.counts["contexts"]
    wait_until(lambda: node.counts["errors: wrist age"] > 0)
    assert node.counts["contexts"] <= count + 2


def a_context(bundle_id="tiny", **changes):
    stamp = now_ns()
    msg = convert.context_msg(
        Context(
            bundle_id=bundle_id,
            sequence=0,
            stamp_ns=stamp,
            instruction="touch the red cube",
            keys_values=np.full((2, 2, 1, 4, 8), 0.1, np.float32),
            image_stamps_ns=(stamp, stamp),
        )
    )
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def test_system1_is_silent_without_a_usable_context_and_proposes_with_one(policy_graph):
    graph = policy_graph
    node = graph.run(System1Node())
    heard, chunks = graph.hear(topics.proposal("system1")), graph.hear(topics.CHUNK)
    say_joints, say_context = graph.say(topics.JOINT_STATES), graph.say(topics.CONTEXT)
    repeat(say_joints, joints, lambda: node.loop.ticks > 30)
    assert node.facts()["waiting_for"] == "system2/context"
    say_context(SceneContext())
    wait_until(lambda: node.counts["errors: system2/context"] == 1)
    for bad in ({"bundle_id": "another"}, {"data": np.full(256, np.nan, "<f4").tobytes()}):
        before = node.counts["errors: request"]
        say_context(a_context(**bad))
        repeat(say_joints, joints, lambda before=before: node.counts["errors: request"] > before)
    assert heard == []
    say_context(a_context())
    repeat(say_joints, joints, lambda: len(heard) > 20 and len(chunks) > 3)
    assert heard[-1].joint_names == NAMES
    assert convert.chunk(chunks[-1], ROBOT).positions.shape == (16, N)
    # A command names the oldest thing it follows from: the picture.
    oldest = [convert.stamp_ns(m.observation_stamp) for m in heard]
    assert all(at <= convert.stamp_ns(m.header.stamp) for at, m in zip(oldest, heard, strict=True))
    wait_until(lambda: node.counts["errors: silent"] > 0)


@pytest.mark.parametrize("graph", [("-p", "seed:=3")], indirect=True)
def test_the_simulator_judges_the_task_and_refuses_garbage(graph):
    node = graph.run(SimulatorNode())
    states, tasks = graph.hear(topics.JOINT_STATES), graph.hear(topics.SIM_TASK)
    scenes = graph.hear(topics.SIM_STATE)
    command, instruct = graph.say(topics.JOINT_COMMAND), graph.say(topics.INSTRUCTION)
    command(GARBAGE["nan"])
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    instruct(String(data="sing"))
    wait_until(lambda: node.counts["errors: instruction"] == 1)
    wait_until(lambda: tasks and tasks[-1].message == "nothing to judge")
    scene = convert.scene(scenes[-1].scene)
    instruct(String(data=f"touch the {scene.objects[0].color} cube"))
    wait_until(lambda: tasks[-1].message == "under way")
    values = {v.key: v.value for v in tasks[-1].values}
    assert values["success"] == "False"
    assert float(values["distance_m"]) > 0.02
    q = ROBOT.home.copy()
    q[0] += 0.2
    command(joints(q))
    wait_until(lambda: abs(states[-1].position[0] - q[0]) < 0.02)
    wait_until(lambda: node.facts()["holding"])
    seen = len(states)
    wait_until(lambda: len(states) > seen + 12)
    assert abs(states[-1].position[0] - q[0]) < 0.02


@pytest.mark.parametrize("graph", [("-p", "camera:=wrist")], indirect=True)
def test_the_drawn_camera_gives_stamped_pictures_and_survives_a_state_that_is_none(graph):
    from so_arm_policy.sim.simulator import Simulator
    from so_arm_policy.sim.tasks import make_task

    node = graph.run(CameraNode())
    images, infos = graph.hear(topics.image("wrist")), graph.hear(topics.camera_info("wrist"))
    say = graph.say(topics.SIM_STATE)
    say(SimState(scene="{", seed=0))
    wait_until(lambda: node.counts["errors: sim/state"] >= 1)
    scene = make_task("reach").sample(3).scene
    simulator = Simulator(ROBOT, scene)
    repeat(
        say,
        lambda: convert.sim_state_msg(convert.scene_json(scene), 3, simulator.qpos, now_ns()),
        lambda: len(images) > 1 and len(infos) > 1,
    )
    picture_ = convert.camera_image(images[-1], ROBOT.camera("wrist"))
    assert picture_.rgb.std() > 5.0
    assert infos[-1].header.stamp in [i.header.stamp for i in images]
    assert infos[-1].header.frame_id == "wrist_optical_frame"
