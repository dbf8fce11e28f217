"""The table of the shipped bundles, as Markdown: success, training, speed, and the command behind every figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.latency import Latency, Times
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.evaluate.scores import Score, scores_of
from so_arm_policy.policy.graphs import PRECISIONS
from so_arm_policy.policy.manifest import FAMILIES, FILE_NAME, Manifest, read_manifest
from so_arm_policy.policy.system1 import JOININGS
from so_arm_policy.sim.tasks.track import JUDGED_S

OLDER = " †"  # of a score that was measured before the bundle was rephrased
TEMPLATE = Path(__file__).with_name("models.md.jinja")
NONE = "–"
FP32, INT8, SYSTEM2 = PRECISIONS["fp32"], PRECISIONS["int8"], "system2.onnx"
# Columns of success: which scores belong there.
KINDS: dict[str, Callable[[Score], bool]] = {
    "success": lambda score: score.only(),
    "new phrasings": lambda score: score.only(split="phrases"),
    "new pairs": lambda score: score.only(split="pairs"),
    "int8": lambda score: score.only(precision="int8"),
    "told at random": lambda score: score.only(shuffled=True),
}


@dataclass(frozen=True)
class Model:
    """One bundle: its folder's name, manifest and scores, and the size of its files in bytes."""

    name: str
    manifest: Manifest
    scores: list[Score]
    size: int

    def score(self, task: str, fits: Callable[[Score], bool]) -> Score | None:
        """Return the score of `task` on most episodes of those that fit, or None."""
        found = [score for score in self.scores if score.task == task and fits(score)]
        return max(found, key=lambda score: (score.episodes, score.label), default=None)


def read_models(folder: Path) -> list[Model]:
    """Read the bundles in `folder`: one arm before two, families in their usual order. Raises BundleError."""
    models = []
    for path in sorted(folder.glob(f"*/{FILE_NAME}")):
        manifest = read_manifest(path.parent)
        try:
            size = sum((path.parent / name).stat().st_size for name in manifest.files)
        except OSError as error:
            raise BundleError(f"{path.parent}: got {error}, expected every file of its manifest") from error
        models.append(Model(path.parent.name, manifest, scores_of(manifest), size))
    if not models:
        raise BundleError(f"{folder}: got no bundle, expected folders with a {FILE_NAME}")
    return sorted(models, key=lambda m: (len(m.manifest.joints), FAMILIES.index(m.manifest.family), m.name))


def models_page(models: Sequence[Model], latency: Latency | None) -> str:
    """Return docs/models.md."""
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return template.render(
        success=_success(models),
        ages=_ages(models),
        joinings=_joinings(models),
        training=_training(models),
        speed=_speed(models, latency),
        commands=_commands(models),
        latency=latency,
        timing=PolicyTiming(),
        hz=CONTROL_HZ,
        judged_s=JUDGED_S,
    )


def _success(models: Sequence[Model]) -> str:
    tasks = list(dict.fromkeys(task for model in models for task in model.manifest.tasks))
    rows = []
    for task in tasks:
        for model in models:
            if task not in model.manifest.tasks:
                continue
            usual = model.score(task, KINDS["success"])
            row = [task, model.manifest.family, model.name]
            row += [_rate(model.score(task, fits)) for fits in KINDS.values()]
            row += [_seconds(usual), _distance(usual), _held(usual), _smoothness(usual)]
            rows.append([*row, _number(usual and usual.timing.context_hz, "{:g} Hz")])
    return _table(["task", "family", "bundle", *KINDS, "time", "distance", "at goal", "smoothness", "contexts"], rows)


def _ages(models: Sequence[Model]) -> str:
    """Success by the delay from pictures to context, for models that were tried with several."""
    rows = []
    for model in models:
        found = [score for score in model.scores if score.only(timing=...) and _late_only(score.timing)]
        for task in model.manifest.tasks:
            tried = sorted((s for s in found if s.task == task), key=lambda s: (_context_ms(s), s.seeds))
            if len({_context_ms(s) for s in tried}) > 1:
                rows += [[task, model.name, f"{_context_ms(s):.0f} ms", _rate(s), _seconds(s)] for s in tried]
    return _table(["task", "bundle", "pictures to context", "success", "time"], rows)


def _late_only(timing: PolicyTiming) -> bool:
    return timing == replace(PolicyTiming(), context_latency_ticks=timing.context_latency_ticks)


