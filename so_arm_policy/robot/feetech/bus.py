"""One servo bus: single reads and writes with an answer, and one block from or one value to all servos at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import scservo_sdk

from so_arm_policy.core.errors import DeviceError, InputError
from so_arm_policy.robot.feetech.port import BusPort
from so_arm_policy.robot.feetech.registers import (
    HOMING_OFFSET,
    LOCK,
    MAX_POSITION,
    MIN_POSITION,
    MODEL,
    TORQUE_ENABLE,
    Register,
)

BAUDRATE = 1_000_000
PATIENCE_S = 0.006  # of the loop, for an answer; USB adapters take 1 to 2 ms
SETUP_PATIENCE_S = 0.1
TRIES = 4  # of single reads and writes
CALIBRATED = (HOMING_OFFSET, MIN_POSITION, MAX_POSITION)


@dataclass(frozen=True)
class Answer:
    """What one servo said. error: its error byte."""

    error: int
    data: bytes


class ServoBus:
    """Servos on one serial port. counts: packets that were asked for, lost, corrupt."""

    def __init__(
        self, device: str, ids: Sequence[int], baudrate: int = BAUDRATE, patience_s: float = PATIENCE_S
    ) -> None:
        """Open the port. patience_s: of `collect`, beyond what the wire needs. Raises DeviceError."""
        self.device, self.ids, self._patience_s = device, tuple(ids), patience_s
        self.counts: Counter[str] = Counter(asked=0, lost=0, corrupt=0)
        self._port = BusPort(device, baudrate, SETUP_PATIENCE_S)
        self._sdk = scservo_sdk.protocol_packet_handler()
        self._expected = 0

    def close(self) -> None:
        """Close the port; the servos go on as they are."""
        self._port.closePort()

    def ping(self, servo: int) -> int | None:
        """Return the model number of a servo, None when it does not answer. Raises DeviceError."""
        try:
            return self.read(servo, MODEL)
        except SilentServo:
            return None

    def read(self, servo: int, register: Register) -> int:
        """Return one register. Raises DeviceError when the servo does not answer, after some tries."""
        self._port.patience_s = SETUP_PATIENCE_S
        for _ in range(TRIES):
            data, result, _ = self._sdk.readTxRx(self._port, servo, register.address, register.size)
            self._count(result)
            if result == scservo_sdk.COMM_SUCCESS and len(data) == register.size:
                return register.decode(bytes(data))
        raise SilentServo(f"servo bus {self.device}: got no answer of servo {servo} to {register.name}, expected one")

    def write(self, servo: int, register: Register, value: int, *, eeprom: bool = False) -> None:
        """Write one register and hear that it arrived; the EEPROM only when told so.

        Raises DeviceError when the servo does not answer, InputError for what is never written.
        """
        data = self._checked(register, value, eeprom)
        self._port.patience_s = SETUP_PATIENCE_S
        for _ in range(TRIES):
            result, _ = self._sdk.writeTxRx(self._port, servo, register.address, register.size, list(data))
            self._count(result)
            if result == scservo_sdk.COMM_SUCCESS:
                return
        text = f"got no answer of servo {servo} to writing {register.name}, expected one"
        raise SilentServo(f"servo bus {self.device}: {text}")

    def write_eeprom(self, servo: int, values: Mapping[Register, int]) -> None:
        """Write values that stay, with the lock open meanwhile. Raises DeviceError."""
        self.write(servo, LOCK, 0)
        try:
            for register, value in values.items():
                self.write(servo, register, value, eeprom=True)
        finally:
            self.write(servo, LOCK, 1)

    def request(self, address: int, length: int) -> None:
        """Ask all servos for a block; `collect` takes the answers. Raises DeviceError."""
        self._port.patience_s = self._patience_s
        self._expected = length
        result = self._sdk.syncReadTx(self._port, address, length, list(self.ids), len(self.ids))
        self._port.is_using = False
        if result != scservo_sdk.COMM_SUCCESS:
            raise DeviceError(f"servo bus {self.device}: got result {result} of sending, expected it to be sent")

    def collect(self) -> dict[int, Answer]:
        """Return the answers to `request` by servo id, without those that are lost or corrupt. Raises DeviceError.

        One that is missing costs nothing of those behind it, unlike with the SDK's own GroupSyncRead, which also drops
        the error byte.
        """
        answers: dict[int, Answer] = {}
        while len(answers) < len(self.ids):
            packet, result = self._sdk.rxPacket(self._port)
            if result == scservo_sdk.COMM_SUCCESS:
                servo, data = packet[2], bytes(packet[5:-1])
                if servo in self.ids and servo not in answers and len(data) == self._expected:
                    answers[servo] = Answer(packet[4], data)
                else:
                    self.counts["corrupt"] += 1
            elif result == scservo_sdk.COMM_RX_CORRUPT:
                self.counts["corrupt"] += 1
            else:
                break
        self.counts["asked"] += len(self.ids)
        self.counts["lost"] += len(self.ids) - len(answers)
        return answers

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Write one register of several servos in one packet, which none answers. Raises DeviceError, InputError."""
        flat: list[int] = []
        for servo, value in values.items():
            flat += [servo, *self._checked(register, value, eeprom=False)]
        result = self._sdk.syncWriteTxOnly(self._port, register.address, register.size, flat, len(flat))
        if result != scservo_sdk.COMM_SUCCESS:
            raise DeviceError(f"servo bus {self.device}: got result {result} of sending, expected it to be sent")

    def _checked(self, register: Register, value: int, eeprom: bool) -> bytes:
        if register.eeprom and not eeprom:
            raise InputError(f"register {register.name}: got a write to the EEPROM, expected none without being asked")
        if register.address == TORQUE_ENABLE.address and value not in (0, 1):
            # 128 there makes the present position the middle and moves every joint angle.
            raise InputError(f"register {register.name}: got {value}, expected 0 or 1")
        return register.encode(value)

    def _count(self, result: int) -> None:
        self.counts["asked"] += 1
        if result == scservo_sdk.COMM_RX_TIMEOUT:
            self.counts["lost"] += 1
        elif result != scservo_sdk.COMM_SUCCESS:
            self.counts["corrupt"] += 1


class SilentServo(DeviceError):  # noqa: N818 - which servo, not which mistake
    """One servo does not answer, on a port that works."""
