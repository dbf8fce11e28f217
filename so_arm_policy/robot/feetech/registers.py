"""The registers of an STS3215 that are used here: addresses, sizes, signs and units.

After Feetech's memory table of the STS series and LeRobot's motors/feetech/tables.py, which agree. Numbers are
little-endian; signed ones are a magnitude and a sign bit, not two's complement.
"""

import math
from dataclasses import dataclass

from so_arm_policy.core.errors import InputError

MODEL_STS3215 = 777
TICKS_PER_TURN = 4096
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN
LOAD_UNIT = 0.001  # share of full torque
VOLTAGE_UNIT_V = 0.1
CURRENT_UNIT_A = 0.0065
EEPROM_END = 40  # first address that is lost without power


@dataclass(frozen=True)
class Register:
    """One number in a servo's memory. sign_bit: number of the bit that makes it negative, None for one without sign."""

    name: str
    address: int
    size: int = 1
    sign_bit: int | None = None

    @property
    def eeprom(self) -> bool:
        """Whether a written value stays when the power goes."""
        return self.address < EEPROM_END

    @property
    def largest(self) -> int:
        """The largest magnitude."""
        return (1 << (8 * self.size if self.sign_bit is None else self.sign_bit)) - 1

    def decode(self, data: bytes) -> int:
        """Return the number in `data`, of this register's size. Bits above the sign are ignored, as by the servo."""
        value = int.from_bytes(data[: self.size], "little")
        if self.sign_bit is None:
            return value
        magnitude = value & self.largest
        return -magnitude if value >> self.sign_bit & 1 else magnitude

    def encode(self, value: int) -> bytes:
        """Return `value` as bytes. Raises InputError for one that does not fit."""
        least = 0 if self.sign_bit is None else -self.largest
        if not least <= value <= self.largest:
            raise InputError(f"register {self.name}: got {value}, expected {least}..{self.largest}")
        if value < 0:
            assert self.sign_bit is not None
            value = -value | 1 << self.sign_bit
        return value.to_bytes(self.size, "little")


MODEL = Register("model_number", 3, 2)
ID = Register("id", 5)
RETURN_DELAY = Register("return_delay", 7)  # 2 us
RESPONSE_LEVEL = Register("response_status_level", 8)
MIN_POSITION = Register("min_position_limit", 9, 2, 15)
MAX_POSITION = Register("max_position_limit", 11, 2, 15)
MAX_TEMPERATURE = Register("max_temperature_limit", 13)  # degrees Celsius
MAX_VOLTAGE = Register("max_voltage_limit", 14)  # 0.1 V
MIN_VOLTAGE = Register("min_voltage_limit", 15)  # 0.1 V
MAX_TORQUE = Register("max_torque_limit", 16, 2)  # 0.1 %
PHASE = Register("phase", 18)
UNLOADING = Register("unloading_condition", 19)  # bits of the error byte that take the torque away
P_GAIN = Register("p_coefficient", 21)
D_GAIN = Register("d_coefficient", 22)
I_GAIN = Register("i_coefficient", 23)
PROTECTION_CURRENT = Register("protection_current", 28, 2)  # 6.5 mA
HOMING_OFFSET = Register("homing_offset", 31, 2, 11)
OPERATING_MODE = Register("operating_mode", 33)  # 0: position
PROTECTIVE_TORQUE = Register("protective_torque", 34)  # %, what is left after an overload
PROTECTION_TIME = Register("protection_time", 35)  # 10 ms
OVERLOAD_TORQUE = Register("overload_torque", 36)  # %, what counts as overload
TORQUE_ENABLE = Register("torque_enable", 40)  # 0, 1; 128 would make this position the middle: never written here
ACCELERATION = Register("acceleration", 41)
GOAL_POSITION = Register("goal_position", 42, 2, 15)
GOAL_VELOCITY = Register("goal_velocity", 46, 2, 15)
TORQUE_LIMIT = Register("torque_limit", 48, 2)  # 0.1 %
LOCK = Register("lock", 55)  # 0: what is written to the EEPROM stays
PRESENT_POSITION = Register("present_position", 56, 2, 15)
PRESENT_VELOCITY = Register("present_velocity", 58, 2, 15)  # ticks/s
PRESENT_LOAD = Register("present_load", 60, 2, 10)
PRESENT_VOLTAGE = Register("present_voltage", 62)
PRESENT_TEMPERATURE = Register("present_temperature", 63)
STATUS = Register("status", 65)  # the same bits as the error byte
PRESENT_CURRENT = Register("present_current", 69, 2, 15)

# What is read on every tick is one block, so that one packet from each servo brings all of it.
PRESENT = (
    PRESENT_POSITION,
    PRESENT_VELOCITY,
    PRESENT_LOAD,
    PRESENT_VOLTAGE,
    PRESENT_TEMPERATURE,
    STATUS,
    PRESENT_CURRENT,
)
