"""Simulated servos on one wire: what they answer to the bytes that they hear, and what goes wrong on demand."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from so_arm_policy.core.errors import InputError
from so_arm_policy.sim.servo_bus.protocol import BROADCAST, Decoder, Instruction, Packet, status
from so_arm_policy.sim.servo_bus.servo import SimServo

DELAY_UNIT_S = 2e-6


@dataclass
class WireFaults:
    """What the wire does to answers. mute: servos that say nothing; counts: how many of the next answers are hit.

    flip: byte of the next answer that is changed, and with what (xor); every: hit each n-th answer only.
    """

    mute: set[int] = field(default_factory=set)
    drop: int = 0
    corrupt: int = 0
    late_s: float = 0.0
    every: int = 1
    flip: list[tuple[int, int]] = field(default_factory=list)


class SimBus:
    """Servos by id. Physics and wire may use it from two threads: take `lock`."""

    def __init__(self, servos: Sequence[SimServo]) -> None:
        """servos: in any order, with different ids."""
        self.servos = tuple(servos)
        self.faults = WireFaults()
        self.lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self._decoder = Decoder()
        self._answers = 0

    def hear(self, data: bytes) -> list[tuple[float, bytes]]:
        """Take in bytes of the host. Returns answers in order: seconds to wait before each, and its bytes."""
        with self.lock:
            answers = []
            for packet in self._decoder.feed(data):
                self.counts["instructions"] += 1
                answers += self._obey(packet)
            self.counts["bad_instructions"] = self._decoder.bad
            return answers

    def silence(self) -> None:
        """The rest of a packet did not come."""
        self._decoder.forget()

    def inject(self, words: str) -> None:
        """Do what a line of text says, e.g. "mute 3", "drop 5", "hot 2 85", "well". Raises InputError."""
        name, *rest = words.split() or [""]
        try:
            numbers = [float(word) for word in rest]
            with self.lock:
                self._inject(name, numbers)
        except (ValueError, IndexError, KeyError) as error:
            raise InputError(f"fault: got {words!r}, expected one of {', '.join(FAULTS)} and its numbers") from error

    def _inject(self, name: str, numbers: list[float]) -> None:
        faults = self.faults
        if name == "well":
            self.faults = WireFaults()
            for servo in self.servos:
                servo.hot_c, servo.supply_v, servo.encoder_fails, servo.overload_forced = None, 7.4, False, False
        elif name == "mute":
            faults.mute |= {int(n) for n in numbers} or {s.id for s in self.servos}
        elif name == "drop":
            faults.drop = int(numbers[0])
        elif name == "corrupt":
            faults.corrupt = int(numbers[0])
        elif name == "noise":
            faults.drop, faults.every = 10**9, int(numbers[0])
        elif name == "late":
            faults.late_s = numbers[0]
        elif name == "hot":
            self.servo(int(numbers[0])).hot_c = numbers[1]
        elif name == "supply":
            for servo in self.servos:
                servo.supply_v = numbers[0]
        elif name == "overload":
            self.servo(int(numbers[0])).overload_forced = True
        elif name == "encoder":
            self.servo(int(numbers[0])).encoder_fails = True
        elif name == "restart":
            self.servo(int(numbers[0])).lose_power()
        else:
            raise KeyError(name)

    def servo(self, number: int) -> SimServo:
        """Return the servo with that id. Raises KeyError."""
        for servo in self.servos:
            if servo.id == number:
                return servo
        raise KeyError(number)

    def _obey(self, packet: Packet) -> list[tuple[float, bytes]]:
        parameters = packet.parameters
        if packet.instruction == Instruction.SYNC_READ and len(parameters) > 2:
            address, length = parameters[:2]
            asked = [s for number in parameters[2:] for s in self.servos if s.id == number]
            return [a for s in asked for a in self._answer(s, s.read(address, length))]
        if packet.instruction == Instruction.SYNC_WRITE:
            self._sync_write(parameters)
            return []
        everybody = packet.servo == BROADCAST
        answers = []
        for servo in self.servos:
            if everybody or servo.id == packet.servo:
                data = self._do(servo, packet)
                if data is not None and not everybody:
                    answers += self._answer(servo, data)
        return answers

    def _do(self, servo: SimServo, packet: Packet) -> bytes | None:
        """Let one servo obey; returns the data of its answer, None for no answer."""
        parameters = packet.parameters
        if packet.instruction == Instruction.PING:
            return b""
        if packet.instruction == Instruction.READ and len(parameters) == 2:
            return servo.read(*parameters)
        silent = servo.memory[8] == 0
        if packet.instruction == Instruction.WRITE and len(parameters) > 1:
            servo.write(parameters[0], parameters[1:])
        elif packet.instruction == Instruction.REG_WRITE and len(parameters) > 1:
            servo.write_later(parameters[0], parameters[1:])
        elif packet.instruction == Instruction.ACTION:
            servo.act()
        else:
            return None
        return None if silent else b""

    def _sync_write(self, parameters: bytes) -> None:
        if len(parameters) < 2:
            return
        address, length = parameters[:2]
        for at in range(2, len(parameters) - length, length + 1):
            for servo in self.servos:
                if servo.id == parameters[at]:
                    servo.write(address, parameters[at + 1 : at + 1 + length])

    def _answer(self, servo: SimServo, data: bytes) -> list[tuple[float, bytes]]:
        faults = self.faults
        self._answers += 1
        hit = self._answers % faults.every == 0
        if servo.id in faults.mute:
            return []
        if faults.drop > 0 and hit:
            faults.drop -= 1
            return []
        packet = bytearray(status(servo.id, servo.error, data))
        if faults.corrupt > 0 and hit:
            faults.corrupt -= 1
            packet[len(packet) // 2] ^= 0x55
        if faults.flip:
            place, how = faults.flip.pop(0)
            packet[place % len(packet)] ^= how
        return [(servo.memory[7] * DELAY_UNIT_S + faults.late_s, bytes(packet))]


FAULTS = (
    "well",
    "mute [IDS]",
    "drop N",
    "corrupt N",
    "noise N",
    "late SECONDS",
    "hot ID CELSIUS",
    "supply VOLT",
    "overload ID",
    "encoder ID",
    "restart ID",
)
