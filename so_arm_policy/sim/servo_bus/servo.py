"""One simulated STS3215: its memory, what it senses, what protects it. After Feetech's memory table of the series."""

import math
from dataclasses import dataclass

TURN = 4096
MEMORY = 128
EEPROM_END = 40
READ_ONLY = (range(0, 5), range(56, 71))
LOST_HOMING = 128  # written to register 40: this position becomes 2048
VOLTAGE, ENCODER, HEAT, CURRENT, OVERLOAD = 1, 2, 4, 8, 32
FULL_CURRENT_A, CURRENT_UNIT_A = 2.7, 0.0065
IDLE = 0.15  # share of full torque with which nothing is pressed
LOAD_ONE, MAGNITUDE_15 = 1000, 0x7FFF

# Address -> bytes of a new servo, as Feetech delivers it and LeRobot's setup leaves it.
DEFAULTS = {
    0: bytes([3, 10]),
    3: (777).to_bytes(2, "little"),
    8: bytes([1]),
    11: (TURN - 1).to_bytes(2, "little"),
    13: bytes([70, 80, 40]),  # hottest, highest and lowest voltage
    16: (1000).to_bytes(2, "little"),
    18: bytes([12, 44, 47]),  # phase, unloading, LED
    21: bytes([16, 32, 0]),
    28: (500).to_bytes(2, "little"),
    33: bytes([0, 20, 200, 80]),  # mode, protective torque, time, overload
    48: (1000).to_bytes(2, "little"),
    55: bytes([1]),
}


@dataclass(frozen=True, kw_only=True)
class Mounting:
    """How a servo sits in the arm. encoder_zero: its encoder where the joint is at 0 rad; way: +1 or -1."""

    encoder_zero: float
    way: int = 1


class SimServo:
    """Its goal is a joint angle for the physics; what the physics did comes back by `sense`."""

    def __init__(self, servo: int, mounting: Mounting) -> None:
        """servo: its id."""
        self.memory = bytearray(MEMORY)
        for address, data in DEFAULTS.items():
            self.memory[address : address + len(data)] = data
        self.memory[5] = servo
        self.mounting = mounting
        self.encoder = 0
        self._q = 0.0
        self.hot_c: float | None = None  # what it measures besides its physics, for faults
        self.supply_v = 7.4
        self.encoder_fails = False
        self.overload_forced = False
        self.homings_lost = 0
        self._pressing_s = 0.0
        self._overloaded = False
        self._kept = bytes(self.memory[:EEPROM_END])
        self._later: tuple[int, bytes] | None = None

    @property
    def id(self) -> int:
        """Its number on the bus."""
        return self.memory[5]

    @property
    def error(self) -> int:
        """Its error byte."""
        low, high = self.memory[15] / 10.0, self.memory[14] / 10.0
        bits = 0 if low <= self.supply_v <= high else VOLTAGE
        bits |= ENCODER if self.encoder_fails else 0
        bits |= HEAT if self.memory[63] > self.memory[13] else 0
        return bits | (OVERLOAD if self._overloaded else 0)

    @property
    def torque_share(self) -> float:
        """How much of its torque it may use, 0..1."""
        if self.memory[40] != 1 or self.error & self.memory[19] & HEAT:
            return 0.0
        limit = self._word(48) / LOAD_ONE
        return min(limit, self.memory[34] / 100.0) if self._overloaded else limit

    @property
    def goal_q(self) -> float:
        """Where it goes, rad: as far as its goal, kept within its position limits, is from its position in ticks.

        It knows no short way across the jump between 4095 and 0.
        """
        low, high = self._word(9), self._word(11)
        goal = self._signed(42, 15)
        goal = min(max(goal, low), high) if low < high else goal
        return self._q + self.mounting.way * (goal - self._position) * 2 * math.pi / TURN

    @property
    def _position(self) -> float:
        """Its position in ticks, before it is rounded."""
        encoder = self.mounting.encoder_zero + self.mounting.way * self._q * TURN / (2 * math.pi)
        return (encoder - self._signed(31, 11)) % TURN

    def sense(self, q: float, dq: float, load: float, dt_s: float) -> None:
        """Take in what the physics did. q: rad; dq: rad/s; load: share of full torque, -1..1."""
        self._q, way = q, self.mounting.way
        self.encoder = round(self._position + self._signed(31, 11)) % TURN
        self._put(56, round(self._position) % TURN, 2)
        speed = round(way * dq * TURN / (2 * math.pi))
        self._put(58, min(abs(speed), MAGNITUDE_15) | (0x8000 if speed < 0 else 0), 2)
        size = min(round(abs(load) * LOAD_ONE), LOAD_ONE)
        self._put(60, size | (0x400 if way * load < 0 else 0), 2)
        self.memory[62] = round(self.supply_v * 10)
        self.memory[63] = round(35.0 if self.hot_c is None else self.hot_c)
        self._put(69, round(abs(load) * FULL_CURRENT_A / CURRENT_UNIT_A), 2)
        self._protect(abs(load), dt_s)
        self.memory[65] = self.error

    def read(self, address: int, length: int) -> bytes:
        """Return its memory."""
        return bytes(self.memory[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Write what can be written. The EEPROM keeps it only while the lock is open."""
        if address == 40 and data[:1] == bytes([LOST_HOMING]):
            self._home_here()
            data = bytes([self.memory[40]]) + data[1:]
        for place, value in enumerate(data, address):
            if place < MEMORY and not any(place in forbidden for forbidden in READ_ONLY):
                self.memory[place] = value
        if self.memory[55] == 0:
            self._kept = bytes(self.memory[:EEPROM_END])

    def write_later(self, address: int, data: bytes) -> None:
        """Keep a write for `act`."""
        self._later = (address, data)

    def act(self) -> None:
        """Do the write that waits."""
        if self._later is not None:
            self.write(*self._later)
            self._later = None

    def lose_power(self) -> None:
        """Begin anew with what the EEPROM kept: without torque."""
        self.memory[:EEPROM_END] = self._kept
        self.memory[40:56] = bytes(16)
        self._put(48, self._word(16), 2)
        self.memory[55] = 1
        self._overloaded, self._pressing_s = False, 0.0

    def _home_here(self) -> None:
        self.homings_lost += 1
        offset = self.encoder - TURN // 2
        self._put(31, abs(offset) % (TURN // 2) | (0x800 if offset < 0 else 0), 2)

    def _protect(self, load: float, dt_s: float) -> None:
        """Overload: more than its threshold for longer than its time; it ends when nothing is pressed any more."""
        self._pressing_s = self._pressing_s + dt_s if load >= self.memory[36] / 100.0 else 0.0
        if self.overload_forced or self._pressing_s > self.memory[35] / 100.0:
            self._overloaded = True
        elif load < IDLE:
            self._overloaded = False

    def _word(self, address: int) -> int:
        return int.from_bytes(self.memory[address : address + 2], "little")

    def _signed(self, address: int, sign_bit: int) -> int:
        value = self._word(address)
        size = value & ((1 << sign_bit) - 1)
        return -size if value >> sign_bit & 1 else size

    def _put(self, address: int, value: int, size: int) -> None:
        self.memory[address : address + size] = value.to_bytes(size, "little")
