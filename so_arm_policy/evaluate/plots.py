"""The report's plots, as SVG text to be put into a page."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import COLORS
from so_arm_policy.core.ticks import BIN_NS
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.demo_summary import KillEffect
from so_arm_policy.evaluate.measure import measure
from so_arm_policy.evaluate.recording import NodeRecord, Outcome, Recording, Series

WIDTH_IN = 10.4
LEAST_SPAN_RAD = 0.2  # a joint that stands looks like one
BEAT_S = 0.5
PLOT_HZ = 30.0  # traces are thinned to this: finer does not show
INK, FAINT, COMMAND, BAD, GOOD = "#1f2933", "#9aa5b1", "#2563eb", "#c81e1e", "#15803d"
SIGNS = {Outcome.DONE: ("✓", GOOD), Outcome.FAILED: ("✗", BAD), Outcome.LATE: ("–", FAINT)}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
}


def _svg(height_in: float, draw: Callable[[Figure], None]) -> str:
    """Return a figure as an <svg> element that scales with the page."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        figure.patch.set_alpha(0.0)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def color_of(instruction: str) -> str:
    """Return the colour that an instruction names first, for a plot; grey where it names none."""
    rgb = next((COLORS[word] for word in instruction.split() if word in COLORS), None)
    return FAINT if rgb is None else "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def timeline(recording: Recording) -> str:
    """Distance to the goal over time, with the instructions as coloured spans, holds and kills."""
    known = measure(recording.task)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        times, distance = _gaps_at_tries(recording)
        axes.plot(times, 100 * distance, color=INK, linewidth=1.6)
        top = max(5.0, 1.18 * 100 * float(np.nanmax(distance, initial=0.05)))
        if known.limit_m is not None:
            axes.axhline(100 * known.limit_m, color=GOOD, linewidth=1, linestyle=(0, (4, 3)))
            name = f" {known.limit_name}"
            axes.text(recording.duration_s, 100 * known.limit_m, name, color=GOOD, va="center", fontsize=8)
        for t in recording.tries:
            color = color_of(t.instruction)
            axes.axvspan(t.start_s, t.end_s, color=color, alpha=0.16, linewidth=0)
            sign, ink = SIGNS[t.outcome]
            axes.text((t.start_s + t.end_s) / 2, 0.99 * top, sign, color=ink, ha="center", va="top", fontsize=12)
        _mark_events(axes, recording)
        axes.set(xlim=(0, recording.duration_s), ylim=(0, top), xlabel="time, s", ylabel="distance, cm")

    return _svg(2.7, draw)


def joints(recording: Recording) -> str:
    """Commanded and measured position of each joint over time."""
    commands, measured = thinned(recording.commands), thinned(recording.measured)

    def draw(figure: Figure) -> None:
        names = recording.robot.joint_names
        rows = figure.subplots(len(names), 1, sharex=True)
        for i, (axes, name) in enumerate(zip(np.atleast_1d(rows), names, strict=True)):
            axes.plot(measured.times_s, measured.values[:, i], color="#f59e0b", linewidth=2.6, label="measured")
            axes.plot(commands.times_s, commands.values[:, i], color=COMMAND, linewidth=1.0, label="commanded")
            axes.set_ylabel(f"{name}\nrad", fontsize=8)
            _widen(axes, LEAST_SPAN_RAD)
            _mark_events(axes, recording)
        figure.align_ylabels()
        rows[0].legend(loc="upper right", ncols=2, fontsize=8, bbox_to_anchor=(1.0, 1.35))
        rows[-1].set(xlim=(0, recording.duration_s), xlabel="time, s")

    return _svg(1.15 * len(recording.robot.joint_names), draw)


