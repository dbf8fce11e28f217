"""The launch files bring up what the stack's description says, and all of it ends cleanly."""

from pathlib import Path

import pytest

launch_pytest = pytest.importorskip("launch_pytest")

import rclpy  # noqa: E402
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402
from tiny_bundle import write_tiny_bundle  # noqa: E402

from launch import LaunchContext, LaunchDescription  # noqa: E402
from so_arm_policy.core.errors import ConfigError  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.ros import launching, topics  # noqa: E402
from so_arm_policy.ros.domain import own_domain  # noqa: E402
from so_arm_policy.ros.stack import stack  # noqa: E402
from so_arm_policy.ros.stack_options import StackOptions  # noqa: E402

LAUNCH = Path(__file__).parents[2] / "launch"
NODES = ("simulator", "overhead_camera", "wrist_camera", "pid", "safety_supervisor")


def description(name):
    return PythonLaunchDescriptionSource(str(LAUNCH / name)).get_launch_description(LaunchContext())


def arguments_of(name):
    return {a.name: a for a in description(name).entities if isinstance(a, DeclareLaunchArgument)}


@pytest.fixture(scope="module", autouse=True)
def domain():
    with own_domain() as number:
        yield number


@pytest.mark.parametrize("name", ["sim.launch.py", "robot.launch.py", "isaac_sim.launch.py"])
def test_every_option_of_the_stack_is_an_argument_with_help(name):
    arguments = arguments_of(name)
    wanted = [
        "robot",
        "bundle",
        "control_source",
        "cameras",
        "namespace",
        "use_sim_time",
        "safety",
        "params_file",
        "log_level",
    ]
    assert set(wanted) <= set(arguments)
    assert all(len(a.description) > 10 for a in arguments.values())


def test_a_real_robot_must_be_named():
    arguments = arguments_of("robot.launch.py")
    assert arguments["robot"].default_value is None
    assert arguments["cameras"].default_value is None


def test_the_launch_file_starts_exactly_the_nodes_of_the_stack(tmp_path):
    write_tiny_bundle(tmp_path / "tiny", load_robot("so101"))
    context = LaunchContext()
    given = {"bundle": str(tmp_path / "tiny"), "namespace": "cell1"}
    for name, argument in arguments_of("sim.launch.py").items():
        default = "".join(part.perform(context) for part in argument.default_value)
        context.launch_configurations[name] = given.get(name, default)
    started = [a for a in launching._actions(context) if isinstance(a, Node)]
    specs = stack(StackOptions(bundle=given["bundle"], namespace="cell1", tf=True))
    assert [a.node_executable for a in started] == [s.executable for s in specs]
    for action, spec in zip(started, specs, strict=True):
        action._perform_substitutions(context)
        assert action.node_name == f"/cell1/{spec.name}"


def test_text_that_is_no_number_is_refused():
    configurations = {"seed": "three"}
    for name in arguments_of("sim.launch.py"):
        configurations.setdefault(name, "")
    with pytest.raises(ConfigError, match="seed: got 'three', expected int"):
        launching.options_from({**configurations, "use_sim_time": "false"})


def test_the_replay_s_arguments_are_the_parameters_of_its_node(tmp_path):
    arguments = arguments_of("replay.launch.py")
    assert arguments["bag"].default_value is None
    assert {"rate", "loop", "start", "topics", "clock", "remap", "joints"} <= set(arguments)
    context = LaunchContext()
    for name, argument in arguments.items():
        default = "".join(part.perform(context) for part in argument.default_value or [])
        context.launch_configurations[name] = {"bag": str(tmp_path), "rate": "2.5"}.get(name, default)
    node, _ = launching._replay_actions(context)
    assert node.node_executable == "replay"


@launch_pytest.fixture
def running():
    source = PythonLaunchDescriptionSource(str(LAUNCH / "sim.launch.py"))
    arguments = {"control_source": "pid", "seed": "3"}.items()
    included = IncludeLaunchDescription(source, launch_arguments=arguments)
    return LaunchDescription([included, launch_pytest.actions.ReadyToTest()])


@pytest.mark.launch(fixture=running)
def test_the_simulation_comes_up_and_commands_flow():
    rclpy.init()
    node, heard = rclpy.create_node("launch_test"), []
    node.create_subscription(topics.JOINT_COMMAND.type, topics.JOINT_COMMAND.name, heard.append, topics.RELIABLE)
    missing = set(NODES)
    for _ in range(6000):
        if len(heard) > 120 and not missing:
            break
        rclpy.spin_once(node, timeout_sec=0.01)
        missing -= set(node.get_node_names())
    node.destroy_node()
    rclpy.shutdown()
    assert len(heard) > 120
    assert not missing
