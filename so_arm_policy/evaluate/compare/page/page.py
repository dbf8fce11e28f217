"""Writes a comparison as one HTML file that needs nothing else."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.comparison import RESULTS
from so_arm_policy.evaluate.compare.curve_plot import curve_svgs
from so_arm_policy.evaluate.compare.curves import curves
from so_arm_policy.evaluate.compare.learning_curve import LearningCurve
from so_arm_policy.evaluate.compare.learning_curve_plot import learning_curve_svgs
from so_arm_policy.evaluate.compare.live.table import live_rows
from so_arm_policy.evaluate.compare.page.charts import SIGHT_COLORS
from so_arm_policy.evaluate.compare.page.clips import Clip
from so_arm_policy.evaluate.compare.page.figures import figures_of
from so_arm_policy.evaluate.compare.page.findings import (
    Claim,
    Finding,
    PowerRow,
    claims_of,
    findings,
    power_rows,
    ranked,
)
from so_arm_policy.evaluate.compare.page.lines import COLUMNS, Line, glances, lines_of
from so_arm_policy.evaluate.compare.page.live import live_tables
from so_arm_policy.evaluate.compare.page.provenance import provenance
from so_arm_policy.evaluate.compare.page.quality import SignTest, best, sign_tests
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.compare.summary import CellSummary, compare_pairs, summarise
from so_arm_policy.evaluate.compare.verdicts import ALPHA

FILE_NAME, TEMPLATE = "report.html", "page.html.jinja"


@dataclass(frozen=True, kw_only=True)
class Made:
    """How the episodes came to be. command: as it was given; left_out: what could not be run, in words."""

    command: str
    settings: Settings
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskPart:
    """What the page shows of one task. share: of discordant seeds, that the note on power assumes."""

    name: str
    findings: tuple[Finding, ...]
    claims: tuple[Claim, ...]
    tests: tuple[SignTest, ...]
    share: float
    power: tuple[PowerRow, ...]
    lines: tuple[Line, ...]
    figures: dict[str, Markup]
    clips: tuple[tuple[Clip, str], ...]


def write_page(
    folder: Path,
    rows: Sequence[EpisodeRow],
    timing: Sequence[TimingRow],
    made: Made,
    clips: Sequence[Clip] = (),
    learning: Sequence[LearningCurve] = (),
) -> Path:
    """Write report.html beside the results that `folder` has, and return its path. Raises ConfigError.

    What it says of tasks is of undisturbed episodes; of perturbed ones it shows curves. learning: shown as they are,
    of other episodes.
    """
    all_cells = summarise(rows, timing)
    disturbed = {f"{task}, {name}": Markup(svg) for (task, name), svg in curve_svgs(curves(all_cells)).items()}
    cells = [cell for cell in all_cells if not cell.perturbation]
    everything, rows = rows, plain(rows)
    couples = compare_pairs(rows)
    tests = sign_tests(rows)
    marked = best(cells, couples, tests)
    found = findings(cells, couples)
    parts = []
    for task in dict.fromkeys(cell.task for cell in cells):
        share, power = power_rows(task, couples)
        order = [cell.controller for cell in ranked([cell for cell in cells if cell.task == task])]
        shown = [clip for clip in clips if clip.choice.row.task == task]
        shown.sort(key=lambda clip: order.index(clip.choice.row.controller))
        parts.append(
            TaskPart(
                name=task,
                findings=tuple(each for each in found if each.task == task),
                claims=tuple(claims_of(task, cells, couples)),
                tests=tuple(test for test in tests if test.task == task),
                share=share,
                power=tuple(power),
                lines=tuple(lines_of(task, cells, rows, timing, marked)),
                figures={name: Markup(svg) for name, svg in figures_of(task, cells, rows).items()},
                clips=tuple((clip, _uri(clip)) for clip in shown),
            )
        )
    try:
        text = (
            _environment()
            .get_template(TEMPLATE)
            .render(
                parts=parts,
                glances=glances([part.name for part in parts], cells),
                columns=COLUMNS,
                sights=SIGHT_COLORS,
                alpha=ALPHA,
                pairs=len(couples),
                sign_tests=len(tests),
                episodes=len(everything),
                disturbed=disturbed,
                live=live_tables(live_rows(folder), everything),
                learning=list(zip(learning, map(Markup, learning_curve_svgs(learning)), strict=True)),
                made=made,
                told=_told(all_cells),
                provenance=provenance(everything, folder / RESULTS),
            )
        )
        path = folder / FILE_NAME
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: got {error}, expected a folder with {RESULTS} that can be written") from error
    return path


def plain(rows: Sequence[EpisodeRow]) -> list[EpisodeRow]:
    """Return the rows of undisturbed episodes."""
    return [row for row in rows if not row.perturbation]


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _told(cells: Sequence[CellSummary]) -> str:
    """Return in a few words what was compared."""
    tasks, names = {cell.task for cell in cells}, {cell.controller for cell in cells}
    return f"{len(names)} controller{'s'[: len(names) > 1]} on {len(tasks)} task{'s'[: len(tasks) > 1]}"


def _uri(clip: Clip) -> str:
    return f"data:image/webp;base64,{base64.b64encode(clip.webp).decode('ascii')}" if clip.webp else ""
