"""The stack as data: its nodes and their parameters. Launch files and `so-arm up` both start from here."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.bags.playback import read_names
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.providers import PROVIDERS
from so_arm_policy.policy.shipped import bundle_for
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import make_task

PACKAGE = "so_arm_policy"
ROBOTS = ("sim", "mock", "feetech", "feetech-sim", "ros2_control", "isaac")
SIMULATED = ("sim", "feetech-sim")
CLOCKS = ("sim", "isaac")  # what can be the source of /clock
BUS_WAIT_S = 60.0  # for the simulated bus, whose model takes a while
BUS_PATIENCE_S = 0.03  # simulated servos answer late when the machine is busy; real ones do not mind
SOURCES = ("system1", "planner", "servo", "cartesian_pid", "pid", "teleop", "hold")
SIM_LEADER = "sim"  # instead of a port: leader arms that nobody has to move
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
Value = str | int | float | bool

# One thread for each numeric library: with more, the nodes of a small machine only wait for each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
DRAWING = {**ONE_THREAD, "LP_NUM_THREADS": "0"}  # software OpenGL draws in the camera's own thread


def _option(default: Value, description: str, choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"help": description, "choices": tuple(choices)})


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What a person chooses; the arguments of the launch files and the options of `so-arm up` are these fields."""

    robot: str = _option(
        "sim",
        "what stands for the arm: MuJoCo, an echo of the commands, the servo bus, simulated servos on such a bus, "
        "controllers of ros2_control or an Isaac Sim (docs/isaac.md), which run already",
        ROBOTS,
    )
    port: str = _option("", "serial port of each arm of robot feetech, joined by commas, e.g. /dev/ttyACM0")
    calibration: str = _option(
        "",
        "LeRobot's calibration JSON of each arm of robot feetech, joined by commas (see `so-arm calibrate-arm`)",
    )
    controllers: str = _option(
        "ros_physical_ai",
        "topics and joints of the controllers of robot ros2_control: a shipped file (config/ros2_control) or a path",
    )
    leader_port: str = _option(
        "",
        "serial port of each leader arm, joined by commas; sim: simulated, swinging by themselves; empty: none",
    )
    leader_calibration: str = _option("", "calibration JSON of each leader arm, joined by commas")
    description: str = _option(
        "", "robot description: a shipped name (config/robots) or the path of a YAML file; empty: that of the policy"
    )
    task: str = _option("reach", "task that the policy is chosen for, and that the simulator draws and judges")
    family: str = _option("flow", "kind of the policy that is chosen, where none is named")
    bundle: str = _option("", "policy: a shipped name (bundles) or a bundle's folder; empty: one for task and family")
    provider: str = _option(
        "cpu", "where the policy's inferences run; one that is not there is an error", tuple(PROVIDERS)
    )
    engine_cache: str = _option("", "folder of TensorRT's engines; empty: in ~/.cache/so_arm_policy/engines")
    control_source: str = _option("system1", "source that acts at first; system1 is the policy", SOURCES)
    cameras: str = _option(
        "sim",
        "sim (drawn by the simulator), none, or NAME=opencv:SOURCE joined by commas, where SOURCE is a number, a "
        "device (/dev/v4l/by-id/...), a video file, a folder of images or a pipe of JPEG pictures",
    )
    namespace: str = _option("", "put before all relative names")
    remap: str = _option("", "topics by other names: OLD=NEW, joined by commas, e.g. overhead/image_raw=rgb")
    use_sim_time: bool = _option(False, "take robot time from the simulator, on /clock")
    safety: str = _option(
        "safety.yaml", "rules of the supervisor, which the planner plans by: a shipped file or a path"
    )
    start_stopped: bool = _option(
        False, "begin with the emergency stop latched: nothing moves until `so-arm safety reset`"
    )
    only: str = _option("", "nodes to start here, joined by commas, e.g. system2; the others run elsewhere")
    without: str = _option("", "nodes not to start here, joined by commas")
    tf: bool = _option(False, "publish robot_description, and /tf and /tf_static of arms and cameras")
    params_file: str = _option("", "YAML file of ROS parameters on top of all this")
    log_level: str = _option("info", "least severe message that nodes log", LOG_LEVELS)
    seed: int = _option(0, "seed of the simulator's scene")
    record: bool = _option(False, "record every topic to a bag")
    bag: str = _option("", "folder of that bag, new; empty: bag_DATE in so_arm_policy/bags in $ROS_HOME or ~/.ros")

    def __post_init__(self) -> None:
        """Refuse what no stack can be made of. Raises ConfigError."""
        for option in fields(self):
            value, choices = getattr(self, option.name), option.metadata["choices"]
            if choices and value not in choices:
                raise ConfigError(f"{option.name}: got {value!r}, expected one of {list(choices)}")
        if self.robot == "feetech" and not (self.port and self.calibration):
            got = f"port {self.port!r}, calibration {self.calibration!r}"
            raise ConfigError(f"robot: got 'feetech' with {got}, expected both, e.g. /dev/ttyACM0 and arm.json")
        if (self.leader_port not in ("", SIM_LEADER)) != bool(self.leader_calibration):
            got = f"leader_port {self.leader_port!r}, leader_calibration {self.leader_calibration!r}"
            raise ConfigError(f"leader: got {got}, expected both or none (port 'sim' needs none)")
        if self.use_sim_time and self.robot not in CLOCKS:
            raise ConfigError(
                f"use_sim_time: got true with robot {self.robot!r}, expected one that is the clock, of {list(CLOCKS)}"
            )
        if self.robot == "isaac" and not self.use_sim_time:
            raise ConfigError("use_sim_time: got false with robot 'isaac', expected true: its stamps are its own time")
        if self.only and self.without:
            raise ConfigError(f"only: got {self.only!r} with without {self.without!r}, expected one of the two")
        read_names(self.remap, "remap")
        if self.params_file and not Path(self.params_file).is_file():
            raise ConfigError(f"params_file: got {self.params_file!r}, expected a YAML file")


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node: its name, the executable of this package that it is, and what it is given."""

    name: str
    executable: str
    parameters: Mapping[str, Value]
    remappings: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    env: Mapping[str, str] = field(default_factory=lambda: dict(ONE_THREAD))
    params_file: str = ""
    log_level: str = "info"

    def ros_arguments(self) -> list[str]:
        """Return the command-line arguments that give a process all of this."""
        arguments = ["--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            arguments += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for before, after in self.remappings.items():
            arguments += ["-r", f"{before}:={after}"]
        for name, value in self.parameters.items():
            arguments += ["-p", f"{name}:={yaml_value(value)}"]
        if self.params_file:
            arguments += ["--params-file", self.params_file]
        return [*arguments, "--log-level", self.log_level]


def yaml_value(value: Value) -> str:
    """Return a parameter value as the YAML that the ROS command line reads; text stays text, whatever it looks like."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    mantissa, exponent_mark, exponent = repr(value).partition("e")
    if exponent_mark and "." not in mantissa:
        mantissa += ".0"  # YAML takes 1e-09 for text
    return mantissa + exponent_mark + exponent


