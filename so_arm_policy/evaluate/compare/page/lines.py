"""The lines of the page's table: what is measured of each controller on a task."""

from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.evaluate.compare.page.charts import SIGHT_COLORS, known
from so_arm_policy.evaluate.compare.page.findings import ranked
from so_arm_policy.evaluate.compare.page.quality import SUCCESS
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.summary import CellSummary
from so_arm_policy.evaluate.statistics import mean, percentile

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One figure of the table. best: whether a test calls it the best of its task."""

    text: str
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """One controller on one task. values: in the order of COLUMNS."""

    cell: CellSummary
    family: str
    color: str
    success: Value
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One controller on every task at a glance. cells: in the order of the tasks, None where it was not run."""

    controller: str
    color: str
    cells: tuple[CellSummary | None, ...]


# Heading, unit, and what a reader may want to know of it.
COLUMNS = (
    ("time", "s", "until success, mean of the successes"),
    ("LDLJ", "", "log dimensionless jerk of the commands, median of the successes; higher is smoother"),
    ("SPARC", "", "spectral arc length of the fingertip's speed, median of the successes; higher is smoother"),
    ("energy", "J", "mechanical, mean of the successes"),
    ("clamps", "/min", "ticks a simulated minute in which the supervisor limited the command"),
    ("rejects", "/min", "ticks a simulated minute in which the supervisor refused the command"),
    ("holds", "/min", "ticks a simulated minute in which the supervisor held the arm"),
    ("inference", "ms", "System 1 or thinking, p50 / p99: medians over the episodes"),
    ("context", "ms", "System 2 or seeing, p50 / p99: medians over the episodes"),
    ("CPU", "s", "of a whole episode, simulator and pictures included, mean"),
)


def lines_of(
    task: str,
    cells: Sequence[CellSummary],
    rows: Sequence[EpisodeRow],
    timing: Sequence[TimingRow],
    best: set[tuple[str, str, str]],
) -> list[Line]:
    """Return the lines of a task, the most successful controller first."""
    family = {row.controller: row.family for row in rows if row.task == task}
    clocks: dict[str, list[TimingRow]] = {}
    for clock in timing:
        if clock.task == task:
            clocks.setdefault(clock.controller, []).append(clock)
    return [
        Line(
            cell=cell,
            family=family[cell.controller],
            color=SIGHT_COLORS[cell.sees],
            success=Value(
                text=f"{cell.successes}/{cell.episodes}" if cell.episodes else "could not be made",
                best=(task, cell.controller, SUCCESS) in best,
            ),
            values=_values(cell, clocks.get(cell.controller, []), best),
        )
        for cell in ranked([cell for cell in cells if cell.task == task])
    ]


def glances(tasks: Sequence[str], cells: Sequence[CellSummary]) -> list[Glance]:
    """Return a line for each controller: first who was run on most tasks, of those the one of the best mean rate."""
    of_controller: dict[str, dict[str, CellSummary]] = {}
    for cell in cells:
        of_controller.setdefault(cell.controller, {})[cell.task] = cell

    def rank(mine: dict[str, CellSummary]) -> tuple[int, float]:
        return -len(mine), -sum(cell.successes / max(cell.episodes, 1) for cell in mine.values())

    return [
        Glance(
            controller=name,
            color=SIGHT_COLORS[next(iter(mine.values())).sees],
            cells=tuple(mine.get(task) for task in tasks),
        )
        for name, mine in sorted(of_controller.items(), key=lambda item: (*rank(item[1]), item[0]))
    ]


def _values(cell: CellSummary, clocks: Sequence[TimingRow], best: set[tuple[str, str, str]]) -> tuple[Value, ...]:
    def tested(metric: str, digits: int) -> Value:
        return Value(text=_text(getattr(cell, metric), digits), best=(cell.task, cell.controller, metric) in best)

    context = [
        percentile(known([getattr(clock, name) for clock in clocks]), 50)
        for name in ("context_p50_ms", "context_p99_ms")
    ]
    return (
        tested("time_s", 2),
        tested("smoothness", 2),
        Value(text=_text(cell.sparc, 2)),
        tested("energy_j", 2),
        *(Value(text=_text(rate, 1)) for rate in (cell.clamps, cell.rejects, cell.holds)),
        Value(text=_both(cell.inference_p50_ms, cell.inference_p99_ms)),
        Value(text=_both(*context)),
        Value(text=_text(mean(known([clock.cpu_s for clock in clocks])), 2)),
    )


def _both(p50: float | None, p99: float | None) -> str:
    return NONE if p50 is None or p99 is None else f"{p50:.2f} / {p99:.2f}"


def _text(value: float | None, digits: int) -> str:
    # Typographic minus: a hyphen is hard to see before a small figure.
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")
