"""Success against the strength of a perturbation, for each controller: as values and as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.evaluate.compare.summary import CellSummary
from so_arm_policy.evaluate.graded import GRADED


@dataclass(frozen=True, kw_only=True)
class Point:
    """Episodes at one strength. low, high: 95 % Wilson interval of the success rate, of this point alone."""

    strength: float
    successes: int
    episodes: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One controller on one task, by strength; the undisturbed episodes of it are the point at 0."""

    task: str
    perturbation: str
    controller: str
    points: tuple[Point, ...]


def curves(cells: Sequence[CellSummary]) -> list[Curve]:
    """Return a curve for each task, perturbation and controller that has episodes, in the order of `cells`."""
    plain = {(cell.task, cell.controller): cell for cell in cells if not cell.perturbation}
    found: dict[tuple[str, str, str], list[CellSummary]] = {}
    for cell in cells:
        if cell.perturbation:
            found.setdefault((cell.task, cell.perturbation, cell.controller), []).append(cell)
    made = []
    for (task, perturbation, name), disturbed in found.items():
        together = [*disturbed, *([plain[task, name]] if (task, name) in plain else [])]
        points = [_point(cell) for cell in sorted(together, key=lambda cell: cell.strength) if cell.episodes]
        if points:
            made.append(Curve(task=task, perturbation=perturbation, controller=name, points=tuple(points)))
    return made


def grouped(found: Sequence[Curve]) -> dict[tuple[str, str], list[Curve]]:
    """Return the curves that belong into one picture: of one task and one perturbation."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in found:
        groups.setdefault((curve.task, curve.perturbation), []).append(curve)
    return groups


def lines(found: Sequence[Curve]) -> list[str]:
    """Return the curves as text: a table for each task and perturbation, a column for each strength."""
    text: list[str] = []
    for (task, name), group in grouped(found).items():
        strengths = sorted({point.strength for curve in group for point in curve.points})
        rows = [["controller", *(f"{strength:g}" for strength in strengths)]]
        for curve in group:
            at = {point.strength: point for point in curve.points}
            rows.append([curve.controller, *(_cell(at.get(strength)) for strength in strengths)])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        text.append(f"{task}, {name}{unit_of(name)}: {GRADED[name].text}")
        text += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return text


def _point(cell: CellSummary) -> Point:
    return Point(strength=cell.strength, successes=cell.successes, episodes=cell.episodes, low=cell.low, high=cell.high)


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    return f"{point.successes}/{point.episodes} ({100 * point.low:.0f}..{100 * point.high:.0f} %)"


def unit_of(name: str) -> str:
    """Return the unit of a perturbation's strength, to be put behind its name."""
    return f", {GRADED[name].unit}" if GRADED[name].unit else ""