def resolved(options: StackOptions) -> StackOptions:
    """Return `options` with the policy and the robot named. Raises ConfigError or BundleError."""
    bundle, description = options.bundle, options.description
    if options.control_source == "system1":
        path = find_shipped("bundles", bundle) if bundle else bundle_for(options.task, options.family)
        bundle = os.path.abspath(path)
        description = description or read_manifest(path).robot
    return replace(options, bundle=bundle, description=description or make_task(options.task).robot)


def stack(options: StackOptions) -> list[NodeSpec]:
    """Return the nodes to run here, in the order in which they are started. Raises ConfigError or BundleError."""
    options = resolved(options)
    robot = load_robot(options.description)
    # First, so that it hears how the others begin.
    specs = [recorder(options)] if options.record else []
    specs += [*_robot_nodes(options, robot), *_leader(options, robot)]
    specs += [_node(options, f"{name}_camera", "camera", given, DRAWING) for name, given in _cameras(options, robot)]
    given: dict[str, Value]
    if options.control_source == "system1":
        given = {"bundle": options.bundle, "provider": options.provider, "engine_cache": options.engine_cache}
        specs += [_node(options, name, name, given) for name in ("system2", "system1")]
    else:
        given = {"safety": options.safety} if options.control_source == "planner" else {}
        specs.append(_node(options, options.control_source, options.control_source, given))
    given = {"source": options.control_source, "safety": options.safety, "start_stopped": options.start_stopped}
    specs.append(_node(options, "safety_supervisor", "safety_supervisor", given))
    if options.tf:
        specs.append(_description(options))
    names = read_names(options.remap, "remap")
    # What a spec renames by itself, as the simulated bus does, stays so.
    return _here(options, [replace(spec, remappings={**names, **spec.remappings}) for spec in specs])


