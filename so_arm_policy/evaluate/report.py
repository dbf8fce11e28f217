"""The demo's report: one HTML page that needs nothing else, the verdict first."""

import base64
import io
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image as Pillow

from so_arm_policy import __version__
from so_arm_policy.core.values import Image
from so_arm_policy.evaluate import plots
from so_arm_policy.evaluate.demo_summary import DemoSummary, Row, kill_text, table
from so_arm_policy.evaluate.measure import measure
from so_arm_policy.evaluate.recording import Recording, Try
from so_arm_policy.evaluate.sight import Sight

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Tile:
    """One figure in large type."""

    value: str
    unit: str
    name: str


@dataclass(frozen=True)
class TryCard:
    """One try as the page shows it: pictures at its beginning and end as data URIs, "" where there is none."""

    attempt: Try
    color: str
    first: str
    last: str


@dataclass(frozen=True)
class Bar:
    """One kind of verdict: how often, and how wide to draw it, percent."""

    name: str
    count: int
    width: float


def write_report(
    path: Path, recording: Recording, summary: DemoSummary, sights: Sequence[Sight] = (), film: Path | None = None
) -> None:
    """Write the page. film: a GIF to put into it."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template(TEMPLATE).render(
        recording=recording,
        summary=summary,
        measure=measure(recording.task),
        tiles=_tiles(summary),
        rows=table(summary),
        tries=[_card(recording, attempt) for attempt in recording.tries],
        sights=[(s, {name: picture_uri(rgb) for name, rgb in s.pictures.items()}) for s in sights],
        film=data_uri(film.read_bytes(), "image/gif") if film else "",
        verdicts=_bars(summary),
        kills=[(k, kill_text(k), Markup(plots.kill(recording, k))) for k in summary.kills],
        nodes=_node_rows(recording),
        plots=_plots(recording),
        made_on=f"so_arm_policy {__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs",
    )
    path.write_text(text, encoding="utf-8")


def data_uri(data: bytes, kind: str) -> str:
    """Return `data` as text that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture_uri(rgb: Image) -> str:
    """Return a picture as text that a page can hold."""
    file = io.BytesIO()
    Pillow.fromarray(rgb).save(file, format="JPEG", quality=88)
    return data_uri(file.getvalue(), "image/jpeg")


def _plots(recording: Recording) -> dict[str, Markup]:
    """Return the plots for which there is something to show. Their text is ours, hence markup."""
    ticking = [node for node in recording.nodes if node.lateness]
    drawn = {}
    if len(recording.distance):
        drawn["timeline"] = plots.timeline(recording)
    if len(recording.commands):
        drawn["joints"] = plots.joints(recording)
    if ticking:
        drawn["lateness"] = plots.lateness(ticking)
    if any(len(times) for times in recording.arrivals.values()):
        drawn["heartbeat"] = plots.heartbeat(recording)
    return {name: Markup(svg) for name, svg in drawn.items()}


def _tiles(summary: DemoSummary) -> list[Tile]:
    missed = summary.ticks_missed / max(summary.ticks + summary.ticks_missed, 1)
    return [
        Tile(f"{summary.tasks_done} / {summary.tasks_tried}", "", "tasks done"),
        Tile(_short(summary.command_hz), "Hz", "commands, of 120"),
        Tile(f"{100 * missed:.2f}", "%", "ticks missed"),
        Tile(_short(summary.inference_hz), "Hz", "System 1 inferences"),
        Tile(_short(summary.inference_p99_ms), "ms", "inference, p99"),
        Tile(_short(summary.context_hz), "Hz", "System 2 contexts"),
        Tile(_short(summary.context_age_p50_ms), "ms", "context age, p50"),
        Tile(_short(summary.real_time_factor, 2), "", "real-time factor"),
    ]


def _short(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _card(recording: Recording, attempt: Try) -> TryCard:
    camera = recording.robot.camera_names[0]
    frames = [f for f in recording.frames if f.number == attempt.number and f.camera == camera]
    return TryCard(
        attempt=attempt,
        color=plots.color_of(attempt.instruction),
        first=picture_uri(frames[0].rgb) if frames else "",
        last=picture_uri(frames[-1].rgb) if len(frames) > 1 else "",
    )


def _bars(summary: DemoSummary) -> list[Bar]:
    counts = {"passed unchanged": summary.passed, **summary.verdicts}
    most = max([*counts.values(), 1])
    return [Bar(name, count, 100.0 * np.sqrt(count / most)) for name, count in counts.items()]


def _node_rows(recording: Recording) -> list[tuple[str, list[Row]]]:
    """Return each node's newest diagnostics."""
    rows = []
    for node in recording.nodes:
        facts = [Row(name, value) for name, value in node.facts.items()]
        rows.append((node.name, [Row("starts", str(node.starts)), Row("rss_mib", f"{node.rss_mib:.0f}"), *facts]))
    return rows
