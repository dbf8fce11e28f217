"""A loop on the absolute grid that counts the ticks it missed and how late the others were."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS, TimeGrid

BIN_NS = 10_000
BINS = 5_000  # the last one holds everything from 50 ms on


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One tick: its number on the grid, when it was due and when it began, monotonic ns."""

    index: int
    due_ns: int
    now_ns: int


class Histogram:
    """Counts durations in bins of 10 us: percentiles of hours cost no memory. One thread adds, any may read."""

    def __init__(self) -> None:
        """Begin empty."""
        self._bins: dict[int, int] = {}
        self.count = 0
        self.max_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as zero."""
        place = min(max(duration_ns, 0) // BIN_NS, BINS - 1)
        self._bins[place] = self._bins.get(place, 0) + 1
        self.count += 1
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns

    def percentile_ms(self, percent: float) -> float:
        """Return the upper edge of the bin that holds `percent` of all, at most the maximum, in ms; nan when empty."""
        return percentile_ms(self.sparse(), percent, self.max_ns)

    def sparse(self) -> dict[int, int]:
        """Return bin number -> count for the bins in use; bin i holds durations from i * 10 us."""
        return dict(self._bins)


def percentile_ms(bins: Mapping[int, int], percent: float, max_ns: int | None = None) -> float:
    """Percentile of a sparse histogram (see Histogram.sparse), in ms; nan when it is empty."""
    if not 0.0 <= percent <= 100.0:
        raise ConfigError(f"percentile: got {percent}, expected 0..100")
    left = sum(bins.values()) * percent / 100.0
    if not any(bins.values()):
        return float("nan")
    edge_ns = 0
    for i in sorted(bins):
        edge_ns = (i + 1) * BIN_NS
        left -= bins[i]
        if left <= 0:
            break
    return (edge_ns if max_ns is None else min(edge_ns, max_ns)) / 1e6


@dataclass(frozen=True, kw_only=True)
class TickReport:
    """What a loop did so far. Lateness: how long after its due time a tick began, ms."""

    ticks: int
    missed: int
    rate_hz: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    work_p50_ms: float
    work_p99_ms: float


class TickLoop:
    """Calls `work` on every tick of an absolute grid.

    A tick whose successor is already due is run late; ticks that more than one successor has overtaken are skipped
    and counted in `missed`: a loop that fell behind never runs a burst. Clock and sleep can be replaced in tests.

    phase: where in the machine's own periods (of the monotonic clock, which all processes share) the ticks lie, 0..1.
    Loops of several processes so keep their order: each meets what the one before it has sent, and none meets the
    others at work.
    """

    def __init__(
        self,
        work: Callable[[Tick], None],
        rate_hz: int = CONTROL_HZ,
        phase: float = 0.0,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ConfigError for a rate no grid has, or a phase outside of a period."""
        if not 0.0 <= phase < 1.0:
            raise ConfigError(f"tick loop: got phase {phase}, expected 0 to below 1")
        self._work = work
        self._now_ns = now_ns
        self._sleep = sleep
        self._stop = threading.Event()
        self._began_ns = self._last_ns = 0
        self._machine = TimeGrid(origin_ns=round(phase * NS / max(rate_hz, 1)), rate_hz=rate_hz)
        self.rate_hz = self._machine.rate_hz
        self.ticks = 0
        self.missed = 0
        self.lateness = Histogram()
        self.work_time = Histogram()

    def stop(self) -> None:
        """End `run` before its next tick; any thread may call this."""
        self._stop.set()

    def run(self, ticks: int | None = None) -> None:
        """Run until `stop`, or for so many ticks. What `work` raises ends the loop and is raised here."""
        machine = self._machine
        grid = TimeGrid(origin_ns=machine.due_ns(machine.tick_at(self._now_ns())), rate_hz=self.rate_hz)
        self._began_ns = grid.origin_ns
        index, end = 1, None if ticks is None else self.ticks + ticks
        while not self._stop.is_set() and self.ticks != end:
            now_ns = self._wait(grid.due_ns(index))
            if self._stop.is_set():
                return
            self._one(Tick(index=index, due_ns=grid.due_ns(index), now_ns=now_ns))
            newest = grid.tick_at(self._now_ns())
            self.missed += max(newest - (index + 1), 0)
            index = max(newest, index + 1)

    def _wait(self, due_ns: int) -> int:
        """Sleep until `due_ns` and return the time."""
        now_ns = self._now_ns()
        while now_ns < due_ns and not self._stop.is_set():
            self._sleep((due_ns - now_ns) / NS)
            now_ns = self._now_ns()
        return now_ns

    def _one(self, tick: Tick) -> None:
        self.lateness.add(tick.now_ns - tick.due_ns)
        self._work(tick)
        self._last_ns = self._now_ns()
        self.work_time.add(self._last_ns - tick.now_ns)
        self.ticks += 1

    def report(self) -> TickReport:
        """Return the counts and percentiles since the start; any thread may call this."""
        seconds = (self._last_ns - self._began_ns) / NS
        late, worked = self.lateness, self.work_time
        return TickReport(
            ticks=self.ticks,
            missed=self.missed,
            rate_hz=self.ticks / seconds if seconds > 0 else 0.0,
            p50_ms=late.percentile_ms(50),
            p99_ms=late.percentile_ms(99),
            p999_ms=late.percentile_ms(99.9),
            max_ms=late.max_ns / 1e6,
            work_p50_ms=worked.percentile_ms(50),
            work_p99_ms=worked.percentile_ms(99),
        )
