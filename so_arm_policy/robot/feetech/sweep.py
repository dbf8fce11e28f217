"""Making a calibration: a person moves each joint from stop to stop, and the file is what lies between.

The range is known before the homing offset is chosen, so the jump from 4095 to 0 always comes to lie outside of it.
LeRobot chooses the offset first, where the person began, and such arms can jump within their range
(https://github.com/huggingface/lerobot/issues/3587); files and servos are the same otherwise.
"""

from collections.abc import Sequence

import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import JointConfig
from so_arm_policy.robot.feetech import registers as reg
from so_arm_policy.robot.feetech.bus import ServoBus
from so_arm_policy.robot.feetech.calibration import LAST_TICK, ArmCalibration, ServoCalibration
from so_arm_policy.robot.feetech.registers import HOMING_OFFSET, TICKS_PER_TURN

HALF = TICKS_PER_TURN // 2


class Sweep:
    """Keeps the furthest ticks of each joint. low, high, now: (n,) encoder ticks, counted on across 4095 and 0."""

    def __init__(self, bus: ServoBus, joints: Sequence[JointConfig]) -> None:
        """Take the torque, so that the arm can be moved; it falls. Raises DeviceError."""
        self._bus, self._joints = bus, tuple(joints)
        for servo in bus.ids:
            bus.write(servo, reg.TORQUE_ENABLE, 0)
        offsets = [bus.read(servo, HOMING_OFFSET) for servo in bus.ids]
        self._offsets = np.array(offsets)
        self.now = np.array([bus.read(servo, reg.PRESENT_POSITION) for servo in bus.ids]) + self._offsets
        self.low, self.high = self.now.copy(), self.now.copy()

    def look(self) -> None:
        """Take note of where the joints are; some dozen times a second. Raises DeviceError."""
        self._bus.request(reg.PRESENT_POSITION.address, reg.PRESENT_POSITION.size)
        for servo, answer in self._bus.collect().items():
            i = self._bus.ids.index(servo)
            ticks = reg.PRESENT_POSITION.decode(answer.data) + self._offsets[i]
            self.now[i] += (ticks - self.now[i] + HALF) % TICKS_PER_TURN - HALF
        self.low, self.high = np.minimum(self.low, self.now), np.maximum(self.high, self.now)

    def calibration(self, source: str) -> ArmCalibration:
        """Return what was found. Raises ConfigError for a joint that was not moved from stop to stop."""
        servos = [self._servo(i) for i in range(len(self._joints))]
        return ArmCalibration(joints=self._joints, servos=tuple(servos), source=source)

    def _servo(self, i: int) -> ServoCalibration:
        span, name = int(self.high[i] - self.low[i]), self._joints[i].name
        if span == 0:
            raise InputError(f"joint {name!r}: got no motion, expected it moved from stop to stop")
        if span > LAST_TICK:
            raise InputError(f"joint {name!r}: got more than a whole turn, expected it moved from stop to stop")
        middle = int(np.floor((self.low[i] + self.high[i] + 1) / 2))
        # The middle becomes 2048. An offset of -2048 does not fit its register.
        offset = max(middle % TICKS_PER_TURN - HALF, -HOMING_OFFSET.largest)
        first = int((self.low[i] - offset) % TICKS_PER_TURN)
        return ServoCalibration(
            id=self._bus.ids[i], drive_mode=0, homing_offset=int(offset), range_min=first, range_max=first + span
        )


def write_calibration(bus: ServoBus, calibration: ArmCalibration) -> None:
    """Leave the calibration in the servos' EEPROM, as LeRobot does. Raises DeviceError."""
    for servo in calibration.servos:
        values = {
            HOMING_OFFSET: servo.homing_offset,
            reg.MIN_POSITION: servo.range_min,
            reg.MAX_POSITION: servo.range_max,
        }
        bus.write_eeprom(servo.id, values)
