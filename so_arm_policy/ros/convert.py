"""Messages to core values and back. Joints are matched by name in every message; nothing else leaves this file.

The way from messages to values is that of bags (evaluate/bags/messages.py): live and from a bag are the same.
"""

import array
import json
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import KeyValue
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.intrinsics import Intrinsics, pinhole_of
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, Chunk, Context, MotorCommand, MotorSample, Proposal
from so_arm_policy.evaluate.bags.messages import camera_image as camera_image
from so_arm_policy.evaluate.bags.messages import chunk as chunk
from so_arm_policy.evaluate.bags.messages import context as context
from so_arm_policy.evaluate.bags.messages import joint_sample as joint_sample
from so_arm_policy.evaluate.bags.messages import motor_command as motor_command
from so_arm_policy.evaluate.bags.messages import motor_sample as motor_sample
from so_arm_policy.evaluate.bags.messages import proposal as proposal
from so_arm_policy.evaluate.bags.messages import stamp_ns as stamp_ns
from so_arm_policy.msg import ActionChunk, JointCommand, MotorStates, SceneContext, SimState
from so_arm_policy.sim.scene import Scene


def time_msg(ns: int) -> Time:
    """Return the stamp of ROS time `ns`."""
    sec, nanosec = divmod(ns, NS)
    return Time(sec=sec, nanosec=nanosec)


def duration_msg(ns: int) -> Duration:
    """Return a duration of `ns`."""
    sec, nanosec = divmod(ns, NS)
    return Duration(sec=sec, nanosec=nanosec)


def doubles(values: npt.ArrayLike) -> "array.array[float]":
    """Return `values`, flattened, in the form that a float64[] field takes without a second copy of each number."""
    return array.array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def joint_state(robot: RobotConfig, now_ns: int, q: FloatArray, dq: FloatArray | None = None) -> JointState:
    """Return the message of positions q (n,) rad and velocities dq (n,) rad/s in the robot's order."""
    msg = JointState()
    msg.header.stamp = time_msg(now_ns)
    msg.name = list(robot.joint_names)
    msg.position = doubles(q)
    if dq is not None:
        msg.velocity = doubles(dq)
    return msg


def motor_command_msg(robot: RobotConfig, now_ns: int, value: MotorCommand, writer: str = "") -> JointState:
    """Return the message of a joint_command that `writer` signs."""
    msg = joint_state(robot, now_ns, value.q)
    msg.header.frame_id = writer
    if value.limp:
        msg.effort = doubles(np.zeros(len(value.q)))
    return msg


def motor_states_msg(robot: RobotConfig, value: MotorSample) -> MotorStates:
    """Return the message of what the motors report."""
    msg = MotorStates(joint_names=list(robot.joint_names), torque_on=value.torque_on.tolist())
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.load, msg.temperature = doubles(value.load), doubles(value.temperature_c)
    msg.voltage = doubles(value.voltage_v)
    return msg


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


def context_msg(value: Context) -> SceneContext:
    """Return the message of a context."""
    msg = SceneContext(sequence=value.sequence, bundle_id=value.bundle_id, instruction=value.instruction)
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.image_stamps = [time_msg(ns) for ns in value.image_stamps_ns]
    msg.observation_stamp = time_msg(value.observation_stamp_ns)
    msg.shape = array.array("I", value.keys_values.shape)
    msg.dtype = "float32"
    msg.data = array.array("B", np.ascontiguousarray(value.keys_values, dtype="<f4").tobytes())
    msg.inference_ms, msg.novelty = value.inference_ms, value.novelty
    return msg


def chunk_msg(value: Chunk, robot: RobotConfig, now_ns: int) -> ActionChunk:
    """Return the message of a chunk whose inference ended at ROS time `now_ns`."""
    msg = ActionChunk(sequence=value.sequence, joint_names=list(robot.joint_names), horizon=len(value.positions))
    msg.header.stamp = time_msg(now_ns)
    msg.observation_stamp = time_msg(value.observation_stamp_ns)
    msg.context_stamp = time_msg(value.context_stamp_ns)
    msg.start = time_msg(value.start_ns)
    msg.dt = duration_msg(value.dt_ns)
    msg.positions = doubles(value.positions)
    return msg


def image_msg(value: CameraImage, frame_id: str) -> Image:
    """Return the message of one picture, rgb8."""
    height, width, _ = value.rgb.shape
    msg = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.header.frame_id = frame_id
    msg.data = array.array("B", value.rgb.tobytes())
    return msg


def compressed_image_msg(value: CameraImage, frame_id: str, quality: int) -> CompressedImage:
    """Return the message of one picture as JPEG of `quality` 1..100."""
    _, packed = cv2.imencode(".jpeg", cv2.cvtColor(value.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    msg = CompressedImage(format="rgb8; jpeg compressed bgr8", data=array.array("B", packed.tobytes()))
    msg.header.stamp = time_msg(value.stamp_ns)
    msg.header.frame_id = frame_id
    return msg


def camera_info_msg(camera: CameraConfig, lens: Intrinsics | None = None) -> CameraInfo:
    """Return a calibration without stamp. lens: None: the pinhole of the camera's size and vertical field of view."""
    lens = lens or pinhole_of(camera)
    msg = CameraInfo(height=lens.height, width=lens.width, distortion_model=lens.model, d=lens.distortion.tolist())
    msg.header.frame_id = camera.frame_id
    msg.k = lens.K.ravel().tolist()
    msg.r = np.eye(3).ravel().tolist()
    msg.p = np.column_stack([lens.K, np.zeros(3)]).ravel().tolist()
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
