"""What is drawn of the controllers on one task, one below the other, on axes that are given."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.summary import CellSummary
from so_arm_policy.evaluate.controllers import CAMERAS, PRIVILEGED
from so_arm_policy.evaluate.plots import FAINT, INK
from so_arm_policy.evaluate.statistics import percentile

# By what a controller knows of the scene; legible on white and on black, and without telling red from green.
SIGHT_COLORS = {CAMERAS: "#3b82f6", PRIVILEGED: "#e08a00", "nothing": "#8492a6"}
FAILURE_COLORS = ("#b91c1c", "#f59e0b", "#6366f1", "#0891b2", "#a855f7", "#84cc16", "#64748b")
OTHERS = "others"
MOST_LETTERS = 24
MOST_REASON = 52
MANY_POINTS = 400  # more are drawn as a picture: an SVG would grow with them
GOLDEN = 0.6180339887


def success(axes: Axes, cells: Sequence[CellSummary]) -> None:
    """Draw success rates with their intervals."""
    for y, cell in enumerate(cells):
        if not cell.episodes:
            axes.text(1.0, y, "could not be made", va="center", fontsize=8, color=FAINT)
            continue
        rate, color = 100.0 * cell.successes / cell.episodes, SIGHT_COLORS[cell.sees]
        axes.barh(y, rate, height=0.56, color=color, alpha=0.45, linewidth=0)
        axes.plot([100 * cell.low, 100 * cell.high], [y, y], color=INK, linewidth=1.4)
        axes.plot([rate], [y], "o", color=INK, markersize=4)
        axes.text(103.0, y, f"{cell.successes}/{cell.episodes}", va="center", fontsize=8.5)
    axes.set(xlim=(0, 118), xlabel="success, %", xticks=range(0, 101, 20))
    _controllers(axes, cells)


def spread(axes: Axes, cells: Sequence[CellSummary], rows: Sequence[EpisodeRow], metric: str, label: str) -> None:
    """Draw a dot for each episode, the middle half as a bar and the median as a line."""
    many = len(rows) > MANY_POINTS
    size = 9 if many else 16
    for y, cell in enumerate(cells):
        values = known([getattr(row, metric) for row in rows if row.controller == cell.controller])
        if not len(values):
            axes.text(0.01, y, "no success", transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=FAINT)
            continue
        color = SIGHT_COLORS[cell.sees]
        low, median, high = np.percentile(values, (25, 50, 75))
        apart = 0.5 * ((GOLDEN * np.arange(1, len(values) + 1)) % 1.0 - 0.5)
        axes.scatter(values, y + apart, s=size, color=color, alpha=0.55, linewidths=0, rasterized=many)
        axes.barh(y, high - low, left=low, height=0.56, color=color, alpha=0.25, linewidth=0)
        axes.plot([median, median], [y - 0.32, y + 0.32], color=INK, linewidth=1.6)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _controllers(axes, cells)


def failures_of(rows: Sequence[EpisodeRow]) -> dict[str, Counter[str]]:
    """Return how often each controller failed, by "stage: reason"; rare kinds of all of them are "others"."""
    most = Counter(_kind(row) for row in rows if not row.success).most_common(len(FAILURE_COLORS) - 1)
    named = {kind for kind, _ in most}
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if not row.success:
            kind = _kind(row)
            found.setdefault(row.controller, Counter())[kind if kind in named else OTHERS] += 1
    return found


def failures(axes: Axes, cells: Sequence[CellSummary], failed: Mapping[str, Counter[str]]) -> None:
    """Draw stacked bars of what failed."""
    kinds = sorted(
        {kind for counts in failed.values() for kind in counts},
        key=lambda kind: (kind == OTHERS, -sum(counts[kind] for counts in failed.values()), kind),
    )
    left = np.zeros(len(cells))
    for kind, color in zip(kinds, FAILURE_COLORS, strict=False):
        counts = np.array([failed.get(cell.controller, Counter())[kind] for cell in cells], dtype=float)
        axes.barh(range(len(cells)), counts, left=left, height=0.56, color=color, linewidth=0, label=kind)
        left += counts
    for y, total in enumerate(left):
        if total:
            axes.text(total, y, f" {total:.0f}", va="center", fontsize=8.5)
    axes.set(xlim=(0, 1.1 * max(left.max(), 1.0)), xlabel="failed episodes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _controllers(axes, cells)
    axes.figure.legend(loc="outside lower left", fontsize=8)


def known(values: Sequence[float | None]) -> list[float]:
    """Return those that are known."""
    return [value for value in values if value is not None]


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of those that are known; None without any."""
    return percentile(known(values), 50)


def short(name: str) -> str:
    """Return a name of at most MOST_LETTERS letters: its end, as of a path the end tells most."""
    return name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"


def _kind(row: EpisodeRow) -> str:
    text = f"{row.failure_stage}: {row.failure_reason}"
    return text if len(text) <= MOST_REASON else f"{text[: MOST_REASON - 1]}…"


def _controllers(axes: Axes, cells: Sequence[CellSummary]) -> None:
    """Name the controllers on the y axis, with what they see."""
    axes.set_yticks(range(len(cells)), [f"{short(cell.controller)}\n{cell.sees}" for cell in cells], fontsize=8)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
