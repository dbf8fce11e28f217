"""Arms of Feetech servos as a robot on the ROS graph."""

import sys
import time
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.robot.feetech.bus import PATIENCE_S
from so_arm_policy.robot.feetech.driver import DriverReading, DriverSettings
from so_arm_policy.robot.feetech.plugged import arm_ports, open_driver
from so_arm_policy.robot.feetech.settings import ServoSettings
from so_arm_policy.ros import convert, signals, topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.robot_node import RobotNode, RobotNodeConfig
from so_arm_policy.ros.run import run_node

MOTOR_TICKS = CONTROL_HZ // 20  # motor_states at 20 Hz


@dataclass(frozen=True, kw_only=True)
class FeetechConfig(RobotNodeConfig):
    """Parameters of the driver node."""

    port: str = parameter("/dev/ttyACM0", "serial port of each arm, in the order of the robot's, joined by commas")
    calibration: str = parameter("", "LeRobot's calibration JSON of each arm, joined by commas")
    wait_s: float = parameter(0.0, "how long to wait at the start for ports and servos", low=0.0, high=600.0)
    limp_after_s: float = parameter(
        0.0, "silence of joint_command that makes the arm limp; 0: never", low=0.0, high=600
    )
    lost_in_a_row: int = parameter(6, "packets of a servo lost in a row that stop the arm", low=2, high=CONTROL_HZ)
    patience_s: float = parameter(PATIENCE_S, "longest wait for an answer, beyond the wire's time", low=1e-3, high=5.0)
    torque_limit: float = parameter(1.0, "share of full torque", low=0.01, high=1.0)
    gripper_torque_limit: float = parameter(0.5, "share of full torque, of the gripper", low=0.01, high=1.0)
    write_eeprom: bool = parameter(False, "write protective settings that are wrong into the servos, for good")


class FeetechNode(RobotNode[FeetechConfig]):
    """Goals to the servo bus, joint_states and motor_states from it; a fault stops the goals."""

    def __init__(self) -> None:
        """Raises ConfigError, DeviceError."""
        super().__init__("feetech", FeetechConfig)
        config = self.config
        ports = arm_ports(self.robot, config.port, config.calibration)
        servos = ServoSettings(
            torque_limit=config.torque_limit,
            gripper_torque_limit=config.gripper_torque_limit,
            write_eeprom=config.write_eeprom,
        )
        settings = DriverSettings(servos=servos, patience_s=config.patience_s, lost_in_a_row=config.lost_in_a_row)
        ended = signals.told_to_end.is_set
        self._driver = open_driver(self.robot, ports, settings, wait_s=config.wait_s, ended=ended)
        for warning in self._driver.warnings:
            self.get_logger().warning(warning)
        self._motor_states = self.speak(topics.MOTOR_STATES)
        self._reading: DriverReading | None = None

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray] | None:
        """Send the goals and read the state."""
        self._let_go_when_silent()
        self._reading = reading = self._driver.step(command, time.monotonic_ns(), self.robot_time_ns())
        for fault in self._driver.faults:
            self.report(fault.code, fault.text)
        if reading.q is None or reading.dq is None:
            return None
        return reading.q, reading.dq

    def set_limp(self, limp: bool) -> None:
        """Take the torque, or give it back."""
        self._driver.set_limp(limp)

    def publish_more(self, now_ns: int) -> None:
        """Publish what the motors say of themselves."""
        motors = None if self._reading is None else self._reading.motors
        if motors is not None and self.steps % MOTOR_TICKS == 0:
            self._motor_states.publish(convert.motor_states_msg(self.robot, motors))

    def facts(self) -> dict[str, object]:
        """Return packets, and what stops the arm."""
        driver, reading = self._driver, self._reading
        halted = driver.halted
        currents_a = None if reading is None else reading.current_a
        current_a = float("nan") if currents_a is None else float(np.nansum(currents_a))
        facts = {f"bus_{name}": count for name, count in driver.packets.items()}
        return {
            **super().facts(),
            **facts,
            "current_a": current_a,
            "halted": "" if halted is None else halted.code,
            "faults": " ".join(sorted({fault.code for fault in driver.faults})),
        }

    def stop(self) -> None:
        """End the ticks; the servos hold on."""
        super().stop()
        self._driver.close()

    def _let_go_when_silent(self) -> None:
        limit_s, commanded_ns = self.config.limp_after_s, self._commanded_ns
        if limit_s <= 0.0 or self._limp or commanded_ns is None:
            return
        if time.monotonic_ns() - commanded_ns > limit_s * NS:
            self._limp = True  # the next command gives the torque back, where the arm is
            self._driver.set_limp(True)


def main() -> int:
    """Run the node."""
    return run_node(FeetechNode)


if __name__ == "__main__":
    sys.exit(main())
