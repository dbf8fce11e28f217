"""The driver of one arm or several: goals out, state in, faults by name. It knows ticks of time, not threads or ROS.

A fault stops the goals: the servos hold what they were last told. Once nothing is wrong any more for a while, goals are
followed again from near where the arm is, so that no old motion resumes. Torque that was lost comes back only by
`set_limp(False)`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, DeviceError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import MotorSample
from so_arm_policy.robot.feetech import faults
from so_arm_policy.robot.feetech.arm import ArmPort, ServoArm
from so_arm_policy.robot.feetech.bus import PATIENCE_S, SilentServo
from so_arm_policy.robot.feetech.faults import BusFault, servo_faults
from so_arm_policy.robot.feetech.reading import ArmReading
from so_arm_policy.robot.feetech.settings import ServoSettings

LONG_AGO_NS = -(10**18)
TORQUE_TICKS = CONTROL_HZ // 20  # how often it is asked whether the servos have torque


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """How the driver judges. lost_in_a_row: packets of one servo after which it counts as silent.

    patience_s: how long an answer may take beyond its time on the wire.
    recover_s: for how long nothing may be wrong before goals are followed again; rejoin_rad: how near the first of them
    must be to the arm. retry_s: how often an adapter that was unplugged is looked for.
    """

    servos: ServoSettings = field(default_factory=ServoSettings)
    patience_s: float = PATIENCE_S
    lost_in_a_row: int = 6
    recover_s: float = 0.5
    rejoin_rad: float = 0.15
    retry_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what judges nothing. Raises ConfigError."""
        if not 1 < self.lost_in_a_row <= CONTROL_HZ:
            raise ConfigError(f"lost_in_a_row: got {self.lost_in_a_row}, expected 2..{CONTROL_HZ}")
        for name, most in (("patience_s", 5.0), ("recover_s", 60.0), ("rejoin_rad", 1.0), ("retry_s", 60.0)):
            if not 0.0 < getattr(self, name) <= most:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected 0 < {name} <= {most:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class DriverReading:
    """All joints at one time, (n,) in the robot's order. q, dq: rad, rad/s; None for a tick with a lost packet.

    motors, current_a: None while there is no bus.
    """

    q: FloatArray | None = None
    dq: FloatArray | None = None
    motors: MotorSample | None = None
    current_a: FloatArray | None = None


class FeetechDriver:
    """Arms of STS3215 servos. follows: False for leader arms, which never get torque.

    faults: what is wrong now. halted: the fault that stopped the goals, None while they are followed.
    """

    def __init__(
        self, robot: RobotConfig, ports: Sequence[ArmPort], settings: DriverSettings, *, follows: bool = True
    ) -> None:
        """Open the ports, check and set the servos, and hold where the arms are. Raises DeviceError, ConfigError."""
        joints = [j.name for port in ports for j in port.calibration.joints]
        if joints != list(robot.joint_names):
            raise ConfigError(f"robot {robot.name!r}: got arms with {joints}, expected {list(robot.joint_names)}")
        self.robot, self.settings, self._ports, self._follows = robot, settings, tuple(ports), follows
        self.faults: tuple[BusFault, ...] = ()
        self.halted: BusFault | None = None
        self.limp = not follows
        self.counts: Counter[str] = Counter(refused_goals=0, reopened=0)
        self.warnings: list[str] = []
        self._steps = 0
        self._well_since_ns: int | None = None
        self._retry_ns = 0
        self._q: FloatArray | None = None
        self._lost = BusFault(faults.UNPLUGGED, "not opened yet")
        self._wants_limp, self._torque_retry_ns = self.limp, 0
        self._torque_fault: BusFault | None = None
        self._arms: list[ServoArm] = []
        try:
            self._open()
            for arm in self._arms:
                arm.hold_here() if follows else arm.let_go()
        except InputError as error:
            self.close()
            raise ConfigError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def step(self, command: FloatArray | None, now_ns: int, stamp_ns: int | None = None) -> DriverReading:
        """Send goals (n,) rad, none for None, and read the state. now_ns: monotonic; stamp_ns: ROS time. Never raises.

        Without goals the servos hold the last ones, and with goals that are not n finite numbers, which are counted.
        """
        self._steps += 1
        try:
            self._reopen_when_due(now_ns)
            self._settle_torque(now_ns)
            if command is not None and not (self.limp or self._wants_limp):
                self._send(command, now_ns)
            readings = self._read()
        except DeviceError as error:
            self._lose(str(error), now_ns)
            readings = []
        self._judge(readings, now_ns)
        return self._joined(readings, now_ns, now_ns if stamp_ns is None else stamp_ns)

    def set_limp(self, limp: bool) -> None:
        """Take the torque with the next step, or give it back where the arms are then; tried until it is done."""
        self._wants_limp = limp or not self._follows
        self._torque_retry_ns = 0

    @property
    def packets(self) -> Counter[str]:
        """Packets asked for, lost and corrupt so far, and goals that the recorded range kept in."""
        total: Counter[str] = Counter(self.counts)
        for arm in self._arms:
            total.update({**arm.bus.counts, "goals_clamped": arm.clamped})
        return total

    def close(self) -> None:
        """Close the ports; the servos hold on."""
        for arm in self._arms:
            arm.close()

    def _open(self) -> None:
        self._arms = []
        for port in self._ports:
            self._arms.append(ServoArm(port, self.settings.servos, self.settings.patience_s))
            self.warnings += self._arms[-1].warnings

    def _reopen_when_due(self, now_ns: int) -> None:
        if self._arms or now_ns < self._retry_ns:
            return
        try:
            self._open()
        except ConfigError as error:
            self._lose(str(error), now_ns, faults.NOT_THIS_ARM)
            return
        self.counts["reopened"] += 1

    def _lose(self, text: str, now_ns: int, code: str = faults.UNPLUGGED) -> None:
        """Close everything, and look for it again later."""
        self._keep_counts()
        self.close()
        self._arms, self._lost = [], BusFault(code, text)
        self._retry_ns = now_ns + round(self.settings.retry_s * NS)

    def _settle_torque(self, now_ns: int) -> None:
        """Take or give torque as was asked for."""
        if self.limp == self._wants_limp or not self._arms or now_ns < self._torque_retry_ns:
            return
        try:
            for arm in self._arms:
                arm.let_go() if self._wants_limp else arm.hold_here()
            self.limp, self._torque_fault = self._wants_limp, None
            if not self.limp and self.halted is None:
                # What is commanded may be far from where the arm has sunk to.
                self.halted, self._well_since_ns = BusFault(faults.WAS_LIMP, "the arm was without torque"), LONG_AGO_NS
        except SilentServo as error:
            self._torque_fault = BusFault(faults.SILENT, str(error))
        except InputError as error:
            self._torque_fault = BusFault(faults.BEYOND_JUMP, str(error))
        self._torque_retry_ns = now_ns + round(self.settings.retry_s * NS)

    def _keep_counts(self) -> None:
        self.counts = self.packets

    def _send(self, command: FloatArray, now_ns: int) -> None:
        usable = np.shape(command) == (len(self.robot.joints),) and bool(np.isfinite(command).all())
        if not usable or (self.halted is not None and not self._rejoins(command, now_ns)):
            self.counts["refused_goals"] += 1
            return
        self.halted = None
        for arm, part in zip(self._arms, self._split(command), strict=False):
            arm.go(part)

    def _rejoins(self, command: FloatArray, now_ns: int) -> bool:
        since, q = self._well_since_ns, self._q
        if since is None or q is None or now_ns - since < self.settings.recover_s * NS:
            return False
        return bool((np.abs(command - q) <= self.settings.rejoin_rad).all())

    def _read(self) -> list[ArmReading]:
        for arm in self._arms:
            arm.ask()  # all wires are busy at the same time
        readings = [arm.hear() for arm in self._arms]
        if self._steps % TORQUE_TICKS == 0:
            for arm in self._arms:
                arm.look_at_torque()
        return readings

    def _judge(self, readings: Sequence[ArmReading], now_ns: int) -> None:
        found = [self._lost] if not self._arms else [] if self._torque_fault is None else [self._torque_fault]
        for arm, reading in zip(self._arms, readings, strict=True):
            found += self._arm_faults(arm, reading)
        self.faults = tuple(found)
        heard = bool(readings) and all(reading.heard for reading in readings)
        if found:
            self._halt(found[0], now_ns)
            for arm, reading in zip(self._arms, readings, strict=False):
                self._relieve(arm, reading)
        elif heard and self._well_since_ns is None:
            self._well_since_ns = now_ns
        if heard:
            self._q = np.concatenate([reading.q for reading in readings])

    def _halt(self, fault: BusFault, now_ns: int) -> None:
        if self.halted is None:
            self.halted = fault
            self.counts["halts"] += 1
        self._well_since_ns = None

    def _relieve(self, arm: ServoArm, reading: ArmReading) -> None:
        """A servo that is overloaded presses against something: from now on it holds where it is."""
        if self.limp or not (reading.error & faults.OVERLOAD_BIT)[reading.error >= 0].any():
            return
        arm.go(reading.q, only=(reading.error >= 0) & (reading.error & faults.OVERLOAD_BIT != 0))

    def _arm_faults(self, arm: ServoArm, reading: ArmReading) -> list[BusFault]:
        most, device = self.settings.lost_in_a_row, arm.bus.device
        silent = arm.missed >= most
        if silent.all():
            text = f"servo bus {device}: got no answer of any servo for {most} ticks, expected power and a whole cable"
            return [BusFault(faults.SILENT_BUS, text)]
        found = []
        for i, joint in enumerate(arm.calibration.joints):
            if silent[i]:
                text = f"joint {joint.name!r}: got no answer of its servo {most} times in a row, expected one"
                found.append(BusFault(faults.SILENT, text, joint.name))
            elif reading.error[i] >= 0:
                voltage_v, heat_c = float(reading.voltage_v[i]), float(reading.temperature_c[i])
                error = int(reading.error[i])
                found += servo_faults(joint.name, error, voltage_v, heat_c, self.robot.motors)
            if not (silent[i] or self.limp or self._wants_limp or arm.torque[i]):
                text = f"joint {joint.name!r}: got no torque, expected it to hold; was its power lost?"
                found.append(BusFault(faults.TORQUE_OFF, text, joint.name))
        return found

    def _split(self, q: FloatArray) -> list[FloatArray]:
        ends = np.cumsum([len(port.calibration.ids) for port in self._ports])[:-1]
        return list(np.split(np.asarray(q), ends))

    def _joined(self, readings: Sequence[ArmReading], now_ns: int, stamp_ns: int) -> DriverReading:
        if not readings:
            return DriverReading()

        def all_of(name: str) -> FloatArray:
            return np.concatenate([getattr(reading, name) for reading in readings])

        motors = MotorSample(
            stamp_ns=stamp_ns,
            received_ns=now_ns,
            load=all_of("load"),
            temperature_c=all_of("temperature_c"),
            voltage_v=all_of("voltage_v"),
            torque_on=np.concatenate([arm.torque for arm in self._arms]),
        )
        heard = all(reading.heard for reading in readings)
        q, dq = (all_of("q"), all_of("dq")) if heard else (None, None)
        return DriverReading(q=q, dq=dq, motors=motors, current_a=all_of("current_a"))
