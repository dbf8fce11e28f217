"""Runs live faults: one stack after another, on each the cases that want it, judged by what the arm did."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from pathlib import Path

import numpy as np

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.evaluate.referee import Ratios
from so_arm_policy.ros import topics
from so_arm_policy.ros.live_fault_cases import After, Expect, LiveCase
from so_arm_policy.ros.live_fault_judge import (
    ARM_TOLERANCE,
    ASTRAY_RAD,
    MOVES_RAD,
    Rest,
    Series,
    arm_peak,
    astray,
    judge_limits,
    judge_rest,
    together,
)
from so_arm_policy.ros.live_fault_world import Rig, World, running
from so_arm_policy.ros.up import Log

IDLE = "replay"  # a source that says nothing: with it selected, the arm stands
REST_TICKS = 12
READY_WITHIN_S = 60.0
RECOVERS_WITHIN_S = 60.0
RESET_EVERY_S = 1.0


class Outcome(Enum):
    """What came of a case."""

    CONTAINED = "CONTAINED"
    NOT_CONTAINED = "NOT CONTAINED"
    NOT_SHOWN = "NOT SHOWN"  # the arm never moved at speed, or the stack did not run


@dataclass(frozen=True, kw_only=True)
class LiveResult:
    """One case as it went.

    standstill_ms: from the onset until arm and command stood, None: never. overshoot_rad: furthest from where the arm
    was at the onset. peak: worst multiple of a limit in any command from rest to recovery, infinite for one that is no
    number; broken: the limits beyond their tolerance; arm_peak: speed of the arm as a multiple of its limit.
    recovered: how it moved again, "no" when it did not. latched: why the supervisor waited for a reset, which judges
    nothing. lost: commands that the judge did not hear. problems: why it is not contained; note: what else was not as
    the documents say.
    """

    case: str
    text: str
    outcome: Outcome
    standstill_ms: float | None = None
    overshoot_rad: float = math.nan
    peak: float = math.nan
    broken: tuple[str, ...] = ()
    arm_peak: float = math.nan
    recovered: str = ""
    latched: str = ""
    lost: int = 0
    problems: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What was seen of one case: series from rest to recovery, when the fault began and was over, monotonic s."""

    arm: Series
    commands: Series
    onset_s: float
    end_s: float
    recovered: After | None
    latched: str = ""
    complaints: tuple[str, ...] = ()


def run_cases(cases: Sequence[LiveCase], log: Log, bundle: str = "") -> Iterator[LiveResult]:
    """Run cases on stacks of their rigs. bundle: of the policy. Raises ConfigError or BundleError.

    A stack that cannot go on after a case is replaced by a new one.
    """
    with tempfile.TemporaryDirectory(prefix="live_faults_") as folder:
        for rig, group in groupby(cases, key=lambda case: case.rig):
            waiting = list(group)
            while waiting:
                yield from _on_one_stack(rig, waiting, Path(folder), log, bundle)


def _on_one_stack(rig: Rig, waiting: list[LiveCase], folder: Path, log: Log, bundle: str) -> Iterator[LiveResult]:
    """Run the waiting cases, and take them off the list, until all are done or the stack cannot go on."""
    case: LiveCase | None = None
    try:
        with running(rig, folder, log, bundle) as world:
            while waiting:
                case = waiting.pop(0)
                result = run_case(world, case)
                yield result
                if result.recovered == "no":
                    return
                case = None
    except DeviceError as error:
        failed = case or waiting.pop(0)
        yield LiveResult(case=failed.name, text=failed.text, outcome=Outcome.NOT_SHOWN, problems=(str(error),))


def run_case(world: World, case: LiveCase) -> LiveResult:
    """Run one case. Raises DeviceError when the stack cannot go on."""
    monitor, driver = world.monitor, world.driver
    world.complaints.clear()
    monitor.begin()
    world.select(IDLE)
    if not world.wait(lambda: monitor.holding(REST_TICKS), READY_WITHIN_S):
        raise DeviceError(f"got no rest within {READY_WITHIN_S:.0f} s with a silent source selected, expected one")
    monitor.keep_from_rest(REST_TICKS)
    world.select(driver.source)
    if not world.wait(lambda: driver.ready() and monitor.moves_at(driver.fast_rad_s), READY_WITHIN_S):
        status = monitor.status
        why = f"{status.verdict} {status.reason_code} {status.reason_text}" if status else "no status"
        raise DeviceError(f"the arm did not reach {driver.fast_rad_s} rad/s within {READY_WITHIN_S:.0f} s: {why}")
    onset_s = time.monotonic()
    with case.fault(world):
        world.wait(lambda: time.monotonic() > onset_s + case.watched_s, 2.0 * case.watched_s, restart=False)
        end_s = time.monotonic()
    recovered, latched = _recover(world)
    seen = Seen(
        arm=monitor.arm,
        commands=monitor.commands,
        onset_s=onset_s,
        end_s=end_s,
        recovered=recovered,
        latched=latched,
        complaints=tuple(world.complaints),
    )
    return judge(case, world, seen)


