"""Messages to core values, for those of rclpy and those read from a bag alike: only their fields are looked at.

Joints are matched by name in every message.
"""

import math
from typing import Any

import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, Chunk, Context, JointSample, MotorCommand, MotorSample, Proposal
from so_arm_policy.safety.values import Mode


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a stamp or a duration."""
    return int(stamp.sec) * NS + int(stamp.nanosec)


def joint_sample(msg: Any, robot: RobotConfig, received_ns: int) -> JointSample:
    """Return the robot's joints in its order; joints of others are ignored, no velocities count as zero.

    Raises InputError when a joint is missing, double or not finite.
    """
    q = robot.order(msg.name, msg.position, "joint_states position")
    dq = robot.order(msg.name, msg.velocity, "joint_states velocity") if len(msg.velocity) else np.zeros_like(q)
    return JointSample(stamp_ns=stamp_ns(msg.header.stamp), received_ns=received_ns, q=q, dq=dq)


def motor_sample(msg: Any, robot: RobotConfig, received_ns: int) -> MotorSample:
    """Return what the motors report, in the robot's order. Raises InputError when a joint or a value is missing."""
    names = list(msg.joint_names)
    for what in ("load", "temperature", "voltage", "torque_on"):
        if len(getattr(msg, what)) != len(names):
            got = f"{len(names)} names and {len(getattr(msg, what))} values of {what}"
            raise InputError(f"motor_states: got {got}, expected as many of each")
    at = robot.order(names, range(len(names)), "motor_states").astype(np.int64)
    return MotorSample(
        stamp_ns=stamp_ns(msg.header.stamp),
        received_ns=received_ns,
        load=np.array(msg.load, dtype=np.float64)[at],
        temperature_c=np.array(msg.temperature, dtype=np.float64)[at],
        voltage_v=np.array(msg.voltage, dtype=np.float64)[at],
        torque_on=np.array(msg.torque_on, dtype=np.bool_)[at],
    )


def proposal(msg: Any, received_ns: int) -> Proposal:
    """Return the command as it arrived: judging it is the supervisor's work."""
    return Proposal(
        source=msg.source,
        sequence=int(msg.sequence),
        stamp_ns=stamp_ns(msg.header.stamp),
        observation_stamp_ns=stamp_ns(msg.observation_stamp),
        received_ns=received_ns,
        joint_names=tuple(msg.joint_names),
        q=np.array(msg.position, dtype=np.float64),
        dq=np.array(msg.velocity, dtype=np.float64) if len(msg.velocity) else None,
        disagreement=float(msg.disagreement),
        novelty=float(msg.novelty),
    )


def context(msg: Any) -> Context:
    """Return System 2's context. Raises InputError when shape, dtype and data disagree, or its novelty is none."""
    shape = tuple(int(n) for n in msg.shape)
    if msg.dtype != "float32" or len(shape) != 5 or math.prod(shape) * 4 != len(msg.data):
        raise InputError(
            f"context: got {msg.dtype!r}, shape {shape}, {len(msg.data)} bytes, expected float32, 5 sizes, "
            f"{math.prod(shape) * 4} bytes"
        )
    novelty = float(getattr(msg, "novelty", 0.0))  # bags of earlier versions have none
    if not 0.0 <= novelty < math.inf:
        raise InputError(f"context: got novelty {novelty}, expected a finite number from 0 on")
    keys_values = np.frombuffer(msg.data, dtype="<f4").reshape(shape)
    keys_values.setflags(write=False)
    return Context(
        bundle_id=msg.bundle_id,
        sequence=int(msg.sequence),
        stamp_ns=stamp_ns(msg.header.stamp),
        instruction=msg.instruction,
        keys_values=keys_values,
        image_stamps_ns=tuple(stamp_ns(s) for s in msg.image_stamps),
        observation_stamp_ns=stamp_ns(msg.observation_stamp),
        inference_ms=float(msg.inference_ms),
        novelty=novelty,
    )


