"""An arm under ros2_control behind the stack: real messages both ways, and what is not passed on."""

import numpy as np
import pytest
from fake_ros2_control import FakeRos2Control
from ros_world import GARBAGE, NAMES, ROBOT, N, command, diagnostics_of, joints, repeat, wait_until
from so_arm_policy.msg import SafetyStatus
from std_msgs.msg import Float64MultiArray

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.timegrid import NS
from so_arm_policy.robot.controllers import Controllers, Joining, load_controllers
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.ros2_control_bridge_node import Ros2ControlBridgeNode
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack

PHYSICAL_AI = [f"{name}_joint" for name in NAMES]
POSITIONS = topics.Topic("forward_position_controller/commands", Float64MultiArray, topics.RELIABLE)
START_S = 180.0  # for processes on a busy machine
TWO_ARMS = load_robot("so101_bimanual")


@pytest.fixture
def hardware(make_graph):
    """Makes a graph with an arm under ros2_control on it."""
    made = []

    def make(*arguments, **given):
        graph = make_graph(*(word for argument in arguments for word in ("-p", argument)))
        arm = FakeRos2Control(**{"joints": PHYSICAL_AI, "q": ROBOT.home, "topic": POSITIONS.name, **given})
        made.append((graph, arm))
        graph.spinner.add(arm)
        return graph, arm

    yield make
    for graph, arm in made:
        graph.close()
        arm.destroy_node()


OWN_MAP = """
joint_states: /hardware/joint_states
controllers:
  - {kind: trajectory, topic: /arm/joint_trajectory, joints: [JOINTS], reach_s: 0.05}
"""


def test_an_arm_under_ros2_control_goes_to_its_goal_behind_the_supervisor(hardware):
    graph, arm = hardware()
    commands, statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
    way = np.array([0.5, -0.2, 0.2, -0.3, 0.4, 0.6])
    specs = stack(StackOptions(robot="ros2_control", control_source="pid", cameras="none"))
    with Stack(specs, lambda *_: None) as nodes:
        goal = graph.say(topics.PID_GOAL)
        wait_until(lambda: nodes.poll() and statuses and arm.told, START_S)  # the whole way to the arm is there
        # In steps too small for `plant.frozen`: a bridge that a busy machine lets wait is no arm that stands still.
        for share in np.linspace(0.1, 1.0, 10):
            target = ROBOT.home + share * way
            goal(joints(target))

            def arrived(target=target):
                assert nodes.poll(), nodes.failure
                assert statuses[-1].state != SafetyStatus.ESTOP, statuses[-1]
                return np.abs(arm.q - target).max() < 0.02

            wait_until(arrived, START_S)
        assert SafetyStatus.ACTIVE in {status.state for status in statuses}
    # Bit for bit; this test and the arm may each have missed some.
    sent = {tuple(np.array(command.position)) for command in commands}
    assert len(sent & {tuple(told) for told in arm.told}) > 10


def test_a_trajectory_controller_with_names_and_an_order_of_its_own_follows_and_states_come_back(hardware, tmp_path):
    turned = [5, 2, 0, 4, 1, 3]
    shuffled = [PHYSICAL_AI[i] for i in turned]
    path = tmp_path / "own.yaml"
    path.write_text(OWN_MAP.replace("JOINTS", ", ".join(shuffled)))
    graph, arm = hardware(
        f"controllers:={path}",
        joints=shuffled,
        q=ROBOT.home[turned],
        topic="/arm/joint_trajectory",
        states="/hardware/joint_states",
        kind="trajectory",
        velocities=False,
    )
    node = graph.run(Ros2ControlBridgeNode())
    states, say = graph.hear(topics.JOINT_STATES), graph.say(topics.JOINT_COMMAND)
    target = ROBOT.home + np.array([0.1, -0.05, 0.05, -0.1, 0.1, 0.1])
    wait_until(lambda: states)
    repeat(say, lambda: command(target), lambda: np.abs(arm.q - target[turned]).max() < 0.01)
    np.testing.assert_array_equal(arm.told[-1], target[turned])
    wait_until(lambda: np.abs(np.array(states[-1].position) - target).max() < 0.01)
    assert list(states[-1].name) == NAMES
    assert len(states[-1].velocity) == 0  # unknown to the hardware
    assert convert.stamp_ns(states[-1].header.stamp) > 0
    assert not node.counts["errors: joint_command"]


def test_when_joint_command_stops_nothing_more_is_sent_and_the_first_command_must_be_near(hardware):
    graph, arm = hardware()
    node = graph.run(Ros2ControlBridgeNode())
    say = graph.say(topics.JOINT_COMMAND)
    wait_until(lambda: node._measured_ns is not None)
    repeat(say, lambda: command(ROBOT.home + 0.02), lambda: len(arm.told) > 20)
    wait_until(lambda: node.facts()["holding"])
    told = len(arm.told)
    far = ROBOT.home + 0.3
    say(command(far))
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    assert "0.28 rad from where" in diagnostics_of(node).message
    assert len(arm.told) == told
    np.testing.assert_allclose(arm.q, ROBOT.home + 0.02, atol=0.01)
    repeat(say, lambda: command(ROBOT.home), lambda: len(arm.told) > told + 5)


