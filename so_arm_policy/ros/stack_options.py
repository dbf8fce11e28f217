"""What a person chooses of the stack: the arguments of the launch files and the options of `so-arm up`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.bags.playback import read_names
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.providers import PROVIDERS
from so_arm_policy.policy.shipped import bundle_for
from so_arm_policy.ros.rules import read_rules
from so_arm_policy.sim.tasks import make_task

ROBOTS = ("sim", "mock", "feetech", "feetech-sim", "ros2_control", "isaac")
SIMULATED = ("sim", "feetech-sim")
CLOCKS = ("sim", "isaac")  # what can be the source of /clock
SOURCES = ("system1", "planner", "servo", "cartesian_pid", "pid", "teleop", "hold")
SIM_LEADER = "sim"  # instead of a port: leader arms that nobody has to move
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


def _option(default: str | int | bool, description: str, choices: Sequence[str] = ()) -> Any:
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
    decisions: str = _option(
        "",
        "file that keeps a latched stop and the selected source for a supervisor that is started again; empty: one for "
        "this run, in shared memory",
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


def sources(options: StackOptions) -> tuple[str, ...]:
    """Return what the stack has to start: the source that acts at first, and the fallback of the rules. ConfigError.

    One that is no part of a stack (`replay`) is left to who wants it.
    """
    fallback = read_rules(options.safety).fallback
    return tuple(dict.fromkeys(s for s in (options.control_source, fallback) if s in SOURCES))


def resolved(options: StackOptions) -> StackOptions:
    """Return `options` with the policy and the robot named. Raises ConfigError or BundleError."""
    bundle, description = options.bundle, options.description
    if "system1" in sources(options):
        path = find_shipped("bundles", bundle) if bundle else bundle_for(options.task, options.family)
        bundle = os.path.abspath(path)
        description = description or read_manifest(path).robot
    return replace(options, bundle=bundle, description=description or make_task(options.task).robot)