def chunk(msg: Any, robot: RobotConfig) -> Chunk:
    """Return the chunk with its columns in the robot's order. Raises InputError."""
    rows, columns = int(msg.horizon), len(msg.joint_names)
    if rows < 1 or rows * columns != len(msg.positions) or stamp_ns(msg.dt) <= 0:
        raise InputError(
            f"chunk: got {len(msg.positions)} positions, dt {stamp_ns(msg.dt)} ns, expected {rows} x {columns}, dt > 0"
        )
    table = np.array(msg.positions, dtype=np.float64).reshape(rows, columns)
    positions = np.array([robot.order(msg.joint_names, row.tolist(), "chunk") for row in table])
    positions.setflags(write=False)
    return Chunk(
        sequence=int(msg.sequence),
        observation_stamp_ns=stamp_ns(msg.observation_stamp),
        context_stamp_ns=stamp_ns(msg.context_stamp),
        start_ns=stamp_ns(msg.start),
        dt_ns=stamp_ns(msg.dt),
        positions=positions,
    )


def check_supervisor_tick(msg: Any, robot: RobotConfig) -> None:
    """Raise InputError for a SupervisorTick that no supervisor says: its arrays, its state or its command."""
    n = len(msg.sources)
    if any(len(each) != n for each in (msg.sequences, msg.stamps, msg.received_ns)):
        raise InputError(f"supervisor_tick sources: got {n} and arrays of other lengths, expected as many of each")
    if any(len(each) != len(msg.fault_codes) for each in (msg.fault_texts, msg.fault_latches)):
        raise InputError(f"supervisor_tick faults: got {len(msg.fault_codes)} and other lengths, expected as many")
    if int(msg.state) not in list(Mode):
        raise InputError(f"supervisor_tick state: got {msg.state}, expected one of {[int(mode) for mode in Mode]}")
    joints = len(robot.joints)
    if len(msg.command) not in (0, joints) or not np.isfinite(msg.command).all():
        raise InputError(f"supervisor_tick command: got {list(msg.command)}, expected none or {joints} finite numbers")


def camera_image(msg: Any, camera: CameraConfig) -> CameraImage:
    """Return one picture. Raises InputError unless it is rgb8 or bgr8 of the camera's size."""
    got = f"{msg.width}x{msg.height} {msg.encoding!r}, step {msg.step}, {len(msg.data)} bytes"
    expected = f"{camera.width}x{camera.height} 'rgb8' or 'bgr8'"
    if msg.encoding not in ("rgb8", "bgr8") or (msg.width, msg.height) != (camera.width, camera.height):
        raise InputError(f"camera {camera.name!r}: got {got}, expected {expected}")
    if msg.step < 3 * msg.width or len(msg.data) != msg.step * msg.height:
        raise InputError(f"camera {camera.name!r}: got {got}, expected a step of {3 * msg.width}, that times height")
    rows = np.frombuffer(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    rgb = rows[:, : 3 * msg.width].reshape(msg.height, msg.width, 3)
    rgb = np.ascontiguousarray(rgb[:, :, ::-1]) if msg.encoding == "bgr8" else rgb
    rgb.setflags(write=False)
    return CameraImage(camera=camera.name, stamp_ns=stamp_ns(msg.header.stamp), rgb=rgb)


def motor_command(msg: Any, robot: RobotConfig) -> MotorCommand:
    """Return what joint_command asks for. Raises InputError when a joint is missing, double or not finite.

    effort: empty, or the most that each motor may use; all 0: none, the arm goes limp. Nothing else is understood.
    """
    q = robot.order(msg.name, msg.position, "joint_command position")
    if not len(msg.effort):
        return MotorCommand(q)
    effort = robot.order(msg.name, msg.effort, "joint_command effort")
    if effort.any():
        raise InputError(f"joint_command effort: got {effort}, expected nothing, or all 0 for no torque")
    return MotorCommand(q, limp=True)
