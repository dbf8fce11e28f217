"""Every topic and service of the stack in one table: relative name, type, quality of service."""

from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from so_arm_policy.msg import (
    ActionChunk,
    JointCommand,
    MotorStates,
    SafetyStatus,
    SceneContext,
    SimState,
    SupervisorTick,
    System1Tick,
)
from so_arm_policy.srv import SelectSource, SetScene


def _newest(reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability, durability=durability)


SENSOR = qos_profile_sensor_data
BEST_EFFORT = _newest(ReliabilityPolicy.BEST_EFFORT)
RELIABLE = _newest(ReliabilityPolicy.RELIABLE)
LATCHED = _newest(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
DEFAULT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10)
EVERY = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=240, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Topic:
    """A topic: name (relative unless it begins with a slash), message type, quality of service of both ends."""

    name: str
    type: Any
    qos: QoSProfile


@dataclass(frozen=True)
class Service:
    """A service: name and type."""

    name: str
    type: Any


JOINT_STATES = Topic("joint_states", JointState, SENSOR)
LEADER_JOINT_STATES = Topic("leader/joint_states", JointState, SENSOR)
MOTOR_STATES = Topic("motor_states", MotorStates, SENSOR)
JOINT_COMMAND = Topic("joint_command", JointState, RELIABLE)
INSTRUCTION = Topic("instruction", String, LATCHED)
CONTEXT = Topic("system2/context", SceneContext, RELIABLE)
CHUNK = Topic("system1/chunk", ActionChunk, BEST_EFFORT)
SYSTEM1_TICK = Topic("system1/tick", System1Tick, EVERY)
SAFETY_STATUS = Topic("safety/status", SafetyStatus, LATCHED)
SAFETY_TICK = Topic("safety/tick", SupervisorTick, EVERY)
PID_GOAL = Topic("pid/goal", JointState, LATCHED)
SIM_STATE = Topic("sim/state", SimState, BEST_EFFORT)
SIM_TASK = Topic("sim/task", DiagnosticStatus, DEFAULT)
SERVO_BUS_FAULT = Topic("servo_bus/fault", String, RELIABLE)
DIAGNOSTICS = Topic("/diagnostics", DiagnosticArray, DEFAULT)
CLOCK = Topic("/clock", Clock, DEFAULT)
ROBOT_DESCRIPTION = Topic("robot_description", String, LATCHED)

ESTOP = Service("safety/estop", Trigger)
RESET = Service("safety/reset", Trigger)
SELECT = Service("safety/select", SelectSource)
CLUTCH = Service("teleop/clutch", SetBool)
SET_SCENE = Service("sim/set_scene", SetScene)


def proposal(source: str) -> Topic:
    """Where `source` says what it wants."""
    return Topic(f"proposal/{source}", JointCommand, BEST_EFFORT)


def image(camera: str) -> Topic:
    """Pictures of `camera`, rgb8."""
    return Topic(f"{camera}/image_raw", Image, SENSOR)


def compressed_image(camera: str) -> Topic:
    """The same pictures as JPEG, made while somebody listens."""
    return Topic(f"{camera}/image_raw/compressed", CompressedImage, SENSOR)


def camera_info(camera: str) -> Topic:
    """Calibration of `camera`, one for each picture."""
    return Topic(f"{camera}/camera_info", CameraInfo, SENSOR)
