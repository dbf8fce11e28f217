"""One step of differential inverse kinematics: from a velocity of the fingertip to legal velocities of the joints."""

import math
from dataclasses import dataclass
from typing import Self

import mink
import mujoco
import numpy as np

from so_arm_policy.control.cartesian_pid import at_most
from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ

# The arm has five degrees of freedom. Of position (3) and direction (3) the former goes first, the latter slowly.
ORIENTATION_COST = 0.01
ORIENTATION_RATE = 6.0  # 1/s
MOST_TURN_RAD = 0.3  # of the error: where the arm cannot point down it would otherwise swing between two poses
POSTURE_COST = 1e-4
# Damping on top of J^T J, the square of m per rad: a little everywhere, and ever more where some way of the fingertip
# takes more than a rad for SINGULAR_M. After Maciejewski & Klein, J. Robotic Systems 5, 1988.
LEAST_DAMPING, MOST_DAMPING = 0.01**2, 0.04**2
SINGULAR_M = 0.04
BRAKING_GAIN = 12.0  # 1/s, close to a bound
TICK_S = 1.0 / CONTROL_HZ


@dataclass(frozen=True, kw_only=True)
class JointMotionConfig:
    """Bounds on the command of every joint, besides the robot's own.

    velocity_limit: rad/s; acceleration_limit: rad/s^2; jerk_limit: rad/s^3. lead_rad: how far the command may be ahead
    of the measured position, so that a blocked arm is not pushed ever harder, and one that is held meanwhile can be
    taken over again (below continuity_rad of the supervisor).
    """

    velocity_limit: float = 1.6
    acceleration_limit: float = 8.0
    jerk_limit: float = 400.0
    lead_rad: float = 0.12

    def __post_init__(self) -> None:
        """Refuse bounds that are negative, endless or NaN. Raises ConfigError."""
        most = {"velocity_limit": 100.0, "acceleration_limit": 1000.0, "jerk_limit": 1e5, "lead_rad": 1.0}
        for name, limit in most.items():
            if not 0.0 < getattr(self, name) <= limit:
                raise ConfigError(f"joint motion: got {name} {getattr(self, name)}, expected 0 < {name} <= {limit}")


@dataclass(frozen=True, kw_only=True, eq=False)
class JointMotion:
    """State of a command. q: (n,) rad; dq: (n,) rad/s; ddq: (n,) rad/s^2, that which led to dq."""

    q: FloatArray
    dq: FloatArray
    ddq: FloatArray

    @classmethod
    def at_rest(cls, q: FloatArray) -> Self:
        """Return what stands at `q` (n,) rad."""
        return cls(q=q, dq=np.zeros(len(q)), ddq=np.zeros(len(q)))

    def moved(self, rate: FloatArray, dt: float, lower: FloatArray, upper: FloatArray) -> Self:
        """Return the state after `dt` s at `rate` (n,) rad/s, within lower and upper (n,) rad.

        A joint that starts outside comes in at its own speed.
        """
        q = vector(np.clip(self.q + rate * dt, np.minimum(lower, self.q), np.maximum(upper, self.q)))
        dq = vector((q - self.q) / dt)
        return type(self)(q=q, dq=dq, ddq=(dq - self.dq) / dt)


