"""Clocks: ROS time and monotonic time that jump, stand still or go back, and a supervisor that ticks wrongly.

The true time of an episode is both ROS time and monotonic time; a fault makes the two differ.
"""

from collections.abc import Callable
from dataclasses import replace

from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.faults.case import CLOCK_SILENCE, Expect, FaultCase, Injector, Now
from so_arm_policy.evaluate.faults.inject import PERIOD_NS, Ticked
from so_arm_policy.safety.values import TickInput

HALF_SECOND = CONTROL_HZ // 2


def _back(began_ns: int, true_ns: int) -> int:  # noqa: ARG001
    return true_ns - NS


def _ahead(began_ns: int, true_ns: int) -> int:  # noqa: ARG001
    return true_ns + 5 * NS


def _paused(began_ns: int, true_ns: int) -> int:  # noqa: ARG001
    return began_ns


def _jittering(began_ns: int, true_ns: int) -> int:
    return true_ns + 4_000_000 * ((true_ns - began_ns) // PERIOD_NS % 3 - 1)


class _RosClock(Injector):
    """The ROS clock reads `false(when the fault began, true time)`, all ns; `everybody`: in all stamps too."""

    def __init__(self, false: Callable[[int, int], int], everybody: bool) -> None:
        self._false, self._everybody = false, everybody
        self._began_ns: int | None = None

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        off = self._off(now) if self._everybody else 0
        return [
            replace(p, stamp_ns=p.stamp_ns + off, observation_stamp_ns=p.observation_stamp_ns + off)
            for p in super().arrive(now, proposal)
        ]

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        off = self._off(now)
        sample = tick.sample
        if sample is not None and self._everybody:
            sample = replace(sample, stamp_ns=sample.stamp_ns + off)
        return [replace(tick, ros_now_ns=tick.ros_now_ns + off, sample=sample)]

    def _off(self, now: Now) -> int:
        self._began_ns = now.now_ns if self._began_ns is None else self._began_ns
        return self._false(self._began_ns, now.now_ns) - now.now_ns


def _monotonic(false: Callable[[int, int], int]) -> Callable[[], Injector]:
    """The monotonic clock of the supervisor reads `false(when the fault began, true time)`; arrival stamps are true."""

    def make() -> Injector:
        began_ns: list[int] = []

        def change(now: Now, tick: TickInput) -> TickInput:
            began_ns.append(now.now_ns)
            return replace(tick, now_ns=false(began_ns[0], now.now_ns))

        return Ticked(change)

    return make


def _ticks(when: Callable[[Now], bool]) -> Callable[[], Injector]:
    """The supervisor ticks only when told to."""
    return lambda: Ticked(lambda now, tick: tick if when(now) else None)


def _twice(back_ns: int) -> Callable[[], Injector]:
    """Every tick comes twice, the second time with a clock that reads `back_ns` less."""
    return lambda: Ticked(lambda _, tick: [tick, replace(tick, now_ns=tick.now_ns - back_ns)])


def _burst(now: Now, tick: TickInput) -> list[TickInput]:
    """Nothing for 30 periods, then 30 ticks at once; the clock has seen all of the time pass."""
    if now.tick < 30:
        return []
    return [tick] * 30 if now.tick == 30 else [tick]


def _catching_up(now: Now, tick: TickInput) -> list[TickInput]:
    """Nothing for 30 periods, then the missed ticks as fast as the processor can, 0.1 ms apart."""
    if now.tick < 30:
        return []
    return [replace(tick, now_ns=tick.now_ns + i * 100_000) for i in range(30)] if now.tick == 30 else [tick]


STOPS, LIMITS = Expect.STOPS, Expect.LIMITS

CASES = (
    FaultCase(
        "ros_clock_back",
        "the ROS clock of everybody goes back by a second",
        LIMITS,
        injector=lambda: _RosClock(_back, everybody=True),
    ),
    FaultCase(
        "ros_clock_back_here",
        "the ROS clock of the supervisor alone goes back by a second",
        STOPS,
        injector=lambda: _RosClock(_back, everybody=False),
    ),
    FaultCase(
        "ros_clock_ahead",
        "the ROS clock of everybody jumps ahead by 5 s",
        LIMITS,
        injector=lambda: _RosClock(_ahead, everybody=True),
    ),
    FaultCase(
        "ros_clock_ahead_here",
        "the ROS clock of the supervisor alone jumps ahead by 5 s",
        STOPS,
        injector=lambda: _RosClock(_ahead, everybody=False),
    ),
    FaultCase(
        "ros_clock_paused",
        "the ROS clock of everybody stands still",
        STOPS,
        reaction=CLOCK_SILENCE,
        injector=lambda: _RosClock(_paused, everybody=True),
    ),
    FaultCase(
        "ros_clock_paused_here",
        "the ROS clock of the supervisor alone stands still",
        STOPS,
        reaction=CLOCK_SILENCE,
        injector=lambda: _RosClock(_paused, everybody=False),
    ),
    FaultCase(
        "ros_clock_jitters",
        "the ROS clock of everybody goes to and fro by 4 ms",
        LIMITS,
        injector=lambda: _RosClock(_jittering, everybody=True),
    ),
    FaultCase("dt_zero", "every tick comes twice at the same time", LIMITS, injector=_twice(0)),
    FaultCase(
        "dt_negative",
        "every tick comes twice, the second time with a clock 5 ms behind",
        LIMITS,
        injector=_twice(5_000_000),
    ),
    FaultCase("monotonic_stuck", "the monotonic clock stands still", STOPS, injector=_monotonic(_paused)),
    FaultCase(
        "monotonic_jump",
        "the monotonic clock jumps ahead by a second",
        LIMITS,
        injector=_monotonic(lambda began_ns, true_ns: true_ns + NS),
    ),
    FaultCase(
        "supervisor_stall",
        "the supervisor does not tick for 500 ms",
        LIMITS,
        injector=_ticks(lambda now: now.tick >= HALF_SECOND),
    ),
    FaultCase(
        "supervisor_hiccup", "the supervisor misses one tick", LIMITS, injector=_ticks(lambda now: now.tick != 0)
    ),
    FaultCase(
        "supervisor_overrun",
        "the supervisor needs two periods for each tick",
        LIMITS,
        injector=_ticks(lambda now: now.tick % 2 == 1),
    ),
    FaultCase("supervisor_dies", "the supervisor ticks no more", STOPS, injector=_ticks(lambda now: False)),
    FaultCase(
        "burst_after_stall",
        "no tick for 250 ms, then 30 at once at the same time",
        LIMITS,
        injector=lambda: Ticked(_burst),
    ),
    FaultCase(
        "catching_up",
        "no tick for 250 ms, then 30 at once, 0.1 ms apart",
        LIMITS,
        injector=lambda: Ticked(_catching_up),
    ),
)