def _recover(world: World) -> tuple[After | None, str]:
    """Wait until the arm moves again; reset what latched. Returns how it came to that (None: not), and what latched."""
    began_s, asked_s, was_reset, latched = time.monotonic(), -math.inf, False, ""

    def moves() -> bool:
        nonlocal asked_s, was_reset, latched
        latched = world.latched() or latched
        if world.latched() and time.monotonic() - asked_s > RESET_EVERY_S:
            asked_s = time.monotonic()
            was_reset = world.ask(topics.RESET)[0] or was_reset
        arm = world.monitor.arm
        after = arm.q[np.searchsorted(arm.time_s, began_s + REST_TICKS / 120) :]
        far = bool(len(after)) and float(np.ptp(after, axis=0).max()) > MOVES_RAD
        return far and world.monitor.speed > 0.0 and not world.latched()

    if not world.wait(moves, RECOVERS_WITHIN_S):
        return None, latched
    return After.RESET if was_reset else After.BY_ITSELF, latched


def judge(case: LiveCase, world: World, seen: Seen) -> LiveResult:
    """Return what a case came to."""
    watched = (seen.arm, seen.commands)
    arm, command = (judge_rest(s, seen.onset_s, seen.end_s, patient=case.patient) for s in watched)
    rest = together(arm, command)
    limits = judge_limits(world.robot, seen.commands, seen.arm)
    fastest = arm_peak(world.robot, seen.arm)
    problems = [*seen.complaints, *problems_of(case, rest, limits, seen.recovered)]
    if not fastest <= ARM_TOLERANCE:
        problems.append(f"the arm moved at {fastest:.2f} of its velocity limit, expected {ARM_TOLERANCE} at most")
    off = astray(seen.commands, seen.arm, seen.end_s)
    if case.expect is Expect.STOPS and not off <= ASTRAY_RAD:
        problems.append(f"ends {off:.2f} rad from what the supervisor commands, expected {ASTRAY_RAD} at most")
    strict = case.after is After.BY_ITSELF and seen.recovered is After.RESET
    note = f"moved again after a reset ({seen.latched}), expected by itself" if strict else ""
    shown = case.expect is Expect.STOPS and rest.standstill_s is not None
    return LiveResult(
        case=case.name,
        text=case.text,
        outcome=Outcome.NOT_CONTAINED if problems else Outcome.CONTAINED,
        standstill_ms=1000.0 * rest.standstill_s if shown and rest.standstill_s is not None else None,
        overshoot_rad=rest.furthest_rad,
        peak=limits.worst,
        broken=limits.broken,
        arm_peak=fastest,
        recovered="no" if seen.recovered is None else seen.recovered.value,
        latched=seen.latched,
        lost=seen.commands.lost,
        problems=tuple(problems),
        note=note,
    )


def problems_of(case: LiveCase, rest: Rest, limits: Ratios, recovered: After | None) -> list[str]:
    """Return what was not as it must be."""
    problems = [f"commands broke the limits of {', '.join(limits.broken)}"] if limits.broken else []
    if case.expect is Expect.STOPS:
        if rest.standstill_s is None:
            problems.append("never came to rest")
        elif rest.standstill_s > case.bound_s:
            problems.append(f"came to rest after {rest.standstill_s:.2f} s, expected {case.bound_s:g} s at most")
        if not rest.stays and rest.standstill_s is not None:
            problems.append(f"moved again by {rest.moved_again_rad:.3f} rad while the fault lasted")
    if case.expect is Expect.GOES_ON and rest.furthest_rad < MOVES_RAD:
        problems.append(f"moved {rest.furthest_rad:.3f} rad only, expected it to go on")
    if recovered is None:
        problems.append(f"did not move again within {RECOVERS_WITHIN_S:.0f} s after the fault")
    elif case.after is After.RESET and recovered is After.BY_ITSELF:
        problems.append("moved again by itself, expected only after a reset")
    return problems
