"""What one packet from each servo says, in units of the robot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray, IntArray
from so_arm_policy.robot.feetech import registers as reg
from so_arm_policy.robot.feetech.bus import Answer
from so_arm_policy.robot.feetech.calibration import LAST_TICK, ArmCalibration
from so_arm_policy.robot.feetech.registers import PRESENT, Register

BLOCK_START = PRESENT[0].address
BLOCK_LENGTH = PRESENT[-1].address + PRESENT[-1].size - BLOCK_START


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmReading:
    """One arm at one time, in the order of its joints, (n,) each; NaN, and -1 as error, for a servo that was not heard.

    q: rad; dq: rad/s; load: share of full torque, signed as the joints turn; voltage_v: V; temperature_c: degrees
    Celsius; current_a: A; error: the servos' error bytes.
    """

    q: FloatArray
    dq: FloatArray
    load: FloatArray
    voltage_v: FloatArray
    temperature_c: FloatArray
    current_a: FloatArray
    error: IntArray

    @property
    def heard(self) -> bool:
        """Whether every servo was."""
        return bool((self.error >= 0).all())


def read_block(answers: Mapping[int, Answer], calibration: ArmCalibration) -> ArmReading:
    """Decode the answers to a request of the block PRESENT. A position that no servo has counts as not heard."""
    rows = [_numbers(answers.get(servo)) for servo in calibration.ids]
    heard = np.array([row is not None for row in rows])
    numbers = np.array([row if row is not None else [0.0] * (len(PRESENT) + 1) for row in rows], dtype=np.float64)
    column = dict(zip(PRESENT, numbers.T, strict=False))

    def told(values: FloatArray) -> FloatArray:
        return np.where(heard, values, np.nan)

    return ArmReading(
        q=told(calibration.radians(_ints(column[reg.PRESENT_POSITION]))),
        dq=told(calibration.speed(_ints(column[reg.PRESENT_VELOCITY]))),
        load=told(calibration.signed(column[reg.PRESENT_LOAD].tolist()) * reg.LOAD_UNIT),
        voltage_v=told(column[reg.PRESENT_VOLTAGE] * reg.VOLTAGE_UNIT_V),
        temperature_c=told(column[reg.PRESENT_TEMPERATURE]),
        current_a=told(np.abs(column[reg.PRESENT_CURRENT]) * reg.CURRENT_UNIT_A),
        error=np.where(heard, numbers[:, -1], -1).astype(np.int64),
    )


def _numbers(answer: Answer | None) -> list[float] | None:
    """Return the registers of PRESENT and the error byte, None for an answer that cannot be true."""
    if answer is None:
        return None
    values = {register: _decode(answer.data, register) for register in PRESENT}
    if abs(values[reg.PRESENT_POSITION]) > LAST_TICK:
        return None
    return [*values.values(), answer.error | values[reg.STATUS]]


def _decode(data: bytes, register: Register) -> int:
    return register.decode(data[register.address - BLOCK_START :])


def _ints(values: FloatArray) -> Sequence[int]:
    return [int(v) for v in values]