def lateness(nodes: Sequence[NodeRecord]) -> str:
    """How late ticks began, for each node with a tick loop: share of ticks at least so late."""

    def draw(figure: Figure) -> None:
        histogram, survival = figure.subplots(1, 2)
        period_ms = 1e3 / CONTROL_HZ
        for node, color in zip(nodes, ("#2563eb", "#f59e0b", "#15803d", "#9333ea", "#0891b2"), strict=False):
            at_ms, counts = _bins(node)
            edges = np.geomspace(0.005, max(20.0, at_ms.max() * 1.2), 60)
            heights, _ = np.histogram(at_ms, edges, weights=counts)
            histogram.stairs(heights, edges, color=color, linewidth=1.6, label=node.name)
            left = 1.0 - (np.cumsum(counts) - counts) / counts.sum()
            survival.step(at_ms, left, where="post", color=color, linewidth=1.6, label=node.name)
        for axes, label in ((histogram, "ticks"), (survival, "share of ticks at least so late")):
            axes.axvline(period_ms, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
            axes.set(xscale="log", yscale="log", xlabel="tick began so late, ms (red: one tick)", ylabel=label)
        figure.legend(*histogram.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)

    return _svg(2.7, draw)


def heartbeat(recording: Recording) -> str:
    """Messages a second of every stream over time."""
    streams = {name: times for name, times in recording.arrivals.items() if len(times)}

    def draw(figure: Figure) -> None:
        rows = np.atleast_1d(figure.subplots(len(streams), 1, sharex=True))
        edges = BEAT_S * np.arange(int(recording.duration_s / BEAT_S) + 1)
        for axes, (name, times) in zip(rows, streams.items(), strict=True):
            counts, _ = np.histogram(times, edges)
            axes.stairs(counts / BEAT_S, edges, color=COMMAND, fill=True, alpha=0.75)
            axes.set_title(name, loc="left", fontsize=8, pad=2)
            axes.set(ylabel="Hz", ylim=(0, None))
            _mark_events(axes, recording)
        rows[-1].set(xlim=(0, recording.duration_s), xlabel="time, s")

    return _svg(max(1.6, 0.85 * len(streams)), draw)


def kill(recording: Recording, effect: KillEffect) -> str:
    """The commands around the moment at which one node was killed."""
    back_s = effect.back_s if effect.back_s is not None else 3.0
    part = recording.commands.between(effect.time_s - 0.5, effect.time_s + back_s + 1.0)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, name in enumerate(recording.robot.joint_names):
            axes.plot(part.times_s - effect.time_s, part.values[:, i], linewidth=1.3, label=name)
        axes.axvline(0.0, color=BAD, linewidth=1.6)
        axes.text(0.0, 1.01, "killed ", color=BAD, transform=axes.get_xaxis_transform(), ha="right", fontsize=8)
        for at_s, label in ((effect.still_s, "stands"), (effect.back_s, "back")):
            if at_s:
                axes.axvline(at_s, color=GOOD, linewidth=1.2, linestyle=(0, (4, 3)))
                axes.text(at_s, 1.01, label, color=GOOD, transform=axes.get_xaxis_transform(), ha="left", fontsize=8)
        axes.set(xlabel=f"time after {effect.node} was killed, s", ylabel="commanded, rad")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg(2.4, draw)


def thinned(series: Series, rate_hz: float = PLOT_HZ) -> Series:
    """Return about `rate_hz` points a second."""
    if len(series) < 2:
        return series
    seconds = max(float(series.times_s[-1] - series.times_s[0]), 1e-9)
    step = max(1, round(len(series) / seconds / rate_hz))
    return Series(series.times_s[::step], series.values[::step])


def _gaps_at_tries(recording: Recording) -> tuple[FloatArray, FloatArray]:
    """Distances with a break where the goal changes, so that no line joins two goals."""
    times, values = recording.distance.times_s, recording.distance.values[:, 0]
    breaks = np.searchsorted(times, [t.end_s for t in recording.tries])
    return np.insert(times, breaks, [t.end_s for t in recording.tries]), np.insert(values, breaks, np.nan)


def _widen(axes: Axes, least: float) -> None:
    """Let the axis show at least a span of `least`, with some air."""
    low, high = axes.get_ylim()
    missing = max(least - (high - low), 0.12 * (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)


def _mark_events(axes: Axes, recording: Recording) -> None:
    ends_s = [change.time_s for change in recording.modes[1:]] + [recording.duration_s]
    for change, end_s in zip(recording.modes, ends_s, strict=False):  # no mode was heard of: one end too many
        if change.mode != "ACTIVE":
            axes.axvspan(change.time_s, end_s, color=BAD, alpha=0.13, linewidth=0)
    for event in recording.kills:
        axes.axvline(event.time_s, color=BAD, linewidth=1.3)


def _bins(node: NodeRecord) -> tuple[FloatArray, FloatArray]:
    """Middles of the lateness bins in ms and their counts, in order."""
    places = np.array(sorted(node.lateness))
    return (places + 0.5) * BIN_NS / 1e6, np.array([node.lateness[int(p)] for p in places], dtype=np.float64)
