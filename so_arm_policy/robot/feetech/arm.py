"""One arm on its bus: asks, answers, goals, torque; and for how long each servo has been silent."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.robot.feetech import registers as reg
from so_arm_policy.robot.feetech.bus import PATIENCE_S, ServoBus, SilentServo
from so_arm_policy.robot.feetech.calibration import ArmCalibration
from so_arm_policy.robot.feetech.reading import BLOCK_LENGTH, BLOCK_START, ArmReading, read_block
from so_arm_policy.robot.feetech.registers import RAD_PER_TICK
from so_arm_policy.robot.feetech.settings import ServoSettings, check_arm, prepare_arm


@dataclass(frozen=True, kw_only=True)
class ArmPort:
    """Where one arm is plugged in, and its calibration."""

    device: str
    calibration: ArmCalibration


class ServoArm:
    """Follows goals in radians. missed: how often in a row each servo was not heard, (n,). clamped: goals kept in."""

    def __init__(self, port: ArmPort, settings: ServoSettings, patience_s: float = PATIENCE_S) -> None:
        """Open the port and check that this is the arm. Raises DeviceError, ConfigError."""
        self.calibration = port.calibration
        self.missed = np.zeros(len(port.calibration.ids), dtype=np.int64)
        self.torque: BoolArray = np.zeros(len(self.missed), dtype=bool)
        self.clamped = 0
        self.bus = ServoBus(port.device, self.calibration.ids, patience_s=patience_s)
        try:
            check_arm(self.bus, self.calibration)
            self.warnings = prepare_arm(self.bus, self.calibration, settings)
            self.look_at_torque()
        except BaseException:
            self.bus.close()
            raise

    def ask(self) -> None:
        """Ask for the state. Raises DeviceError."""
        self.bus.request(BLOCK_START, BLOCK_LENGTH)

    def hear(self) -> ArmReading:
        """Take the answers to `ask`. Raises DeviceError."""
        reading = read_block(self.bus.collect(), self.calibration)
        self.missed = np.where(reading.error >= 0, 0, self.missed + 1)
        return reading

    def go(self, q: FloatArray, only: BoolArray | None = None) -> None:
        """Set goals (n,) rad, of all servos or those of `only`. Raises DeviceError, InputError."""
        ticks, kept = self.calibration.ticks(np.nan_to_num(q) if only is not None else q)
        chosen = np.ones(len(q), dtype=bool) if only is None else only & np.isfinite(q)
        goals = {i: int(t) for i, t, yes in zip(self.calibration.ids, ticks, chosen, strict=True) if yes}
        # Half a tick at the end of the range is rounding.
        self.clamped += int((kept & (np.abs(self.calibration.radians(ticks.tolist()) - q) > RAD_PER_TICK)).any())
        if goals:
            self.bus.sync_write(reg.GOAL_POSITION, goals)

    def hold_here(self) -> None:
        """Give torque where the arm is: each goal becomes the present position first. Raises DeviceError, InputError.

        A joint beyond the jump of its encoder would turn all the way round to come back: it is refused.
        """
        ticks = [self.bus.read(servo, reg.PRESENT_POSITION) for servo in self.calibration.ids]
        beyond = self.calibration.beyond_jump(ticks)
        if beyond.any():
            names = [j.name for j, is_beyond in zip(self.calibration.joints, beyond, strict=True) if is_beyond]
            raise InputError(f"{self.bus.device}: got {names} beyond 0..4095 ticks, expected them moved back by hand")
        goals, _ = self.calibration.ticks(self.calibration.radians(ticks))
        for servo, goal in zip(self.calibration.ids, goals.tolist(), strict=True):
            self.bus.write(servo, reg.GOAL_POSITION, goal)
        self._write_torque(1)

    def let_go(self) -> None:
        """Take the torque away. Raises DeviceError."""
        self._write_torque(0)

    def look_at_torque(self) -> None:
        """Ask each servo whether it has torque; one that is not heard keeps what it said. Raises DeviceError."""
        self.bus.request(reg.TORQUE_ENABLE.address, reg.TORQUE_ENABLE.size)
        said = self.bus.collect()
        before = zip(self.calibration.ids, self.torque.tolist(), strict=True)
        self.torque = np.array([said[i].data[0] == 1 if i in said else was for i, was in before])

    def _write_torque(self, value: int) -> None:
        silent = []
        for i, servo in enumerate(self.calibration.ids):
            try:
                self.bus.write(servo, reg.TORQUE_ENABLE, value)
                self.torque[i] = value == 1
            except SilentServo as error:
                silent.append(str(error))  # the others are told all the same
        if silent:
            raise SilentServo("; ".join(silent))

    def close(self) -> None:
        """Close the port."""
        self.bus.close()
