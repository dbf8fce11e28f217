"""Nodes of the stack's cameras."""

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.ros.environment import ONE_THREAD
from so_arm_policy.ros.node_spec import NodeSpec, Value, node_spec
from so_arm_policy.ros.stack_options import SIMULATED, StackOptions

DRAWING = {**ONE_THREAD, "LP_NUM_THREADS": "0"}  # software OpenGL draws in the camera's own thread


def camera_nodes(options: StackOptions, robot: RobotConfig) -> list[NodeSpec]:
    """Return one node for each camera that is wanted. Raises ConfigError."""
    cameras = _camera_parameters(options, robot)
    return [node_spec(options, f"{name}_camera", "camera", given, DRAWING) for name, given in cameras]


def _camera_parameters(options: StackOptions, robot: RobotConfig) -> list[tuple[str, dict[str, Value]]]:
    """Return the parameters of each camera's node, by the camera's name."""
    if options.cameras == "none":
        return []
    if options.cameras == "sim":
        if options.robot == "isaac":
            return []  # it publishes its pictures itself
        if options.robot not in SIMULATED:
            raise ConfigError(f"cameras: got 'sim' with robot {options.robot!r}, expected 'none' or NAME=opencv:SOURCE")
        return [(name, {"camera": name, "source": "sim"}) for name in robot.camera_names]
    cameras: list[tuple[str, dict[str, Value]]] = []
    for part in options.cameras.split(","):
        name, _, source = part.strip().partition("=")
        kind, _, device = source.partition(":")
        if kind == "opencv" and device:
            given: dict[str, Value] = {"camera": name, "source": "opencv", "device": device}
        elif source == "sim" and options.robot in SIMULATED:
            given = {"camera": name, "source": "sim"}
        else:
            raise ConfigError(
                f"cameras: got {part!r}, expected e.g. overhead=opencv:/dev/video0 (or NAME=sim in simulation)"
            )
        if name in [known for known, _ in cameras]:
            raise ConfigError(f"cameras: got {name!r} twice, expected each camera once")
        robot.camera(name)
        cameras.append((name, given))
    return cameras
