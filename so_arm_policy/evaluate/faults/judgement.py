"""Whether a fault was contained: what its case expects against what the referee found."""

import math

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.faults.case import Expect, FaultCase
from so_arm_policy.evaluate.halt import DT
from so_arm_policy.evaluate.referee import FOLLOWED_RAD, Findings

PRESSED_S = 1.0  # half of what a servo lets pass before it protects itself


def braking_ticks(robot: RobotConfig) -> int:
    """Return how long the slowest joint takes from full speed to rest, with the acceleration built up first."""
    return math.ceil(float((robot.velocity / robot.acceleration + robot.acceleration / robot.jerk).max()) / DT)


def complaints(case: FaultCase, found: Findings, robot: RobotConfig) -> tuple[str, ...]:
    """Return what was not as the case expects, by what the referee found; empty when it is contained."""
    why = [f"{name} {getattr(found.ratios, name):.2f} of its limit" for name in found.ratios.broken if name != "finite"]
    why += [] if found.ratios.finite else ["a command that is no number"]
    why += [f"pushed a blocked joint for {found.pressed_s:.1f} s"] if found.pressed_s > PRESSED_S else []
    touched = () if case.limp else found.contacts
    why += [f"pressed {c.bodies[0]} on {c.bodies[1]} with {c.force_n:.0f} N" for c in touched]
    halt = found.halt
    if case.expect is Expect.STANDS and (halt.standstill != 0 or halt.moved_again):
        why.append("it moved")
    if case.expect is Expect.IGNORES and found.pull_rad > FOLLOWED_RAD:
        why.append(f"went {found.pull_rad:.4f} rad after the false value")
    if case.expect is not Expect.STOPS:
        return tuple(why)
    if halt.reaction is None or halt.standstill is None:
        return (*why, "never stood still")
    if halt.reaction > case.reaction:
        why.append(f"reacted in tick {halt.reaction}, expected by {case.reaction}")
    elif halt.standstill > case.reaction + braking_ticks(robot) + 1:
        why.append(f"stood in tick {halt.standstill}, expected by {case.reaction + braking_ticks(robot) + 1}")
    if halt.moved_again:
        why.append("moved again while the fault lasted")
    return tuple(why)
