"""The figures of a comparison: as SVG text that takes the colours of its page, and as PNG files for documents."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.page import charts
from so_arm_policy.evaluate.compare.page.findings import ranked
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.summary import CellSummary
from so_arm_policy.evaluate.plots import INK, STYLE

# Half the width of the page, so that the letters stay legible on a phone.
WIDTH_IN = 4.8
PNG_WIDTH_IN, PNG_DPI = 7.5, 150
ROW_IN, FRAME_IN = 0.36, 0.95
GRID = STYLE["grid.color"]
NAMES: dict[Any, Any] = {"text.parse_math": False}  # a name may hold a dollar
SUCCESS_PNG, TIMES_PNG = "success.png", "times.png"


def figures_of(task: str, cells: Sequence[CellSummary], rows: Sequence[EpisodeRow]) -> dict[str, str]:
    """Return the figures of a task as <svg> elements by their captions; only those that have something to show."""
    mine = ranked([cell for cell in cells if cell.task == task])
    of_task = [row for row in rows if row.task == task]
    good = [row for row in of_task if row.success]
    height = FRAME_IN + ROW_IN * len(mine)
    rates = ", ".join(f"{cell.controller} {cell.successes} of {cell.episodes}" for cell in mine)
    found = {
        "Success, with its 95 % Wilson interval": _svg(
            f"Success on {task}: {rates}", height, lambda axes: charts.success(axes, mine)
        )
    }
    if good:
        found["Time to success (line: median, bar: middle half)"] = _svg(
            f"Times to success on {task}: {_medians(mine, good, 'time_s', 's')}",
            height,
            lambda axes: charts.spread(axes, mine, good, "time_s", "time to success, s"),
        )
        found["Smoothness of the commands of successes (more to the right is smoother)"] = _svg(
            f"Log dimensionless jerk on {task}: {_medians(mine, good, 'log_dimensionless_jerk', '')}",
            height,
            lambda axes: charts.spread(axes, mine, good, "log_dimensionless_jerk", "log dimensionless jerk"),
        )
    failed = charts.failures_of(of_task)
    if failed:
        said = ", ".join(f"{name}: {sum(counts.values())}" for name, counts in failed.items())
        kinds = len({kind for counts in failed.values() for kind in counts})
        found["Failures by stage and reason"] = _svg(
            f"Failed episodes on {task}: {said}",
            height + 0.2 * kinds,
            lambda axes: charts.failures(axes, mine, failed),
        )
    return found


def write_figures(folder: Path, cells: Sequence[CellSummary], rows: Sequence[EpisodeRow]) -> list[Path]:
    """Write success.png and times.png, a row for each task, and return their paths. Raises ConfigError."""
    good = [row for row in rows if row.success]

    def success(axes: Axes, mine: Sequence[CellSummary]) -> None:
        charts.success(axes, mine)

    def times(axes: Axes, mine: Sequence[CellSummary]) -> None:
        of_task = [row for row in good if row.task == mine[0].task]
        charts.spread(axes, mine, of_task, "time_s", "time to success, s")

    paths = []
    for name, draw in ((SUCCESS_PNG, success), (TIMES_PNG, times)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(_png(cells, draw))
        except OSError as error:
            raise ConfigError(f"{folder / name}: got {error.strerror}, expected a file that can be written") from error
        paths.append(folder / name)
    return paths


def _png(cells: Sequence[CellSummary], draw: Callable[[Axes, Sequence[CellSummary]], None]) -> bytes:
    names = dict.fromkeys(cell.task for cell in cells)
    tasks = {task: ranked([cell for cell in cells if cell.task == task]) for task in names}
    heights = [FRAME_IN + ROW_IN * len(mine) for mine in tasks.values()]
    with mpl.rc_context({**STYLE, **NAMES}):
        figure = Figure(figsize=(PNG_WIDTH_IN, sum(heights)), layout="constrained")
        rows = figure.subplots(len(tasks), 1, height_ratios=heights, squeeze=False)
        for axes, (task, mine) in zip(rows[:, 0], tasks.items(), strict=True):
            draw(axes, mine)
            axes.set_title(task, loc="left", fontsize=11, fontweight="bold")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return file.getvalue()


def _svg(text: str, height_in: float, draw: Callable[[Axes], None]) -> str:
    """Return a figure as an <svg> element that scales with the page and says `text` to whoever cannot see it."""
    with mpl.rc_context({**STYLE, **NAMES, "svg.hashsalt": text}):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    # Inside a page the names of the namespaces are not needed, and they look like addresses.
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--line)")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1)


def _medians(cells: Sequence[CellSummary], rows: Sequence[EpisodeRow], metric: str, unit: str) -> str:
    found = []
    for cell in cells:
        middle = charts.middle([getattr(row, metric) for row in rows if row.controller == cell.controller])
        if middle is not None:
            found.append(f"{cell.controller} median {middle:.2f} {unit}".rstrip())
    return ", ".join(found)
