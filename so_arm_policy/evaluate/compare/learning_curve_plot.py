"""Success against the number of demonstrations as pictures: baselines as lines, and where the learner reaches them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.crossing import Crossing, isotonic
from so_arm_policy.evaluate.compare.curve_plot import COLORS, DPI, svg_element, write_png
from so_arm_policy.evaluate.compare.learning_curve import LearningCurve
from so_arm_policy.evaluate.plots import INK, STYLE

SIZE_IN = (6.4, 4.4)
Colors = dict[str, Any]  # of baselines, as matplotlib takes them
DASHES = ("-", "--", "-.", ":")
ROOM = 1.25  # on both sides of the counts, as a factor
BAR_STEP = 3.5  # percent between the bars of crossings, below the curve


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
        axes.errorbar(
            counts, rates, around, fmt="o", color=INK, markersize=5, capsize=3, label=f"{curve.learner}, 95 % Wilson"
        )
        axes.plot(counts, isotonic(np.array(rates)), color=INK, linewidth=1, alpha=0.6, label="isotonic")
        colors: Colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(curve.levels)}
        _levels(axes, curve, colors)
        _crossings(axes, curve, colors)
        axes.set(xscale="log", xlim=(counts[0] / ROOM, counts[-1] * ROOM), xlabel="demonstrations of each task")
        axes.set(ylabel="success, %", yticks=range(0, 101, 20))
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{curve.task}: success of {curve.learner} by demonstrations", fontsize=9, loc="left")
        drawn.legend(loc="outside lower center", ncols=2, fontsize=8)
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


def _levels(axes: Axes, curve: LearningCurve, colors: Colors) -> None:
    """Draw each baseline as a line over its Wilson band."""
    for i, (name, rate) in enumerate(curve.levels.items()):
        at, color = 100.0 * rate.successes / rate.episodes, colors[name]
        axes.axhspan(100.0 * rate.low, 100.0 * rate.high, color=color, alpha=0.1, linewidth=0)
        label = f"{name} ({curve.sees[name]}), {rate.successes} of {rate.episodes}"
        axes.axhline(at, color=color, linestyle=DASHES[i % len(DASHES)], linewidth=1.6, label=label)


def _crossings(axes: Axes, curve: LearningCurve, colors: Colors) -> None:
    """Draw where each baseline is reached as a bar below the curve, with an arrow where it leaves the counts."""
    whole = [each for each in curve.crossings if not each.margin]
    for i, each in enumerate(whole):
        y, color = -BAR_STEP * (i + 1), colors[each.baseline]
        left, right = (_within(at, each) for at in (each.low, each.high))
        axes.plot([left, right], [y, y], color=color, linewidth=2, alpha=0.8, solid_capstyle="butt")
        marker = "<" if each.at == 0.0 else ">" if math.isinf(each.at) else "D"
        axes.plot([_within(each.at, each)], [y], marker, color=color, markersize=5, clip_on=False)
        if 0.0 < each.at < math.inf:
            axes.plot([each.at, each.at], [y, 100.0 * each.level], color=color, linewidth=0.8, linestyle=":")
    axes.set_ylim(-BAR_STEP * (len(whole) + 1), 104.0)


def _within(count: float, of: Crossing) -> float:
    """Return `count`, or the edge of the picture where it lies beyond."""
    return float(np.clip(count, of.first / ROOM, of.last * ROOM))