def test_what_must_not_be_passed_on_is_one_error_each_and_moves_nothing(hardware):
    graph, arm = hardware()
    node = graph.run(Ros2ControlBridgeNode())
    say = graph.say(topics.JOINT_COMMAND)
    wait_until(lambda: node._measured_ns is not None)
    limp = command()
    limp.effort = [0.0] * N
    refused = [msg for kind, msg in GARBAGE.items() if kind != "velocity"]
    for number, msg in enumerate([*refused, command(writer="somebody"), limp], 1):
        say(msg)
        wait_until(lambda number=number: node.counts["errors: joint_command"] == number)
    assert "limp" in diagnostics_of(node).message
    assert arm.told == []
    say(command())
    wait_until(lambda: len(arm.told) == 1)


def test_who_else_commands_the_controllers_is_named_and_nothing_is_passed_on_meanwhile(hardware):
    graph, arm = hardware()
    node = graph.run(Ros2ControlBridgeNode())
    say, other = graph.say(topics.JOINT_COMMAND), graph.tester.create_publisher(Float64MultiArray, POSITIONS.name, 1)
    wait_until(lambda: node._others)
    say(command())
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    assert "got commands of /tester too" in diagnostics_of(node).message
    graph.tester.destroy_publisher(other)
    wait_until(lambda: not node._others)
    repeat(say, command, lambda: len(arm.told) > 5)


def test_broken_states_of_the_hardware_are_named_and_nothing_follows_from_them(hardware):
    graph, arm = hardware(states="elsewhere")
    node = graph.run(Ros2ControlBridgeNode())
    states, say = graph.say(topics.JOINT_STATES), graph.say(topics.JOINT_COMMAND)
    states(GARBAGE["nan"])
    wait_until(lambda: node.counts["errors: joint_states"] == 1)
    say(command())
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    assert "positions are not known" in diagnostics_of(node).message
    assert arm.told == []


def test_a_controller_that_is_not_there_is_said(make_graph):
    graph = make_graph()
    node = graph.run(Ros2ControlBridgeNode())
    graph.spinner.start()
    wait_until(lambda: "forward_position_controller/commands: nobody listens" in diagnostics_of(node).message)


@pytest.mark.parametrize("name", ["ros_physical_ai", "so101_ros_physical_ai", "so101_ros_physical_ai_trajectory"])
def test_shipped_maps_name_every_joint_of_the_arm_once(name):
    given = load_controllers(name)
    (places,) = given.places(ROBOT)
    assert sorted(places) == list(range(N))
    with pytest.raises(ConfigError, match="expected each of .*left_shoulder_pan.* once"):
        given.places(TWO_ARMS)


def test_two_arms_are_two_controllers():
    sides = [{"kind": "position", "topic": s, "joints": [f"{s}_{n}_joint" for n in NAMES]} for s in ("right", "left")]
    given = from_mapping(Controllers, {"joint_states": "joint_states", "controllers": sides})
    right, left = given.places(TWO_ARMS)
    assert [TWO_ARMS.joint_names[i] for i in (right[0], left[0])] == ["right_shoulder_pan", "left_shoulder_pan"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "velocity"}, "got kind 'velocity', expected one of"),
        ({"topic": ""}, "got topic ''"),
        ({"joints": []}, "expected both"),
        ({"joints": PHYSICAL_AI[:5]}, "expected each of"),
        ({"joints": [*PHYSICAL_AI, "gripper"]}, "expected each of"),
        ({"joints": [*PHYSICAL_AI[:5], "tail_joint"]}, "expected each of"),
        ({"reach_s": float("nan")}, "reach_s"),
        ({"rate": 1.0}, "unknown key 'rate'"),
    ],
)
def test_a_map_that_is_none_is_refused(changes, complaint):
    given = {"kind": "position", "topic": "commands", "joints": PHYSICAL_AI, **changes}
    with pytest.raises(ConfigError, match=complaint):
        from_mapping(Controllers, {"joint_states": "joint_states", "controllers": [given]}).places(ROBOT)


def test_a_gripper_that_holds_something_may_be_further_from_its_command_than_the_joints():
    joining = Joining(ROBOT, NS // 10, NS // 5)
    joining.note(ROBOT.home, 0)
    gripping, away = ROBOT.home.copy(), ROBOT.home.copy()
    gripping[5] += 0.45
    away[0] += 0.2
    with pytest.raises(InputError, match="shoulder_pan"):
        joining.check(away, 1)
    joining.check(gripping, 2)
    joining.check(away, 3)  # after the first, commands are the supervisor's business
    with pytest.raises(InputError, match="shoulder_pan"):
        joining.check(away, NS // 10 + 4)
    with pytest.raises(InputError, match="not known"):
        joining.check(ROBOT.home, NS)


def test_the_stack_on_ros2_control_has_the_bridge_in_the_simulator_s_place():
    options = StackOptions(robot="ros2_control", control_source="hold", cameras="none", controllers="own.yaml")
    specs = stack(options)
    assert [spec.name for spec in specs] == ["ros2_control_bridge", "hold", "safety_supervisor"]
    assert specs[0].parameters["controllers"] == "own.yaml"
    assert convert.duration_msg(40_000_000).nanosec == 40_000_000
