"""From the stack as data to `ros2 launch`: what launch/*.launch.py share."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.ros.node_spec import PACKAGE, NodeSpec
from so_arm_policy.ros.replay_command import replay
from so_arm_policy.ros.replay_node import ReplayConfig
from so_arm_policy.ros.stack import stack, tf_names
from so_arm_policy.ros.stack_options import StackOptions

UNUSABLE = 2  # a node's exit code: starting it again would not help (see ros/run.py)
RESPAWN_S = 0.5
BOOLS = ("true", "false")
VIEWERS = {"rviz": ("rviz2", "rviz2"), "foxglove": ("foxglove_bridge", "foxglove_bridge")}  # package, executable


def launch_description(**defaults: str | None) -> LaunchDescription:
    """Return the stack with one argument for each of its options.

    defaults: other defaults than those of StackOptions; None makes the argument one that must be given.
    """
    arguments = [_argument(option, defaults) for option in dataclasses.fields(StackOptions)]
    show = "RViz, or Foxglove by its bridge (open config/foxglove/so_arm_policy.json there), beside the stack"
    arguments.append(DeclareLaunchArgument("show", default_value="none", description=show, choices=["none", *VIEWERS]))
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])


def replay_description() -> LaunchDescription:
    """Return the replay of a bag, which ends with it; its arguments are the parameters of its node but the robot."""
    arguments = [
        DeclareLaunchArgument(
            option.name,
            default_value=None if option.name == "bag" else _text(option.default),
            description=option.metadata["description"],
            choices=BOOLS if isinstance(option.default, bool) else option.metadata["choices"] or None,
        )
        for option in _replay_options()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_replay_actions)])


def _replay_options() -> list["dataclasses.Field[Any]"]:
    return [option for option in dataclasses.fields(ReplayConfig) if option.name != "robot"]


def _replay_actions(context: LaunchContext) -> list[Any]:
    given = {o.name: _read(o, context.launch_configurations[o.name]) for o in _replay_options()}
    node = _node(replay(given.pop("bag"), given), respawn=False)
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[Shutdown(reason="the bag ended")]))]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _argument(option: "dataclasses.Field[Any]", defaults: dict[str, str | None]) -> DeclareLaunchArgument:
    is_bool = isinstance(option.default, bool)
    return DeclareLaunchArgument(
        option.name,
        default_value=defaults.get(option.name, _text(option.default)),
        description=option.metadata["help"],
        choices=BOOLS if is_bool else option.metadata["choices"] or None,
    )


def options_from(configurations: dict[str, str]) -> StackOptions:
    """Return the options that a launch was given as text. Raises ConfigError."""
    values: dict[str, Any] = {}
    for option in dataclasses.fields(StackOptions):
        values[option.name] = _read(option, configurations[option.name])
    return StackOptions(**values)


def _read(option: "dataclasses.Field[Any]", text: str) -> Any:
    """Return the value of an option that a launch was given as text. Raises ConfigError."""
    try:
        read: Callable[[str], Any] = _bool if isinstance(option.default, bool) else type(option.default)
        return read(text)
    except ValueError as error:
        raise ConfigError(f"{option.name}: got {text!r}, expected {type(option.default).__name__}") from error


def _bool(text: str) -> bool:
    return text == "true"


def _actions(context: LaunchContext) -> list[Any]:
    options = options_from(context.launch_configurations)
    nodes = [_node(spec) for spec in stack(options)]
    show = context.launch_configurations["show"]
    if show != "none":
        nodes.append(_viewer(show, options))
    return [*nodes, RegisterEventHandler(OnProcessExit(on_exit=_on_exit))]


def _viewer(show: str, options: StackOptions) -> Node:
    """Return the node to look with. Raises ConfigError where it is not installed."""
    package, executable = VIEWERS[show]
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        raise ConfigError(f"show: got {show!r}, expected the ROS package {package!r} to be installed") from error
    config = ["-d", str(find_shipped("config", "rviz/so_arm_policy.rviz"))] if show == "rviz" else []
    return Node(
        package=package,
        executable=executable,
        namespace=options.namespace,
        parameters=[{"use_sim_time": options.use_sim_time}],
        remappings=list(tf_names(options).items()),
        arguments=config,
        output="screen",
    )


def _on_exit(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
    if event.returncode == UNUSABLE:
        return [Shutdown(reason=f"{event.process_name} cannot run with what it was given")]
    return None


def _node(spec: NodeSpec, respawn: bool = True) -> Node:
    # Text stays text: without the type, launch would read '1' as a number.
    values = {n: ParameterValue(v, value_type=str) if isinstance(v, str) else v for n, v in spec.parameters.items()}
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[values, *([spec.params_file] if spec.params_file else [])],
        remappings=list(spec.remappings.items()),
        additional_env=dict(spec.env),
        ros_arguments=["--log-level", spec.log_level],
        output="screen",
        respawn=respawn,
        respawn_delay=RESPAWN_S,
    )