def _context_ms(score: Score) -> float:
    return 1000 * score.timing.context_latency_ticks / CONTROL_HZ


def _joinings(models: Sequence[Model]) -> str:
    """Success and smoothness by how chunks join, for models that were tried in several ways."""
    rows = []
    for model in models:
        found = [score for score in model.scores if score.only(joining=...)]
        for task in model.manifest.tasks:
            tried = [score for joining in JOININGS for score in found if (score.task, score.joining) == (task, joining)]
            if len({score.joining for score in tried}) > 1:
                rows += [[task, model.name, s.joining, _rate(s), _seconds(s), _smoothness(s)] for s in tried]
    return _table(["task", "bundle", "joining", "success", "time", "smoothness"], rows)


def _training(models: Sequence[Model]) -> str:
    rows = []
    for model in models:
        facts = model.manifest.training
        sizes = [_number(facts.get(f"system{number}_parameters"), "{:.2f}", 1e-6) for number in (1, 2)]
        minutes = [_number(facts.get(f"{part}_minutes"), "{:.0f} min") for part in ("action", "scene")]
        samples = [_number(facts.get(f"{part}_samples_per_s"), "{:.0f}/s") for part in ("action", "scene")]
        off = _number(facts.get("int8_max_abs_rad"), "{:.1f} mrad", 1e3)
        row = [model.name, model.manifest.family, *sizes, _demonstrations(facts.get("episodes"))]
        rows.append([*row, *minutes, *samples, off, f"{model.size / 1e6:.1f} MB"])
    heads = ["bundle", "family", "System 1", "System 2", "demonstrations", "System 1 took", "System 2 took"]
    return _table([*heads, "System 1 samples", "System 2 samples", "int8 off fp32", "on disk"], rows)


def _speed(models: Sequence[Model], latency: Latency | None) -> str:
    rows = []
    for model in models:
        manifest, every = model.manifest, model.manifest.infer_every
        measured = {
            name: latency.of(model.name, manifest.files, name) if latency else None for name in (FP32, INT8, SYSTEM2)
        }
        row = [
            model.name,
            manifest.family,
            str(manifest.passes),
            "every tick" if every == 1 else f"every {every} ticks",
        ]
        for name in (FP32, INT8):
            row += [_times(measured[name]), _late(measured[name])]
        rows.append([*row, _times(measured[SYSTEM2])])
    heads = ["bundle", "family", "passes", "inference", "System 1 fp32, p50 / p99", "late", "int8, p50 / p99", "late"]
    return _table([*heads, "System 2, p50 / p99"], rows)


def _commands(models: Sequence[Model]) -> str:
    rows = []
    for model in models:
        facts = model.manifest.training
        if "command" in facts:
            rows.append([model.name, f"`{facts['command']}` (commit {facts.get('commit', 'unknown')})", "", "", ""])
        for score in model.scores:
            rows.append([model.name, f"`{score.command}`", _rate(score), _smoothness(score), _distance(score)])
    return _table(["bundle", "command", "success", "smoothness", "distance"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def _rate(score: Score | None) -> str:
    if score is None:
        return NONE
    low, high = (100 * value for value in score.wilson_95)
    share, mark = 100 * score.successes / score.episodes, OLDER if score.of else ""
    return f"{score.successes} of {score.episodes}: {share:.1f} % ({low:.1f}..{high:.1f}){mark}"


def _smoothness(score: Score | None) -> str:
    return _number(score and score.smoothness, "{:.2f}")


def _seconds(score: Score | None) -> str:
    return _number(score and score.mean_time_s, "{:.2f} s")


def _distance(score: Score | None) -> str:
    return _number(score and score.mean_distance_m, "{:.2f} cm", 100)


def _held(score: Score | None) -> str:
    return _number(score and score.mean_held_s, "{:.2f} s")


def _number(value: Any, form: str, scale: float = 1.0) -> str:
    return form.format(value * scale) if isinstance(value, (int, float)) else NONE


def _demonstrations(episodes: Any) -> str:
    if isinstance(episodes, dict):
        return ", ".join(f"{task} {count}" for task, count in episodes.items())
    return str(episodes) if isinstance(episodes, int) else NONE


def _times(times: Times | None) -> str:
    return NONE if times is None else f"{times.p50_ms:.2f} / {times.p99_ms:.2f} ms"


def _late(times: Times | None) -> str:
    return NONE if times is None or not times.due else f"{100 * times.late / times.due:.2f} %"
