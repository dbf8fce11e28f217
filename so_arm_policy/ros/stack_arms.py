"""Nodes that stand for the arms in the stack: the driver or what takes its place, and the leaders."""

import os
import tempfile
from dataclasses import replace

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.ros.node_spec import NodeSpec, Value, node_spec
from so_arm_policy.ros.stack_options import SIM_LEADER, StackOptions

BUS_WAIT_S = 60.0  # for the simulated bus, whose model takes a while
BUS_PATIENCE_S = 0.03  # simulated servos answer late when the machine is busy; real ones do not mind


def robot_nodes(options: StackOptions, robot: RobotConfig) -> list[NodeSpec]:
    """Return the nodes that are the arm to all others; none where that runs already and speaks for itself."""
    if options.robot == "isaac":
        return []
    if options.robot == "mock":
        return [node_spec(options, "mock_robot", "mock_robot", {})]
    if options.robot == "feetech":
        return [_feetech(options, options.port, options.calibration)]
    if options.robot == "ros2_control":
        return [node_spec(options, "ros2_control_bridge", "ros2_control_bridge", {"controllers": options.controllers})]
    if options.robot == "feetech-sim":
        port, files = _simulated_ports(robot, "servo_bus")
        bus = _simulator(options, "servo_bus", port)
        return [bus, _feetech(options, port, files, wait_s=BUS_WAIT_S, patience_s=BUS_PATIENCE_S)]
    return [_simulator(options, "simulator")]


def leader_nodes(options: StackOptions, robot: RobotConfig) -> list[NodeSpec]:
    """Return the nodes that read the leader arms and, where those are simulated, move them; none without leaders."""
    if not options.leader_port:
        return []
    given: dict[str, Value] = {"port": options.leader_port, "calibration": options.leader_calibration}
    if options.leader_port != SIM_LEADER:
        return [node_spec(options, "leader", "leader", given)]
    port, files = _simulated_ports(robot, "leader")
    given = {"port": port, "calibration": files, "wait_s": BUS_WAIT_S, "patience_s": BUS_PATIENCE_S}
    return [
        node_spec(options, "leader_hand", "leader_hand", {"port": port}),
        node_spec(options, "leader", "leader", given),
    ]


def _feetech(options: StackOptions, port: str, calibration: str, **more: Value) -> NodeSpec:
    return node_spec(options, "feetech", "feetech", {"port": port, "calibration": calibration, **more})


def _simulator(options: StackOptions, executable: str, port: str = "") -> NodeSpec:
    """port: links to the simulated servos, for the node that has them instead of joint_command."""
    given: dict[str, Value] = {"task": options.task, "seed": options.seed, "publish_clock": options.use_sim_time}
    if port:
        given["port"] = port
    spec = node_spec(options, executable, executable, given)
    # The clock's source cannot wait for its own clock.
    parameters = {**spec.parameters, "use_sim_time": False}
    # What the driver says and hears is not what the physics behind the servos says and hears.
    own = {name: f"servo_bus/{name}" for name in ("joint_states", "motor_states", "joint_command")} if port else {}
    return replace(spec, parameters=parameters, remappings=own)


def _simulated_ports(robot: RobotConfig, what: str) -> tuple[str, str]:
    """Return where the simulated servos of each arm are to be plugged in, and their calibrations."""
    links = [f"{tempfile.gettempdir()}/so_arm_{what}_{os.getpid()}_{i}" for i in range(len(robot.arms))]
    return ",".join(links), ",".join(["simulated"] * len(links))
