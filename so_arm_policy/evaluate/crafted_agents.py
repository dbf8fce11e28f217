"""Hand-crafted controllers as agents, each by the robot's cameras or, privileged, by the simulator's truth."""

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.desk import LockstepDesk
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.control.planner.thinking import Thought
from so_arm_policy.control.thing_servo import ThingServoConfig, pid_source, servo_source
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.evaluate.eyes import CameraEyes
from so_arm_policy.evaluate.seeing_agent import Eyes, SeeingAgent, TruthEyes
from so_arm_policy.evaluate.surroundings import surroundings
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.tasks.task import Task

# How long every thought of the planner takes, ticks. `bench/control.py` says how long they take on a machine.
THINKING_TICKS = 12


def pid_agent(task: Task, robot: RobotConfig, config: ThingServoConfig | None = None) -> SeeingAgent:  # noqa: ARG001
    """Return the Cartesian PID, by camera: it goes where the thing was seen last."""
    return SeeingAgent(pid_source(arm_spec().compile(), robot, config), robot, CameraEyes(robot))


def privileged_pid_agent(task: Task, robot: RobotConfig, config: ThingServoConfig | None = None) -> SeeingAgent:  # noqa: ARG001
    """Return the Cartesian PID that knows where everything is."""
    return SeeingAgent(pid_source(arm_spec().compile(), robot, config), robot, TruthEyes())


def servo_agent(task: Task, robot: RobotConfig) -> SeeingAgent:  # noqa: ARG001
    """Return the visual servo, by camera: it goes where the thing should be by now."""
    return SeeingAgent(servo_source(arm_spec().compile(), robot), robot, CameraEyes(robot))


def privileged_servo_agent(task: Task, robot: RobotConfig) -> SeeingAgent:  # noqa: ARG001
    """Return the servo that is shown where everything is."""
    return SeeingAgent(servo_source(arm_spec().compile(), robot), robot, TruthEyes())


def planner_agent(task: Task, robot: RobotConfig, safety: SupervisorConfig | None = None) -> SeeingAgent:  # noqa: ARG001
    """Return the planner, by camera. safety: of the supervisor that it is behind, by default its own values."""
    return _planner(robot, CameraEyes(robot), safety)


def privileged_planner_agent(task: Task, robot: RobotConfig, safety: SupervisorConfig | None = None) -> SeeingAgent:  # noqa: ARG001
    """Return the planner that knows where everything is; safety: as of `planner_agent`."""
    return _planner(robot, TruthEyes(), safety)


def _planner(robot: RobotConfig, eyes: Eyes, safety: SupervisorConfig | None) -> SeeingAgent:
    scene = surroundings(robot, safety or SupervisorConfig())
    means = Means(robot=robot, iks=arm_iks(robot), surroundings=scene)
    desk = LockstepDesk[Thought](THINKING_TICKS * NS // CONTROL_HZ)
    return SeeingAgent(Planner(means, PlannerConfig(), desk), robot, eyes)
