"""The limiter: how far the command may move in one tick. Works in moves per tick (rad), so no rule divides by a time.

Braking. A joint that moves `u` in this tick and loses at most A = a dt^2 in each following one stops within
u^2 / (2 A). It may move `u` with `room` left when u + u^2 / (2 A) <= room; in continuous time this is the envelope
v <= sqrt(2 a room). A joint inside the envelope that brakes stays inside it, so a legal move always exists.

Outside its position limits (only at the start, from where the arm happens to be) a joint may stand or move inward.
"""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.values import Finding

# Slack for rounding when a move is judged (never when one is chosen), rad.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the command goes in this tick.

    q: (n,) rad; step: (n,) rad, the move to it; target: (n,) rad, what was wanted, within position limits;
    margin: see Verdict; finding: the limit that changed the wish, None when it passed untouched.
    """

    q: FloatArray
    step: FloatArray
    target: FloatArray
    margin: float
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class Box:
    """Smallest and largest position and move each joint may have in this tick. All (n,) rad."""

    lower: FloatArray
    upper: FloatArray
    envelope_low: FloatArray
    envelope_high: FloatArray
    low: FloatArray
    high: FloatArray
    brake: FloatArray


def move(limits: Limits, output: FloatArray, step: FloatArray, before: FloatArray | None, wish: FloatArray) -> Motion:
    """Move the command from `output` (reached by `step`) towards `wish` as far as the limits let it.

    A legal wish becomes the command itself, bit for bit. `before` is the previous wish: its motion is followed
    while the distance to it closes no faster than the joints can brake, so a clamped command does not overshoot.
    """
    box = _box(limits, output, step)
    wanted = wish - output
    target = np.minimum(np.maximum(wish, box.lower), box.upper)
    margin = _margin(limits, step, wish, wanted)
    inside = bool((target == wish).all())
    if inside and bool(((wanted >= box.low - ROUNDING) & (wanted <= box.high + ROUNDING)).all()):
        return Motion(wish, wanted, wish, margin, None)
    finding = _finding(limits, box, step, wish, wanted, inside)
    chosen = _scaled(box, _follow(limits, output, before, target))
    q = np.minimum(np.maximum(output + chosen, box.lower), box.upper)
    return Motion(q, chosen, target, margin, finding)


def brake(limits: Limits, output: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slow the command down as fast as the limits let it; at rest it stays where it is. Returns position and step."""
    if not step.any():
        return output, step
    box = _box(limits, output, step)
    slower = np.where(np.abs(box.brake) > ROUNDING, box.brake, 0.0)
    return np.minimum(np.maximum(output + slower, box.lower), box.upper), slower


def shortened(step: FloatArray, most: FloatArray) -> FloatArray:
    """Return `step` with all joints scaled together so that none moves more than `most`."""
    return step * float((most / np.maximum(np.abs(step), most)).min())


def _stopping(a: FloatArray, room: FloatArray) -> FloatArray:
    """Return u / room for the largest move u that leaves enough room to stop: u + u^2 / (2 a) = room."""
    return 2.0 * a / (a + np.sqrt(a * (a + 2.0 * room)))


def _box(limits: Limits, output: FloatArray, step: FloatArray) -> Box:
    lower, upper = np.minimum(limits.lower, output), np.maximum(limits.upper, output)
    a, v = limits.acceleration_step, limits.velocity_step
    below, above = output - lower, upper - output
    envelope_low, envelope_high = -below * _stopping(a, below), above * _stopping(a, above)
    low = np.maximum(np.maximum(envelope_low, -v), step - a)
    high = np.minimum(np.minimum(envelope_high, v), step + a)
    hardest = step - np.minimum(np.maximum(step, -a), a)
    # All joints slow down in the same proportion, which keeps the path, unless one needs its full braking now.
    brake_step = step * max(0.0, 1.0 - float((a / np.maximum(np.abs(step), a)).min()))
    if bool(((brake_step < low - ROUNDING) | (brake_step > high + ROUNDING)).any()):
        brake_step = hardest
    # Rounding must not make the box empty: braking is always allowed.
    return Box(
        lower=lower,
        upper=upper,
        envelope_low=envelope_low,
        envelope_high=envelope_high,
        low=np.minimum(low, brake_step),
        high=np.maximum(high, brake_step),
        brake=brake_step,
    )


def _follow(limits: Limits, output: FloatArray, before: FloatArray | None, target: FloatArray) -> FloatArray:
    """Return the move that keeps up with the target and closes the distance to it; all joints scaled together."""
    behind = target - output if before is None else before - output
    close = behind * float(_stopping(limits.closing_step, np.abs(behind)).min())
    return close if before is None else close + shortened(target - before, limits.velocity_step)


def _scaled(box: Box, wanted: FloatArray) -> FloatArray:
    """Return the move nearest to `wanted` on the line from braking to it that lies in the box."""
    change = wanted - box.brake
    room = np.where(change > 0.0, box.high, box.low) - box.brake
    ratio = np.divide(room, change, out=np.ones_like(change), where=np.abs(change) > ROUNDING)
    return box.brake + change * min(1.0, float(ratio.min()))


def _margin(limits: Limits, step: FloatArray, wish: FloatArray, wanted: FloatArray) -> float:
    position = (np.minimum(wish - limits.lower, limits.upper - wish) / limits.half_range).min()
    velocity = 1.0 - (np.abs(wanted) / limits.velocity_step).max()
    acceleration = 1.0 - (np.abs(wanted - step) / limits.acceleration_step).max()
    return float(min(position, velocity, acceleration))


def _finding(limits: Limits, box: Box, step: FloatArray, wish: FloatArray, wanted: FloatArray, inside: bool) -> Finding:
    """Name the first limit that the wish breaks, and the joint that breaks it most."""
    hz = limits.rate_hz
    if not inside:
        i = int(np.maximum(box.lower - wish, wish - box.upper).argmax())
        return Finding(
            "limit.position",
            f"joint {limits.names[i]!r}: got {wish[i]:.4f} rad, expected {box.lower[i]:.4f}..{box.upper[i]:.4f}",
        )
    i = int((np.abs(wanted) - limits.velocity_step).argmax())
    if abs(wanted[i]) > limits.velocity_step[i] + ROUNDING:
        return Finding(
            "limit.velocity",
            f"joint {limits.names[i]!r}: got {wanted[i] * hz:.3f} rad/s, "
            f"expected at most {limits.velocity_step[i] * hz:.3f}",
        )
    beyond = np.maximum(box.envelope_low - wanted, wanted - box.envelope_high)
    i = int(beyond.argmax())
    if beyond[i] > ROUNDING:
        edge = box.envelope_high[i] if wanted[i] > 0 else box.envelope_low[i]
        return Finding(
            "limit.braking",
            f"joint {limits.names[i]!r}: got {wanted[i] * hz:.3f} rad/s at {wish[i]:.4f} rad, "
            f"expected {edge * hz:.3f} rad/s at most to stop before its limit",
        )
    change = wanted - step
    i = int((np.abs(change) - limits.acceleration_step).argmax())
    return Finding(
        "limit.acceleration",
        f"joint {limits.names[i]!r}: got {change[i] * hz * hz:.2f} rad/s^2, "
        f"expected at most {limits.acceleration_step[i] * hz * hz:.2f}",
    )
