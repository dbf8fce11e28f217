"""The embedded simulator: one object that steps in lockstep, without ROS, the same for the same seed."""

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.objects import HALF_SIZES, surface_distance
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import MotorSample
from so_arm_policy.sim.model import SUBSTEPS, SceneIds, apply_scene, build_model
from so_arm_policy.sim.motion import Motion
from so_arm_policy.sim.scene import Scene

_MOTORS = 1  # bit of the actuators' group 0 in mjOption.disableactuator


class Simulator:
    """SO-101 arms and a table in MuJoCo. Position servos follow the last command; without one they hold."""

    def __init__(self, robot: RobotConfig, scene: Scene) -> None:
        """Compile the model (about a second) and stand at home in `scene`."""
        self.robot = robot
        self.model = build_model(robot)
        self.data = mujoco.MjData(self.model)
        self._ids = SceneIds.of(self.model)
        joints = [self.model.joint(name) for name in robot.joint_names]
        self._qpos = np.array([j.qposadr[0] for j in joints])
        self._qvel = np.array([j.dofadr[0] for j in joints])
        self._ctrl = np.array([self.model.actuator(name).id for name in robot.joint_names])
        self._full_nm = self.model.actuator_forcerange[self._ctrl, 1].copy()
        self._tips = [self.model.site(f"{arm.prefix}gripperframe").id for arm in robot.arms]
        self.scene = scene
        self.ticks = 0
        self.reset(scene)

    def reset(self, scene: Scene, q: FloatArray | None = None) -> None:
        """Start anew in `scene`, at rest, with the joints at `q` (n,) rad, by default home. Raises ShapeError."""
        pose = self.robot.home if q is None else self._checked(q)
        self.scene = scene
        self.ticks = 0
        self.limp = False
        mujoco.mj_resetData(self.model, self.data)
        apply_scene(self.model, self.data, scene)
        self.data.qpos[self._qpos] = pose
        self.data.ctrl[self._ctrl] = pose
        mujoco.mj_forward(self.model, self.data)

    def step(self, command: FloatArray | None = None) -> None:
        """Advance one control tick towards `command` (n,) rad, or towards the last one. Raises ShapeError."""
        if command is not None:
            self.data.ctrl[self._ctrl] = self._checked(command)
        if self.scene.motion is not None:
            self._drive(self.scene.motion)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self.ticks += 1

    def _checked(self, q: FloatArray) -> FloatArray:
        if np.shape(q) != (len(self._qpos),) or not np.isfinite(q).all():
            raise ShapeError(f"joint positions: got {q}, expected {len(self._qpos)} finite numbers")
        return q

    @property
    def time_ns(self) -> int:
        """Simulated time since the reset."""
        return self.ticks * NS // CONTROL_HZ

    @property
    def q(self) -> FloatArray:
        """Measured joint positions, (n,) rad."""
        return self.data.qpos[self._qpos]

    @property
    def dq(self) -> FloatArray:
        """Measured joint velocities, (n,) rad/s."""
        return self.data.qvel[self._qvel]

    @property
    def torque(self) -> FloatArray:
        """What the motors exert at the joints, (n,) N m, signed as the joints turn."""
        return self.data.actuator_force[self._ctrl]

    def motors(self, stamp_ns: int, received_ns: int) -> MotorSample:
        """Return what the motors report: load and torque. There is no heat and no supply here."""
        unknown = np.full(len(self._ctrl), np.nan)
        return MotorSample(
            stamp_ns=stamp_ns,
            received_ns=received_ns,
            load=self.torque / self._full_nm,
            temperature_c=unknown,
            voltage_v=unknown,
            torque_on=np.full(len(self._ctrl), not self.limp),
        )

    @property
    def limp(self) -> bool:
        """Whether the motors are without torque; the arm falls then, as far as its friction lets it."""
        return bool(self.model.opt.disableactuator & _MOTORS)

    @limp.setter
    def limp(self, limp: bool) -> None:
        self.model.opt.disableactuator = _MOTORS if limp else 0

    @property
    def qpos(self) -> FloatArray:
        """State of the whole model, enough to draw it: (nq,)."""
        return self.data.qpos.copy()

    def fingertip(self, arm: int = 0) -> FloatArray:
        """Point between the tips of the jaws of arm number `arm`, world frame, (3,) m."""
        return self.data.site_xpos[self._tips[arm]].copy()

    def object_position(self, index: int) -> FloatArray:
        """Centre of object `index`, world frame, (3,) m."""
        at = self._ids.qpos[index]
        return self.data.qpos[at : at + 3].copy()

    def object_rotation(self, index: int) -> FloatArray:
        """Rotation R_world_object of object `index`, (3, 3)."""
        at = self._ids.qpos[index]
        R_world_object = np.zeros(9)
        mujoco.mju_quat2Mat(R_world_object, self.data.qpos[at + 3 : at + 7])
        return R_world_object.reshape(3, 3)

    def half_height(self, index: int) -> float:
        """Half of the vertical extent of object `index` as it stands or lies now, m; for a can that of its box."""
        return float(np.abs(self.object_rotation(index)[2]) @ HALF_SIZES[self.scene.objects[index].kind])

    def object_speed(self, index: int) -> float:
        """How fast the centre of object `index` moves, m/s."""
        at = self._ids.qvel[index]
        return float(np.linalg.norm(self.data.qvel[at : at + 3]))

    def surface_distance(self, index: int, point: FloatArray) -> float:
        """Distance from `point` (3,) m, world frame, to the surface of object `index`, m; 0 inside."""
        local = self.object_rotation(index).T @ (point - self.object_position(index))
        return surface_distance(self.scene.objects[index].kind, local)

    def _drive(self, motion: Motion) -> None:
        """Put the moving object where its path is now, whatever has happened to it, at the path's velocity."""
        place, velocity = motion.at(self.ticks / CONTROL_HZ)
        thing = self.scene.objects[motion.object]
        at, v = self._ids.qpos[motion.object], self._ids.qvel[motion.object]
        self.data.qpos[at : at + 3] = (*place, HALF_SIZES[thing.kind][2])
        self.data.qpos[at + 3 : at + 7] = (np.cos(thing.yaw / 2), 0, 0, np.sin(thing.yaw / 2))
        self.data.qvel[v : v + 6] = (*velocity, 0, 0, 0, 0)
