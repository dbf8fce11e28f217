"""The fault matrix as one HTML page that needs nothing else."""

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from so_arm_policy import __version__
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.faults.matrix import TICK_MS, Cell, reactions_text

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Row:
    """One case. cells: of each source that it has."""

    case: str
    text: str
    expected: str
    cells: dict[str, Cell]

    @property
    def good(self) -> bool:
        """Whether it was contained with every source."""
        return all(cell.good for cell in self.cells.values())


def write_report(path: Path, cells: Sequence[Cell], seeds: str) -> None:
    """Write the page. Raises ConfigError."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = _rows(cells)
    worst = max((cell.worst for cell in cells if not math.isnan(cell.worst)), default=None)
    text = environment.get_template(TEMPLATE).render(
        groups=rows,
        sources=list(dict.fromkeys(cell.source for cell in cells)),
        cases=sum(len(group) for group in rows.values()),
        contained=sum(row.good for group in rows.values() for row in group),
        runs=sum(cell.runs for cell in cells),
        worst=worst,
        reactions=reactions_text(cells),
        bad=[cell for cell in cells if not cell.good],
        tick_ms=TICK_MS,
        seeds=seeds,
        made_on=f"so_arm_policy {__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs",
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--report: got {error}, expected a file that can be written") from error


def _rows(cells: Sequence[Cell]) -> dict[str, list[Row]]:
    """Return the cases of each group."""
    groups: dict[str, dict[str, Row]] = {}
    for cell in cells:
        expected = cell.expect if cell.allowed is None else f"{cell.expect} by tick {cell.allowed}"
        group = groups.setdefault(cell.group, {})
        group.setdefault(cell.case, Row(cell.case, cell.text, expected, {})).cells[cell.source] = cell
    return {name: list(rows.values()) for name, rows in groups.items()}