def _here(options: StackOptions, specs: list[NodeSpec]) -> list[NodeSpec]:
    """Return those of `specs` that this machine is to run. Raises ConfigError for a node that is not among them."""
    known = [spec.name for spec in specs]
    for option, text in (("only", options.only), ("without", options.without)):
        if not text:
            continue
        named = [name.strip() for name in text.split(",")]
        unknown = [name for name in named if name not in known]
        if unknown:
            raise ConfigError(f"{option}: got {unknown}, expected some of {known}")
        specs = [spec for spec in specs if (spec.name in named) is (option == "only")]
        if not specs:
            raise ConfigError(f"{option}: got {text!r}, expected it to leave a node of {known}")
    return specs


def recorder(options: StackOptions, name: str = "recorder", **given: Value) -> NodeSpec:
    """Return the node that records the stack, called `name`; `given` are more of its parameters."""
    return _node(options, name, "recorder", {"bag": options.bag, **given})


def tf_names(options: StackOptions) -> dict[str, str]:
    """Return how /tf is called: in a namespace its own, as two robots have frames of the same names."""
    return {f"/{name}": name for name in ("tf", "tf_static")} if options.namespace else {}


def _description(options: StackOptions) -> NodeSpec:
    return replace(_node(options, "description", "description", {}), remappings=tf_names(options))


def _robot_nodes(options: StackOptions, robot: RobotConfig) -> list[NodeSpec]:
    if options.robot == "isaac":
        return []
    if options.robot == "mock":
        return [_node(options, "mock_robot", "mock_robot", {})]
    if options.robot == "feetech":
        return [_feetech(options, options.port, options.calibration)]
    if options.robot == "ros2_control":
        return [_node(options, "ros2_control_bridge", "ros2_control_bridge", {"controllers": options.controllers})]
    if options.robot == "feetech-sim":
        port, files = _simulated_ports(robot, "servo_bus")
        bus = _simulator(options, "servo_bus", port)
        return [bus, _feetech(options, port, files, wait_s=BUS_WAIT_S, patience_s=BUS_PATIENCE_S)]
    return [_simulator(options, "simulator")]


def _feetech(options: StackOptions, port: str, calibration: str, **more: Value) -> NodeSpec:
    return _node(options, "feetech", "feetech", {"port": port, "calibration": calibration, **more})


def _simulated_ports(robot: RobotConfig, what: str) -> tuple[str, str]:
    """Return where the simulated servos of each arm are to be plugged in, and their calibrations."""
    links = [f"{tempfile.gettempdir()}/so_arm_{what}_{os.getpid()}_{i}" for i in range(len(robot.arms))]
    return ",".join(links), ",".join(["simulated"] * len(links))


def _leader(options: StackOptions, robot: RobotConfig) -> list[NodeSpec]:
    if not options.leader_port:
        return []
    given: dict[str, Value] = {"port": options.leader_port, "calibration": options.leader_calibration}
    if options.leader_port != SIM_LEADER:
        return [_node(options, "leader", "leader", given)]
    port, files = _simulated_ports(robot, "leader")
    given = {"port": port, "calibration": files, "wait_s": BUS_WAIT_S, "patience_s": BUS_PATIENCE_S}
    return [_node(options, "leader_hand", "leader_hand", {"port": port}), _node(options, "leader", "leader", given)]


def _simulator(options: StackOptions, executable: str, port: str = "") -> NodeSpec:
    """port: links to the simulated servos, for the node that has them instead of joint_command."""
    given: dict[str, Value] = {"task": options.task, "seed": options.seed, "publish_clock": options.use_sim_time}
    if port:
        given["port"] = port
    spec = _node(options, executable, executable, given)
    # The clock's source cannot wait for its own clock.
    parameters = {**spec.parameters, "use_sim_time": False}
    # What the driver says and hears is not what the physics behind the servos says and hears.
    own = {name: f"servo_bus/{name}" for name in ("joint_states", "motor_states", "joint_command")} if port else {}
    return replace(spec, parameters=parameters, remappings=own)


def _node(
    options: StackOptions, name: str, executable: str, given: Mapping[str, Value], env: Mapping[str, str] = ONE_THREAD
) -> NodeSpec:
    return NodeSpec(
        name=name,
        executable=executable,
        parameters={"robot": options.description, "use_sim_time": options.use_sim_time, **given},
        namespace=options.namespace,
        env=dict(env),
        params_file=options.params_file,
        log_level=options.log_level,
    )


def _cameras(options: StackOptions, robot: RobotConfig) -> list[tuple[str, dict[str, Value]]]:
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
