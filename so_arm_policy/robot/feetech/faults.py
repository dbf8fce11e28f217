"""What can be wrong with a servo bus, by name."""

from collections.abc import Iterator
from dataclasses import dataclass

from so_arm_policy.core.robot import MotorLimits

UNPLUGGED = "bus.unplugged"
SILENT_BUS = "bus.silent"
SILENT = "servo.silent"
VOLTAGE = "servo.voltage"
UNDER_VOLTAGE = "servo.under_voltage"
OVER_VOLTAGE = "servo.over_voltage"
ENCODER = "servo.encoder"
HOT = "servo.over_temperature"
OVER_CURRENT = "servo.over_current"
OVERLOAD = "servo.overload"
TORQUE_OFF = "servo.torque_off"
BEYOND_JUMP = "servo.beyond_jump"
WAS_LIMP = "servo.was_limp"
NOT_THIS_ARM = "bus.wrong_arm"

VOLTAGE_BIT, ENCODER_BIT, HEAT_BIT, CURRENT_BIT, OVERLOAD_BIT = 1, 2, 4, 8, 32


@dataclass(frozen=True)
class BusFault:
    """One thing that is wrong. code: one of the names above; joint: of which, empty for the whole bus."""

    code: str
    text: str
    joint: str = ""


def servo_faults(
    joint: str, error: int, voltage_v: float, temperature_c: float, limits: MotorLimits
) -> Iterator[BusFault]:
    """Yield what one servo complains of (its error byte), and what it measures that is beyond `limits`."""
    low, high = limits.voltage_low_v, limits.voltage_high_v
    if error & VOLTAGE_BIT or not low <= voltage_v <= high:
        code = UNDER_VOLTAGE if voltage_v < low else OVER_VOLTAGE if voltage_v > high else VOLTAGE
        complains = ", and its servo complains" if error & VOLTAGE_BIT else ""
        yield BusFault(code, f"joint {joint!r}: got {voltage_v:.1f} V{complains}, expected {low}..{high}", joint)
    if error & ENCODER_BIT:
        yield BusFault(ENCODER, f"joint {joint!r}: its servo says that its encoder fails", joint)
    if error & HEAT_BIT or not temperature_c <= limits.temperature_c:
        text = f"joint {joint!r}: got {temperature_c:.0f} degrees Celsius, limit {limits.temperature_c}"
        yield BusFault(HOT, text, joint)
    if error & CURRENT_BIT:
        yield BusFault(OVER_CURRENT, f"joint {joint!r}: its servo says that it draws too much current", joint)
    if error & OVERLOAD_BIT:
        yield BusFault(OVERLOAD, f"joint {joint!r}: its servo says that it is overloaded, and pushes no more", joint)
