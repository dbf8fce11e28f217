"""What the servos of an arm must be set to: looked at before the first motion, set where power ends it."""

from collections.abc import Mapping
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.feetech import registers as reg
from so_arm_policy.robot.feetech.bus import CALIBRATED, ServoBus, SilentServo
from so_arm_policy.robot.feetech.calibration import ArmCalibration
from so_arm_policy.robot.feetech.registers import MODEL_STS3215, Register

POSITION_MODE = 0
PHASE_SLOW_SPEED_UNIT, PHASE_MANY_TURNS = 4, 16  # bits of the register: speeds in ticks/s; positions beyond one turn
FULL_TORQUE = 1000

# What protects the servos and lets them answer at once, in the EEPROM: looked at, and written only when asked. The
# values are those of LeRobot, and Feetech's defaults where that leaves them.
WANTED: Mapping[Register, int] = {
    reg.RETURN_DELAY: 0,
    reg.RESPONSE_LEVEL: 1,
    reg.P_GAIN: 16,
    reg.D_GAIN: 32,
    reg.I_GAIN: 0,
}
AT_MOST: Mapping[Register, int] = {reg.MAX_TEMPERATURE: 70, reg.PROTECTIVE_TORQUE: 25, reg.PROTECTION_TIME: 200}
# LeRobot also lets the gripper's overload begin at 25 % (register 36), which would end every firm grasp after 2 s with
# a fault. That is left as it is.
GRIPPER_AT_MOST: Mapping[Register, int] = {reg.MAX_TORQUE: 500, reg.PROTECTION_CURRENT: 250}
UNLOADS = 4 | 32  # heat and overload take the torque away


@dataclass(frozen=True, kw_only=True)
class ServoSettings:
    """What is set in the servos' memory at the start, without their EEPROM. Shares of full torque, 0..1.

    write_eeprom: also correct what protects them, and their answering, for good.
    """

    torque_limit: float = 1.0
    gripper_torque_limit: float = 0.5
    acceleration: int = 254  # the largest, as LeRobot: the supervisor shapes the motion
    write_eeprom: bool = False

    def __post_init__(self) -> None:
        """Refuse what no servo takes. Raises ConfigError."""
        for name in ("torque_limit", "gripper_torque_limit"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected 0 < share <= 1")
        if not 0 <= self.acceleration <= 254:
            raise ConfigError(f"acceleration: got {self.acceleration}, expected 0..254")


def check_arm(bus: ServoBus, calibration: ArmCalibration) -> None:
    """Make sure that these servos are those of the calibration. Raises ConfigError, or DeviceError when one is silent.

    LeRobot and `so-arm calibrate-arm` leave the calibration in the servos, so another arm's file is noticed.
    """
    silent = [servo for servo in calibration.ids if bus.ping(servo) is None]
    if silent:
        raise SilentServo(f"servo bus {bus.device}: got no answer of servos {silent}, expected all of {bus.ids}")
    for joint, servo in zip(calibration.joints, calibration.servos, strict=True):
        model = bus.read(servo.id, reg.MODEL)
        if model != MODEL_STS3215:
            raise ConfigError(f"joint {joint.name!r}: got servo model {model}, expected {MODEL_STS3215} (STS3215)")
        found = {register: bus.read(servo.id, register) for register in CALIBRATED}
        wanted = dict(zip(CALIBRATED, (servo.homing_offset, servo.range_min, servo.range_max), strict=True))
        for register, value in wanted.items():
            if found[register] != value:
                got = f"{register.name} {found[register]} in the servo of joint {joint.name!r}"
                raise ConfigError(
                    f"{bus.device}: got {got}, expected {value} of {calibration.source}: is this file of another arm?"
                )
        mode, phase = bus.read(servo.id, reg.OPERATING_MODE), bus.read(servo.id, reg.PHASE)
        if mode != POSITION_MODE:
            raise ConfigError(f"joint {joint.name!r}: got operating mode {mode}, expected {POSITION_MODE} (position)")
        if phase & PHASE_MANY_TURNS or not phase & PHASE_SLOW_SPEED_UNIT:
            raise ConfigError(f"joint {joint.name!r}: got phase {phase}, expected bit 2 set and bit 4 not (default 12)")


def deviations(bus: ServoBus, calibration: ArmCalibration) -> dict[int, dict[Register, tuple[int, int]]]:
    """Return by servo id what its EEPROM should say and does not: (is, should be). Raises DeviceError."""
    wrong: dict[int, dict[Register, tuple[int, int]]] = {}
    for joint, servo in zip(calibration.joints, calibration.ids, strict=True):
        most = {**AT_MOST, **(GRIPPER_AT_MOST if joint.name.endswith("gripper") else {})}
        pairs = {r: (bus.read(servo, r), value) for r, value in WANTED.items()}
        limits = {r: (bus.read(servo, r), value) for r, value in most.items()}
        unloads = bus.read(servo, reg.UNLOADING)
        found = {r: pair for r, pair in pairs.items() if pair[0] != pair[1]}
        found |= {r: pair for r, pair in limits.items() if not 0 < pair[0] <= pair[1]}
        if unloads & UNLOADS != UNLOADS:
            found[reg.UNLOADING] = (unloads, unloads | UNLOADS)
        if found:
            wrong[servo] = found
    return wrong


def prepare_arm(bus: ServoBus, calibration: ArmCalibration, settings: ServoSettings) -> list[str]:
    """Set what is lost without power, and the EEPROM where asked. Returns warnings for people. Raises DeviceError."""
    warnings = []
    for servo, found in deviations(bus, calibration).items():
        if settings.write_eeprom:
            bus.write_eeprom(servo, {register: should for register, (_, should) in found.items()})
            continue
        text = ", ".join(f"{r.name} {has} (expected {should})" for r, (has, should) in found.items())
        warnings.append(f"{bus.device}: servo {servo} has {text}; write_eeprom corrects it")
    for joint, servo in zip(calibration.joints, calibration.ids, strict=True):
        gripper = joint.name.endswith("gripper")
        limit = settings.gripper_torque_limit if gripper else settings.torque_limit
        bus.write(servo, reg.TORQUE_LIMIT, round(limit * FULL_TORQUE))
        bus.write(servo, reg.ACCELERATION, settings.acceleration)
        bus.write(servo, reg.GOAL_VELOCITY, 0)  # as fast as it can
    return warnings
