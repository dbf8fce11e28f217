"""Emergency stop: it latches, outranks all else, and nothing from before a reset moves the arm afterwards."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.faults.case import OTHER, Expect, FaultCase, Injector, Now, Onset
from so_arm_policy.evaluate.faults.inject import STOPPED, SaidAgain, Ticked, Together, healthy
from so_arm_policy.safety.values import Fault, TickInput

PUSH_NM = 6.0  # more than a servo can hold
BRIEFLY, LONG = 35, 150  # ticks for which it is pushed


def _pressed(**more: Callable[[Now, TickInput], Any]) -> Callable[[], Injector]:
    """The stop is pressed in the first tick; `more`: what else is asked for, by functions of each tick."""

    def change(now: Now, tick: TickInput) -> TickInput:
        return replace(
            tick, estop="test" if now.tick == 0 else None, **{name: make(now, tick) for name, make in more.items()}
        )

    return lambda: Ticked(change)


def _old_motion() -> Injector:
    """After the reset the source goes on with the motion it had in mind before, stamped as it was."""
    return SaidAgain(lambda now, old: replace(old, received_ns=now.now_ns))


class _OtherSpeaks(Injector):
    """Another source is healthy and stands where the arm is, then goes off at 0.5 rad/s."""

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        q = now.simulator.q + (0.5 / 120 if now.tick > STOPPED else 0.0)
        return [*super().arrive(now, proposal), healthy(now, q, None, OTHER, now.tick + 1)]


class _MovedByHand(Injector):
    """While it is stopped somebody turns the first joint by force, to its end stop, for `ticks` ticks."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks

    def plant(self, now: Now) -> None:
        joint = now.simulator.model.joint(now.robot.joint_names[0])
        pushed = STOPPED <= now.tick < STOPPED + self._ticks
        now.simulator.data.qfrc_applied[joint.dofadr[0]] = PUSH_NM if pushed else 0.0


def _always(value: Any) -> Callable[[Now, TickInput], Any]:
    return lambda *_: value


def _at(tick: int) -> Callable[[Now, TickInput], bool]:
    return lambda now, _: now.tick == tick


def _from_start(now: Now, tick: TickInput) -> TickInput:
    return replace(tick, estop="test" if now.tick == 0 else None, sample=None if now.tick < 3 else tick.sample)


def _held(now: Now, tick: TickInput) -> TickInput:
    return replace(tick, estop="test", reset=now.tick > 0)


_latching = (Fault(code="bus.dead", text="the bus does not answer", latches=True),)
STOPS, STANDS, LIMITS = Expect.STOPS, Expect.STANDS, Expect.LIMITS

CASES = (
    FaultCase("estop", "pressed once; the source goes on, who pressed dies", STOPS, injector=_pressed()),
    FaultCase(
        "estop_without_reason",
        "pressed with an empty text",
        STOPS,
        injector=lambda: Ticked(lambda now, tick: replace(tick, estop="" if now.tick == 0 else None)),
    ),
    FaultCase("estop_and_reset", "pressed and reset in the same tick", STOPS, injector=_pressed(reset=_at(0))),
    FaultCase("estop_held", "pressed all the time, while somebody resets", STOPS, injector=lambda: Ticked(_held)),
    FaultCase(
        "reset_while_braking",
        "reset before the arm stands",
        STOPS,
        injector=_pressed(reset=lambda now, _: now.tick in (1, 2)),
    ),
    FaultCase(
        "reset_with_cause",
        "reset while the fault that stopped the arm is still there",
        STOPS,
        injector=lambda: Ticked(lambda now, tick: replace(tick, faults=_latching, reset=now.tick >= STOPPED)),
    ),
    FaultCase(
        "reset_without_state",
        "reset while there is no joint state",
        STOPS,
        injector=_pressed(reset=_at(STOPPED), sample=_always(None)),
    ),
    FaultCase(
        "old_motion_after_reset",
        "after the reset the source sends what it had in mind before",
        STOPS,
        injector=lambda: Together(_old_motion(), _pressed(reset=_at(STOPPED))()),
    ),
    FaultCase(
        "source_goes_on_after_reset",
        "after the reset the source goes on from where it would be by now",
        LIMITS,
        injector=_pressed(reset=_at(STOPPED)),
    ),
    FaultCase(
        "select_while_stopped",
        "another source, healthy and near, is selected while the arm is stopped",
        STOPS,
        injector=lambda: Together(
            _OtherSpeaks(), _pressed(select=lambda now, _: OTHER if now.tick == STOPPED else None)()
        ),
    ),
    FaultCase(
        "estop_in_silence",
        "pressed in the tick from which on there is no joint state",
        STOPS,
        injector=_pressed(sample=_always(None)),
    ),
    FaultCase(
        "estop_with_nan",
        "pressed while the measured state and the source say NaN",
        STOPS,
        injector=_pressed(sample=lambda now, tick: replace(now.sample, q=np.full(len(now.sample.q), np.nan))),
    ),
    FaultCase(
        "estop_while_clock_paused",
        "pressed in the tick from which on the ROS clock stands still",
        STOPS,
        injector=_pressed(ros_now_ns=lambda now, tick: tick.ros_now_ns - now.tick * 8_333_333),
    ),
    FaultCase(
        "estop_at_start",
        "pressed before the first joint state",
        STANDS,
        injector=lambda: Ticked(_from_start),
        onset=Onset.START,
    ),
    FaultCase(
        "moved_by_hand",
        "while stopped the arm is turned to its end stop by hand, reset there, and let go",
        LIMITS,
        injector=lambda: Together(_MovedByHand(LONG), _pressed(reset=_at(STOPPED + LONG - 10))()),
        ticks=300,
    ),
    FaultCase(
        "estop_limp",
        "pressed where a stop takes the torque away (estop_limp)",
        STOPS,
        injector=_pressed(),
        config={"estop_limp": True},
        limp=True,
    ),
    FaultCase(
        "reset_while_limp",
        "the same, and reset once: the arm is held where it fell to, and nothing moves it",
        STOPS,
        injector=_pressed(reset=_at(STOPPED + LONG)),
        config={"estop_limp": True},
        limp=True,
        ticks=300,
    ),
    FaultCase(
        "two_resets_while_limp",
        "the same, and reset twice: the source goes on",
        LIMITS,
        injector=_pressed(reset=lambda now, _: now.tick in (STOPPED + LONG, STOPPED + LONG + 10)),
        config={"estop_limp": True},
        limp=True,
        ticks=300,
    ),
    FaultCase(
        "reset_while_swinging",
        "while stopped the arm is turned by hand, let go, and reset while it swings back",
        LIMITS,
        injector=lambda: Together(_MovedByHand(BRIEFLY), _pressed(reset=_at(STOPPED + BRIEFLY + 20))()),
        ticks=180,
    ),
)
