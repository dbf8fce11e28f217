"""Motion: proposals of good form that go too far, too fast, too suddenly, or where something is in the way."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.faults.case import OTHER, Expect, FaultCase, Injector, Now, Onset
from so_arm_policy.evaluate.faults.inject import (
    DT,
    Drives,
    Leads,
    Said,
    Ticked,
    Together,
    healthy,
    put,
    said,
    stop_and_reset,
)
from so_arm_policy.safety.values import TickInput

ROLL = 4  # of the wrist: it turns without getting near anything
SELF_POSE = (0.0, -1.05, 1.45, 1.6, 0.05, 0.0)  # the gripper in the shoulder
TABLE_POSE = (0.0, 0.65, 0.45, 1.2, 0.0, 0.0)  # the gripper far below the table
ASIDE = 300  # ticks to turn there from anywhere
CROSSED_POSE = (0.9, 0.0, 0.0, 0.6, 0.0, 0.0)  # stretched out to the other arm; mirrored, that arm to this one


def _shifted(rad: float, from_tick: int = 0) -> Callable[[], Injector]:
    """The fastest joint is `rad` ahead of where it should be."""

    def change(now: Now, p: Proposal) -> Proposal:
        return replace(p, q=put(p.q, now.joint, p.q[now.joint] + now.way * rad)) if now.tick >= from_tick else p

    return lambda: Said(change)


def _moving(rad: Callable[[Now, float], float], joint: int | None = None) -> Callable[[], Injector]:
    """One joint is led to `rad` away from where it was as the fault began; rad takes the time since, s."""

    def path(now: Now) -> FloatArray:
        i = now.joint if joint is None else joint
        return put(now.q0, i, now.q0[i] + rad(now, (now.tick + 1) * DT))

    return lambda: Drives(path)


def _to_limit(now: Now) -> FloatArray:
    """Where the wrist has been rolled 0.08 rad beyond its limit: within the band in which a wish is clamped."""
    return put(now.q0, ROLL, now.robot.upper[ROLL] + 0.08)


def _pose(pose: tuple[float, ...], speed: float) -> Callable[[], Injector]:
    """Led to `pose`, rad, at `speed`, rad/s."""
    return lambda: Leads(lambda _: np.array(pose), speed)


def _to_table(speed: float) -> Callable[[], Injector]:
    """Turned to where the table is emptiest first, then led down."""

    def where(now: Now) -> FloatArray:
        scene = now.simulator.scene
        places = [now.simulator.object_position(i)[:2] for i in range(len(scene.objects))]
        places += [np.array([scene.bowl_x, scene.bowl_y])]
        places += [] if scene.plate_x is None or scene.plate_y is None else [np.array([scene.plate_x, scene.plate_y])]
        things = np.array([np.arctan2(y, x) for x, y in places])
        sides = np.linspace(-1.2, 1.2, 13)
        emptiest = sides[np.abs(sides[:, None] - things).min(axis=1).argmax()]
        # The first joint turns the other way round than the world.
        return put(np.array(TABLE_POSE if now.tick >= ASIDE else now.robot.home), 0, -emptiest)

    return lambda: Leads(where, speed)


def _arms_crossed(_: Now) -> FloatArray:
    """Both arms stretched out towards each other."""
    pose = np.array(CROSSED_POSE)
    return np.concatenate([pose, put(pose, 0, -pose[0])])


def _run_up(_: Now, t: float) -> float:
    """Way of a joint that speeds up to 2.3 rad/s at 7 rad/s^2 and goes on."""
    up = 2.3 / 7.0
    return 3.5 * min(t, up) ** 2 + 2.3 * max(t - up, 0.0)


def _sweep(_: Now, t: float) -> float:
    """A sine whose frequency rises from 0.5 to 60 Hz while its amplitude goes up and down between 0.01 and 0.24 rad."""
    low, high, span = 0.5, 60.0, 4.0
    phase = 2.0 * np.pi * low * span / np.log(high / low) * ((high / low) ** (t / span) - 1.0)
    return float((0.125 - 0.115 * np.cos(2.0 * np.pi * 1.7 * t)) * np.sin(phase))


def _noise(now: Now) -> FloatArray:
    rng = np.random.default_rng([now.seed, now.tick, 77])
    return now.q0 + rng.uniform(-0.2, 0.2, len(now.q0))


def _square_velocity(now: Now, t: float) -> float:
    """A triangle: its velocity is legal, +-2 rad/s, and turns round at once every 8 ticks."""
    k = round(t / DT) % 16
    return now.way * 2.0 * DT * (k if k <= 8 else 16 - k)


def _singular(_: Now, t: float) -> float:
    """What inverse kinematics asks of the wrist on a straight line past its singularity, 5 mm away, at 0.2 m/s."""
    return float(np.arctan2(0.2 * (t - 0.25), 0.005) - np.arctan2(-0.2 * 0.25, 0.005))


class _StartsOutside(Injector):
    """The arm starts with its wrist rolled 0.05 rad beyond its limit; `outward`: and is told to go on that way."""

    def __init__(self, outward: bool) -> None:
        self._outward = outward

    def begin(self, robot: RobotConfig) -> FloatArray:
        return put(robot.home, ROLL, robot.upper[ROLL] + 0.05)

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:  # noqa: ARG002
        beyond = 0.05 + (0.3 if self._outward else -0.3) * now.tick * DT
        q = put(now.robot.home, ROLL, now.robot.upper[ROLL] + beyond)
        return [healthy(now, q, None, now.source, now.tick + 1)]


class _SwitchesFar(Injector):
    """Another source is selected that wants to be far from here."""

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        far = now.q0 + 0.6
        return [*super().arrive(now, proposal), healthy(now, far, None, OTHER, now.tick + 1)]

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        return [replace(tick, select=OTHER if now.tick == 0 else None)]


STOPS, LIMITS, STANDS = Expect.STOPS, Expect.LIMITS, Expect.STANDS

CASES = (
    FaultCase(
        "first_far",
        "the first command is 0.5 rad away",
        STANDS,
        onset=Onset.START,
        injector=said(q=lambda now, p: p.q + 0.5),
    ),
    FaultCase(
        "first_far_after_reset",
        "after a stop and a reset the source is 0.5 rad away",
        STOPS,
        injector=lambda: Together(Ticked(stop_and_reset), _shifted(0.5, from_tick=1)()),
    ),
    FaultCase(
        "first_far_after_switch", "at speed a source is selected that is 0.6 rad away", STOPS, injector=_SwitchesFar
    ),
    FaultCase("jump_far", "one joint jumps by 1 rad", STOPS, injector=_shifted(1.0)),
    FaultCase("jump_in_band", "one joint jumps by 0.2 rad", LIMITS, injector=_shifted(0.2)),
    FaultCase(
        "too_fast",
        "one joint at three times its velocity limit",
        LIMITS,
        injector=_moving(lambda now, t: now.way * 7.2 * t),
    ),
    FaultCase(
        "velocity_reversals",
        "legal velocity that turns round at once, illegal acceleration",
        LIMITS,
        injector=_moving(_square_velocity),
    ),
    FaultCase(
        "full_reversal_every_tick",
        "0.2 rad to one side and to the other in turn",
        LIMITS,
        injector=_moving(lambda now, t: 0.2 * (-1.0) ** round(t / DT)),
    ),
    FaultCase(
        "drift_into_limit",
        "at 1 rad/s on to 0.08 rad beyond a limit",
        LIMITS,
        injector=lambda: Leads(_to_limit, 1.0),
        ticks=400,
    ),
    FaultCase(
        "run_into_limit",
        "at full speed through a limit, which is seen too late to stop",
        LIMITS,
        injector=_moving(lambda now, t: min(_run_up(now, t), now.robot.upper[ROLL] + 0.08 - now.q0[ROLL]), ROLL),
        ticks=300,
    ),
    FaultCase(
        "far_outside_limit",
        "at full speed to 0.5 rad beyond a limit",
        LIMITS,
        injector=_moving(_run_up, ROLL),
        ticks=300,
    ),
    FaultCase(
        "start_outside_inward",
        "the arm starts outside of a limit and is led inward",
        LIMITS,
        onset=Onset.START,
        injector=lambda: _StartsOutside(outward=False),
    ),
    FaultCase(
        "start_outside_outward",
        "the arm starts outside of a limit and is led further out",
        STANDS,
        onset=Onset.START,
        injector=lambda: _StartsOutside(outward=True),
    ),
    FaultCase(
        "sine_attack",
        "a sine of rising frequency, 0.5 to 60 Hz, and changing amplitude",
        LIMITS,
        injector=_moving(_sweep),
        ticks=480,
    ),
    FaultCase(
        "noise_attack",
        "every joint anywhere within 0.2 rad in each tick",
        LIMITS,
        injector=lambda: Drives(_noise),
        ticks=300,
    ),
    FaultCase(
        "chatter",
        "0.03 rad to one side and to the other in turn",
        LIMITS,
        injector=_moving(lambda now, t: 0.03 * (-1.0) ** round(t / DT)),
    ),
    FaultCase(
        "singular_pose", "the wrist as on a straight line past a singularity", LIMITS, injector=_moving(_singular, ROLL)
    ),
    FaultCase(
        "into_itself",
        "at legal speed to a pose with the gripper in the shoulder",
        LIMITS,
        injector=_pose(SELF_POSE, 1.5),
        ticks=300,
    ),
    FaultCase("into_itself_fast", "the same at the full speed", LIMITS, injector=_pose(SELF_POSE, 2.4), ticks=300),
    FaultCase(
        "into_table",
        "at legal speed to a pose below the table",
        LIMITS,
        injector=_to_table(1.0),
        ticks=480,
    ),
    FaultCase("into_table_fast", "the same at the full speed", LIMITS, injector=_to_table(2.4), ticks=480),
    FaultCase(
        "arm_into_arm",
        "two arms led into each other at legal speed",
        LIMITS,
        injector=lambda: Leads(_arms_crossed, 1.5),
        ticks=300,
        robot="so101_bimanual",
        sources=("system1", "expert"),
    ),
)
