"""Messages to core values and back. Joints are matched by name in every message; nothing else leaves this file."""

import array
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import KeyValue
from sensor_msgs.msg import CameraInfo, Image, JointState

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, Chunk, Context, JointSample, MotorCommand, MotorSample, Proposal
from so_arm_policy.msg import ActionChunk, JointCommand, MotorStates, SceneContext, SimState
from so_arm_policy.sim.scene import Scene


def stamp_ns(stamp: Time | Duration) -> int:
    """Nanoseconds of a stamp or a duration."""
    return int(stamp.sec) * NS + int(stamp.nanosec)


def time_msg(ns: int) -> Time:
    """Return the stamp of ROS time `ns`."""
    sec, nanosec = divmod(ns, NS)
    return Time(sec=sec, nanosec=nanosec)


def doubles(values: npt.ArrayLike) -> "array.array[float]":
    """Return `values`, flattened, in the form that a float64[] field takes without a second copy of each number."""
    return array.array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def joint_sample(msg: JointState, robot: RobotConfig, received_ns: int) -> JointSample:
    """Return the robot's joints in its order; joints of others are ignored, no velocities count as zero.

    Raises InputError when a joint is missing, double or not finite.
    """
    q = robot.order(msg.name, msg.position, "joint_states position")
    dq = robot.order(msg.name, msg.velocity, "joint_states velocity") if len(msg.velocity) else np.zeros_like(q)
    return JointSample(stamp_ns=stamp_ns(msg.header.stamp), received_ns=received_ns, q=q, dq=dq)


def joint_state(robot: RobotConfig, now_ns: int, q: FloatArray, dq: FloatArray | None = None) -> JointState:
    """Return the message of positions q (n,) rad and velocities dq (n,) rad/s in the robot's order."""
    msg = JointState()
    msg.header.stamp = time_msg(now_ns)
    msg.name = list(robot.joint_names)
    msg.position = doubles(q)
    if dq is not None:
        msg.velocity = doubles(dq)
    return msg


def motor_command(msg: JointState, robot: RobotConfig) -> MotorCommand:
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


def motor_command_msg(robot: RobotConfig, now_ns: int, value: MotorCommand, writer: str = "") -> JointState:
    """Return the message of a joint_command that `writer` signs."""
    msg = joint_state(robot, now_ns, value.q)
    msg.header.frame_id = writer
    if value.limp:
        msg.effort = doubles(np.zeros(len(value.q)))
    return msg


def motor_sample(msg: MotorStates, robot: RobotConfig, received_ns: int) -> MotorSample:
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


def motor_states_msg(robot: RobotConfig, value: MotorSample) -> MotorStates:
    """Return the message of what the motors report."""
    msg = MotorStates(joint_names=list(robot.joint_names), torque_on=value.torque_on.tolist())
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.load, msg.temperature = doubles(value.load), doubles(value.temperature_c)
    msg.voltage = doubles(value.voltage_v)
    return msg


def proposal(msg: JointCommand, received_ns: int) -> Proposal:
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


def joint_command(value: Proposal) -> JointCommand:
    """Return the message of one proposal."""
    msg = JointCommand(source=value.source, sequence=value.sequence, joint_names=list(value.joint_names))
    msg.disagreement, msg.novelty = value.disagreement, value.novelty
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.observation_stamp = time_msg(value.observation_stamp_ns)
    msg.position = doubles(value.q)
    if value.dq is not None:
        msg.velocity = doubles(value.dq)
    return msg


def context(msg: SceneContext) -> Context:
    """Return System 2's context. Raises InputError when shape, dtype and data disagree."""
    shape = tuple(int(n) for n in msg.shape)
    if msg.dtype != "float32" or len(shape) != 5 or math.prod(shape) * 4 != len(msg.data):
        raise InputError(
            f"context: got {msg.dtype!r}, shape {shape}, {len(msg.data)} bytes, expected float32, 5 sizes, "
            f"{math.prod(shape) * 4} bytes"
        )
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
    )


def context_msg(value: Context) -> SceneContext:
    """Return the message of a context."""
    msg = SceneContext(sequence=value.sequence, bundle_id=value.bundle_id, instruction=value.instruction)
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.image_stamps = [time_msg(ns) for ns in value.image_stamps_ns]
    msg.observation_stamp = time_msg(value.observation_stamp_ns)
    msg.shape = array.array("I", value.keys_values.shape)
    msg.dtype = "float32"
    msg.data = array.array("B", np.ascontiguousarray(value.keys_values, dtype="<f4").tobytes())
    msg.inference_ms = value.inference_ms
    return msg


def chunk(msg: ActionChunk, robot: RobotConfig) -> Chunk:
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


def chunk_msg(value: Chunk, robot: RobotConfig, now_ns: int) -> ActionChunk:
    """Return the message of a chunk whose inference ended at ROS time `now_ns`."""
    msg = ActionChunk(sequence=value.sequence, joint_names=list(robot.joint_names), horizon=len(value.positions))
    msg.header.stamp = time_msg(now_ns)
    msg.observation_stamp = time_msg(value.observation_stamp_ns)
    msg.context_stamp = time_msg(value.context_stamp_ns)
    msg.start = time_msg(value.start_ns)
    sec, nanosec = divmod(value.dt_ns, NS)
    msg.dt = Duration(sec=sec, nanosec=nanosec)
    msg.positions = doubles(value.positions)
    return msg


def camera_image(msg: Image, camera: CameraConfig) -> CameraImage:
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


def image_msg(value: CameraImage, frame_id: str) -> Image:
    """Return the message of one picture, rgb8."""
    height, width, _ = value.rgb.shape
    msg = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.header.frame_id = frame_id
    msg.data = array.array("B", value.rgb.tobytes())
    return msg


def camera_info_msg(camera: CameraConfig) -> CameraInfo:
    """Return a pinhole calibration from the camera's size and vertical field of view, without distortion or stamp."""
    focal = camera.height / 2 / math.tan(math.radians(camera.fovy_deg) / 2)
    cx, cy = (camera.width - 1) / 2, (camera.height - 1) / 2
    msg = CameraInfo(height=camera.height, width=camera.width, distortion_model="plumb_bob", d=[0.0] * 5)
    msg.header.frame_id = camera.frame_id
    msg.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return msg


def sim_state_msg(scene_json: str, seed: int, qpos: FloatArray, now_ns: int) -> SimState:
    """Return the message of the simulator's state at ROS time `now_ns`."""
    msg = SimState(seed=seed, scene=scene_json)
    msg.header.stamp = time_msg(now_ns)
    msg.qpos = doubles(qpos)
    return msg


def scene_json(scene: Scene) -> str:
    """Return a scene as text for SimState."""
    return json.dumps(to_mapping(scene))


def scene(text: str) -> Scene:
    """Return the scene of a SimState. Raises InputError or ConfigError."""
    try:
        data: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"sim/state: got {error} in its scene, expected JSON") from error
    return from_mapping(Scene, data, "sim/state scene")


def key_values(values: Mapping[str, object]) -> Sequence[KeyValue]:
    """Return values for a diagnostic message; floats with four significant digits."""
    return [KeyValue(key=k, value=f"{v:.4g}" if isinstance(v, float) else str(v)) for k, v in values.items()]
