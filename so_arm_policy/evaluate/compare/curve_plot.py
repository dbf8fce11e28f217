"""Success against the strength of a perturbation as pictures: one of each task and perturbation."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.curves import Curve, grouped, unit_of
from so_arm_policy.evaluate.graded import GRADED
from so_arm_policy.evaluate.plots import STYLE

SIZE_IN = (6.4, 3.8)
DPI = 150
COLORS = mpl.color_sequences["tab10"]
MARKERS = "osD^vPX*<>"


def figure(group: Sequence[Curve]) -> Figure:
    """Draw the curves of one task and one perturbation, each with its Wilson band. Raises ConfigError."""
    about = {(curve.task, curve.perturbation) for curve in group}
    if len(about) != 1:
        raise ConfigError(f"curves: got those of {sorted(about)}, expected one task and one perturbation")
    ((task, name),) = about
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=SIZE_IN, layout="constrained")
        axes = drawn.subplots()
        for i, curve in enumerate(group):
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            x = [point.strength for point in curve.points]
            rate = [100.0 * point.successes / point.episodes for point in curve.points]
            low = [100.0 * point.low for point in curve.points]
            high = [100.0 * point.high for point in curve.points]
            axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
            axes.plot(x, rate, color=color, marker=marker, markersize=4, linewidth=1.5, label=curve.controller)
        axes.set(ylim=(-3.0, 103.0), xlabel=f"{name}{unit_of(name)}", ylabel="success, %")
        axes.set_title(f"{task}: {GRADED[name].text}", fontsize=9, loc="left", wrap=True)
        drawn.legend(loc="outside lower center", ncols=3, fontsize=8)
    return drawn


def write_curves(folder: Path, found: Sequence[Curve]) -> list[Path]:
    """Write `TASK_PERTURBATION.png` for each of both, and return the paths. Raises ConfigError."""
    paths = []
    for (task, name), group in grouped(found).items():
        path = folder / f"{task}_{name}.png"
        write_png(figure(group), path, DPI)
        paths.append(path)
    return paths


def curve_svgs(found: Sequence[Curve]) -> dict[tuple[str, str], str]:
    """Return an <svg> element for each task and perturbation, to stand inside a page."""
    return {about: svg_element(figure(group), " ".join(about)) for about, group in grouped(found).items()}


def write_png(drawn: Figure, path: Path, dpi: int) -> None:
    """Write `path`, the same bytes of the same figure. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(STYLE):
            drawn.savefig(path, dpi=dpi, metadata={"Software": None})
    except OSError as error:
        raise ConfigError(f"{path}: got {error.strerror}, expected a file that can be written") from error


def svg_element(drawn: Figure, salt: str) -> str:
    """Return a figure as an <svg> element; `salt` keeps its ids apart from those of others on the same page."""
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        drawn.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    # Inside a page the names of the namespaces are not needed, and they look like addresses.
    return re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
