"""Simulated servos in the arms of the simulator: how they are mounted, goals in, positions and loads out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.servo import Mounting, SimServo
from so_arm_policy.sim.simulator import Simulator

NO_FORCE_NM = 1e-6  # MuJoCo wants a range


@dataclass(frozen=True)
class SimJoint:
    """A servo in its joint, and what LeRobot's calibration of this arm has left in it, ticks."""

    encoder_zero: float
    homing_offset: int
    range_min: int
    range_max: int


# An arm as somebody may have put it together: encoders anywhere (one jumps within its range before it is homed), each
# moved from stop to stop when it was calibrated. config/calibration/simulated.json is the file of that calibration.
SO101: Mapping[str, SimJoint] = {
    "shoulder_pan": SimJoint(3500.5, 1453, 796, 3299),
    "shoulder_lift": SimJoint(850.5, -1197, 910, 3185),
    "elbow_flex": SimJoint(1061.5, -986, 946, 3149),
    "wrist_flex": SimJoint(351.5, -1696, 967, 3128),
    "wrist_roll": SimJoint(2422.5, 375, 259, 3836),
    "gripper": SimJoint(4042.8, 1871, 2058, 3310),
}


def sim_servos(robot: RobotConfig, arm: int, *, calibrated: bool = True) -> list[SimServo]:
    """Return the servos of arm number `arm`, ids from 1 on. Raises ConfigError for joints that no SO-101 has."""
    prefix = robot.arms[arm].prefix
    names = [j.name.removeprefix(prefix) for j in robot.joints if j.name.startswith(prefix)]
    unknown = [name for name in names if name not in SO101]
    if unknown:
        raise ConfigError(f"simulated servos: got joints {unknown}, expected those of an SO-101: {list(SO101)}")
    servos = []
    for number, name in enumerate(names, 1):
        joint = SO101[name]
        servo = SimServo(number, Mounting(encoder_zero=joint.encoder_zero))
        if calibrated:
            sign = 0x800 if joint.homing_offset < 0 else 0
            servo.write(55, b"\0")
            servo.write(31, (abs(joint.homing_offset) | sign).to_bytes(2, "little"))
            servo.write(9, joint.range_min.to_bytes(2, "little") + joint.range_max.to_bytes(2, "little"))
            if name == "gripper":  # half of torque and current, as LeRobot sets it
                servo.write(16, (500).to_bytes(2, "little"))
                servo.write(28, (250).to_bytes(2, "little"))
            servo.write(55, b"\1")
        servos.append(servo)
    return servos


class ServoedArms:
    """One bus for each arm of a simulator."""

    def __init__(self, simulator: Simulator, *, calibrated: bool = True) -> None:
        """simulator: whose joints the servos move."""
        self._simulator, robot = simulator, simulator.robot
        self.buses = tuple(SimBus(sim_servos(robot, i, calibrated=calibrated)) for i in range(len(robot.arms)))
        self._servos: Sequence[SimServo] = [servo for bus in self.buses for servo in bus.servos]
        self._actuators = [simulator.model.actuator(name).id for name in robot.joint_names]
        self._full_nm = simulator.model.actuator_forcerange[self._actuators, 1].copy()
        self.sense(0.0)

    def command(self) -> FloatArray:
        """Return the goals, (n,) rad, and give each motor the torque that its servo has. Call it before a step."""
        self._lock()
        try:
            share = np.array([servo.torque_share for servo in self._servos])
            goals = np.array([servo.goal_q for servo in self._servos])
        finally:
            self._unlock()
        force = np.maximum(share * self._full_nm, NO_FORCE_NM)
        self._simulator.model.actuator_forcerange[self._actuators] = np.stack([-force, force], axis=1)
        return np.where(share > 0.0, goals, self._simulator.q)

    def sense(self, dt_s: float = 1.0 / CONTROL_HZ) -> None:
        """Let the servos notice what the physics did. Call it after a step."""
        load = self._simulator.torque / self._full_nm
        rows = np.stack([self._simulator.q, self._simulator.dq, load], axis=1).tolist()
        self._lock()
        try:
            for servo, (q, dq, share) in zip(self._servos, rows, strict=True):
                servo.sense(q, dq, share, dt_s)
        finally:
            self._unlock()

    def step(self) -> None:
        """Step the physics by one control tick."""
        self._simulator.step(self.command())
        self.sense()

    def _lock(self) -> None:
        for bus in self.buses:
            bus.lock.acquire()

    def _unlock(self) -> None:
        for bus in self.buses:
            bus.lock.release()
