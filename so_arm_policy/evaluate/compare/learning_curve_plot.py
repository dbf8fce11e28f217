"""Success against the number of demonstrations as pictures: baselines as lines, and where the learner reaches them."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.crossing import Crossing, isotonic
from so_arm_policy.evaluate.compare.curve_plot import DPI, svg_element, write_png
from so_arm_policy.evaluate.compare.learning_curve import LearningCurve, Rate
from so_arm_policy.evaluate.plots import INK, STYLE

SIZE_IN = (6.4, 4.6)
LEVEL_COLORS = ("#c2410c", "#2563eb", "#15803d", "#9333ea", "#0891b2")
LABEL_LETTERS = 80
ROOM = 1.25  # on both sides of the counts, as a factor
GAP = 1.08  # between a bar and its text, as a factor
ROW = 6.0  # percent between the bars of crossings, below the curve


def figure(curve: LearningCurve) -> Figure:
    """Draw one learner on one task. Raises ConfigError for one that never tried."""
    if not curve.points:
        raise ConfigError(f"learning curve: got no points of {curve.learner} on {curve.task}, expected some")
    counts = list(curve.points)
    rates = [100.0 * rate.successes / rate.episodes for rate in curve.points.values()]
    around = [
        [at - 100.0 * rate.low for at, rate in zip(rates, curve.points.values(), strict=True)],
        [100.0 * rate.high - at for at, rate in zip(rates, curve.points.values(), strict=True)],
    ]
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=SIZE_IN, layout="constrained")
        axes = drawn.subplots()
        rows = 0
        for i, level in enumerate(_levels_of(curve)):
            _draw_level(axes, level, LEVEL_COLORS[i % len(LEVEL_COLORS)])
            for each in sorted(level.crossings, key=lambda crossing: crossing.at):
                rows += 1
                _draw_crossing(axes, each, -ROW * rows, LEVEL_COLORS[i % len(LEVEL_COLORS)])
        axes.plot(counts, isotonic(np.array(rates)), color=INK, linewidth=1.2, alpha=0.6)
        label = f"{curve.learner}, 95 % Wilson; line: made monotone"
        axes.errorbar(counts, rates, around, fmt="o", color=INK, markersize=6, capsize=3, label=label)
        axes.set(xscale="log", xlim=(counts[0] / ROOM, counts[-1] * ROOM), xlabel="demonstrations of each task")
        axes.set(ylabel="success, %", yticks=range(0, 101, 20), ylim=(-ROW * (rows + 1), 104.0))
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{curve.task}: success of {curve.learner} by demonstrations", fontsize=9, loc="left")
        drawn.legend(loc="outside lower left", ncols=1, fontsize=8)
    return drawn


def write_learning_curves(folder: Path, curves: Sequence[LearningCurve]) -> list[Path]:
    """Write `TASK_LEARNER_demonstrations.png` for each curve, and return the paths. Raises ConfigError."""
    paths = [folder / f"{curve.task}_{curve.learner}_demonstrations.png" for curve in curves]
    for path, curve in zip(paths, curves, strict=True):
        write_png(figure(curve), path, DPI)
    return paths


def learning_curve_svgs(curves: Sequence[LearningCurve]) -> list[str]:
    """Return an <svg> element for each curve, to stand inside a page."""
    return [svg_element(figure(curve), f"{curve.task} {curve.learner} demonstrations") for curve in curves]


@dataclass(frozen=True)
class _Level:
    """Baselines that did the same: on one line, reached at the same places."""

    names: tuple[str, ...]
    rate: Rate
    crossings: tuple[Crossing, ...]

    @property
    def percent(self) -> float:
        return 100.0 * self.rate.successes / self.rate.episodes


def _levels_of(curve: LearningCurve) -> list[_Level]:
    """Return the baselines by what they did, the best first."""
    alike: dict[tuple[Rate, tuple[Crossing, ...]], list[str]] = {}
    for name, rate in curve.levels.items():
        mine = tuple(replace(each, baseline="") for each in curve.crossings if each.baseline == name)
        alike.setdefault((rate, mine), []).append(name)
    found = [_Level(tuple(names), rate, crossings) for (rate, crossings), names in alike.items()]
    return sorted(found, key=lambda level: -level.percent)


def _draw_level(axes: Axes, level: _Level, color: str) -> None:
    """Draw a line over its Wilson band."""
    rate = level.rate
    axes.axhspan(100.0 * rate.low, 100.0 * rate.high, color=color, alpha=0.1, linewidth=0)
    label = f"{', '.join(level.names)}: {rate.successes} of {rate.episodes}"
    axes.axhline(level.percent, color=color, linewidth=2, label=textwrap.fill(label, LABEL_LETTERS))


def _draw_crossing(axes: Axes, each: Crossing, y: float, color: str) -> None:
    """Draw where a level is reached as a bar below the curve, with an arrow where it leaves the counts, and say so."""
    left, right = (_within(at, each) for at in (each.low, each.high))
    at = _within(each.at, each)
    marker = "<" if each.at == 0.0 else ">" if math.isinf(each.at) else "D"
    axes.plot([left, right], [y, y], color=color, linewidth=2, solid_capstyle="butt")
    axes.plot([at], [y], marker, color=color, markersize=5, clip_on=False)
    if 0.0 < each.at < math.inf:
        axes.plot([at, at], [y, 100.0 * each.level], color=color, linewidth=0.8, linestyle=":")
    goal = f"{100.0 * (each.level + each.margin):.0f} %"
    text = f"within {100.0 * each.margin:g} points of {goal}" if each.margin else f"all of {goal}"
    text += f": {each.at:.0f}" if 0.0 < each.at < math.inf else ": never" if each.at else ": from the first on"
    # On the side with more room.
    begins = math.sqrt(each.first * each.last) > math.sqrt(left * right)
    place, side = (right * GAP, "left") if begins else (left / GAP, "right")
    axes.text(place, y, text, ha=side, va="center", fontsize=8, color=color)


def _within(count: float, of: Crossing) -> float:
    """Return `count`, or the edge of the picture where it lies beyond."""
    return float(np.clip(count, of.first / ROOM, of.last * ROOM))
