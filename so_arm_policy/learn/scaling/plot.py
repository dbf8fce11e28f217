"""What a scaling grid shows, as one picture: loss against size, demonstrations and compute, and success."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from so_arm_policy.learn.scaling.grid import Point
from so_arm_policy.learn.scaling.law import Fit


def draw_scaling(points: Sequence[Point], fit: Fit | None, path: Path) -> None:
    """Write the picture to `path` (.png or .svg)."""
    with_success = [point for point in points if point.success is not None]
    figure = Figure(figsize=(13.0 if with_success else 10.0, 3.6), layout="constrained")
    axes = figure.subplots(1, 4 if with_success else 3)
    _curves(axes[0], points, fit, along="parameters", series="demonstrations")
    _curves(axes[1], points, fit, along="demonstrations", series="parameters")
    axes[2].scatter([p.flops for p in points], [p.loss for p in points], s=16, color="#2563eb")
    axes[2].set(xscale="log", yscale="log", xlabel="compute, floating point operations", ylabel="held-out loss")
    if with_success:
        axes[3].scatter([p.loss for p in with_success], [100 * (p.success or 0.0) for p in with_success], s=16)
        axes[3].set(xlabel="held-out loss", ylabel="success, %", ylim=(-3, 103))
    figure.savefig(path, dpi=130)


def _curves(axes: Axes, points: Sequence[Point], fit: Fit | None, *, along: str, series: str) -> None:
    values = sorted({getattr(point, series) for point in points})
    colors = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, len(values)))
    for value, color in zip(values, colors, strict=True):
        own = sorted((p for p in points if getattr(p, series) == value), key=lambda p: getattr(p, along))
        x = np.array([getattr(p, along) for p in own], dtype=np.float64)
        axes.plot(x, [p.loss for p in own], "o", color=color, markersize=4, label=f"{value:,}")
        if fit is not None:
            fine = np.geomspace(x.min(), x.max(), 50)
            pair = (fine, value) if along == "parameters" else (value, fine)
            axes.plot(fine, fit.law.loss(*pair), "-", color=color, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel=along, ylabel="held-out loss")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(title=series, fontsize=7, title_fontsize=7, frameon=False)