class DifferentialIk:
    """Turns a velocity of one arm's fingertip into joint velocities within all bounds. Not thread-safe.

    A damped least-squares step as a quadratic program, after Caron's pink and Zakka's mink: the fingertip's velocity
    first, then pointing down with the wrist's roll at rest, then the home pose. The gripper's own joint stays.
    """

    def __init__(self, model: mujoco.MjModel, robot: RobotConfig, config: JointMotionConfig, prefix: str = "") -> None:
        """Use `model`, a compiled model of the arm alone, for the arm whose joints in `robot` start with `prefix`."""
        self._index = np.array([i for i, name in enumerate(robot.joint_names) if name.startswith(prefix)])
        names = [robot.joint_names[i].removeprefix(prefix) for i in self._index]
        self._qpos = np.array([model.joint(name).qposadr[0] for name in names])
        self._moves = np.array([name != "gripper" for name in names])
        self._lower, self._upper = robot.lower[self._index], robot.upper[self._index]
        self._lead = config.lead_rad
        self._velocity = np.minimum(config.velocity_limit, robot.velocity[self._index])
        self._acceleration = np.minimum(config.acceleration_limit, robot.acceleration[self._index])
        # Half of the robot's: a command that joins another one has the step between the two to bear as well.
        self._jerk = np.minimum(config.jerk_limit, robot.jerk[self._index] / 2)
        self._pan_axis = model.body("shoulder").pos[:2].copy()
        self._measured = mink.Configuration(model)
        self._commanded = mink.Configuration(model)
        frame = {"frame_name": "gripperframe", "frame_type": "site"}
        self._position = mink.FrameTask(**frame, position_cost=1.0, orientation_cost=0.0)
        self._direction = mink.FrameTask(
            **frame, position_cost=0.0, orientation_cost=ORIENTATION_COST, gain=ORIENTATION_RATE * TICK_S
        )
        self._posture = mink.PostureTask(model, cost=POSTURE_COST, gain=ORIENTATION_RATE * TICK_S)
        self._posture.set_target(self._in_model(self._commanded, robot.home))
        self._box = Box(model.nv)

    def fingertip(self, q: FloatArray) -> FloatArray:
        """Fingertip at joints `q` (n,) rad in the arm's base frame, (3,) m."""
        self._measured.update(self._in_model(self._measured, q))
        return _tip(self._measured).translation()

    def step(
        self, command: JointMotion, measured: FloatArray, velocity: FloatArray, dt: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return joint velocities (n,) rad/s for the next `dt` s, and the fingertip's that follow from them, (3,) m/s.

        measured: (n,) rad; velocity: (3,) m/s, wanted of the fingertip, base frame. Joints of other arms get 0.
        """
        configuration = self._commanded
        configuration.update(self._in_model(configuration, command.q))
        here = _tip(configuration)
        point = here.translation()
        self._position.set_target(mink.SE3.from_rotation_and_translation(here.rotation(), point + velocity * dt))
        facing = math.atan2(point[1] - self._pan_axis[1], point[0] - self._pan_axis[0])
        down = mink.SO3.from_z_radians(facing) @ mink.SO3.from_y_radians(math.pi)
        turn = at_most(down.minus(here.rotation()), MOST_TURN_RAD)
        self._direction.set_target(mink.SE3.from_rotation_and_translation(here.rotation().plus(turn), point))
        self._box.lower[self._qpos], self._box.upper[self._qpos] = self._bounds(command, measured, dt)
        # The frame's Jacobian has its velocities in the frame's own directions.
        J = here.rotation().as_matrix() @ configuration.get_frame_jacobian("gripperframe", "site")[:3]
        tasks = [self._position, self._direction, self._posture]
        try:
            solution = mink.solve_ik(configuration, tasks, dt, "daqp", damping=damping(J), limits=[self._box])
        except mink.NoSolutionFound:  # never seen: the box holds at least one velocity. To brake is always legal.
            solution = np.zeros_like(self._box.lower)
        solution = np.clip(solution, self._box.lower, self._box.upper)
        rates = np.zeros(len(command.q))
        rates[self._index] = solution[self._qpos]
        return rates, J @ solution

    def resting(self, command: JointMotion, measured: FloatArray, dt: float) -> FloatArray:
        """Return joint velocities (n,) rad/s for the next `dt` s on the way to rest, wherever that is."""
        lower, upper = self._bounds(command, measured, dt)
        rates = np.zeros(len(command.q))
        rates[self._index] = np.clip(command.dq[self._index] * max(0.0, 1.0 - BRAKING_GAIN * dt), lower, upper)
        return rates

    def _bounds(self, command: JointMotion, measured: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
        """Return the least and the greatest velocity of each joint of the arm.

        What jerk and acceleration allow goes before what can be braked in time, so that there is always a velocity.
        """
        at, rate, acceleration = (a[self._index] for a in (command.q, command.dq, command.ddq))
        ahead = at - measured[self._index]
        room_up = np.minimum(self._upper - at, self._lead - ahead)
        room_down = np.minimum(at - self._lower, self._lead + ahead)
        upper = np.minimum(self._velocity, braking(room_up, self._acceleration)) * self._moves
        lower = -np.minimum(self._velocity, braking(room_down, self._acceleration)) * self._moves
        change = self._jerk * dt
        least = rate + np.clip(acceleration - change, -self._acceleration, self._acceleration) * dt
        most = rate + np.clip(acceleration + change, -self._acceleration, self._acceleration) * dt
        return np.clip(lower, least, most), np.clip(upper, least, most)

    def _in_model(self, configuration: mink.Configuration, q: FloatArray) -> FloatArray:
        qpos = configuration.q.copy()
        qpos[self._qpos] = np.clip(q[self._index], self._lower, self._upper)
        return qpos


class Box(mink.Limit):
    """Bounds on the velocity of every degree of freedom of a model, set anew for each step."""

    def __init__(self, nv: int) -> None:
        """lower, upper: (nv,) rad/s, to be filled by whoever asks."""
        self.lower, self.upper = np.zeros(nv), np.zeros(nv)
        self._G = np.vstack([np.eye(nv), -np.eye(nv)])

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:  # noqa: ARG002
        """Return G and h of G dq <= h."""
        return mink.Constraint(G=self._G, h=np.concatenate([self.upper, -self.lower]) * dt)


def braking(room: FloatArray, acceleration: FloatArray) -> FloatArray:
    """Return the greatest speed, (n,) rad/s, that comes to rest within `room` (n,) rad; 0 where there is none.

    It brakes with half of `acceleration`, so that there is time to begin, and for the tail, a decay with BRAKING_GAIN.
    """
    room = np.maximum(room, 0.0)
    return np.minimum(np.sqrt(acceleration * room), BRAKING_GAIN * room)


def damping(J: FloatArray) -> float:
    """Return how much to damp a step with the Jacobian `J` (3, nv) m/rad."""
    smallest = float(np.linalg.svd(J, compute_uv=False)[-1])
    near = max(0.0, 1.0 - smallest / SINGULAR_M)
    return LEAST_DAMPING + near**2 * MOST_DAMPING


def _tip(configuration: mink.Configuration) -> mink.SE3:
    return configuration.get_transform_frame_to_world("gripperframe", "site")
