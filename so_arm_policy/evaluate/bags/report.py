"""An evaluation of a bag as text, as JSON and as pictures."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.evaluate.bags.evaluation import Evaluation

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

MILLI = 1000.0


def lines(result: Evaluation) -> list[str]:
    """Return what a person wants to know."""
    said = [f"mode: {result.mode}"]
    for name, parity in result.parity.items():
        left = [f"{parity.lost} lost"] if parity.lost else []
        left += [f"{n} without {what}" for what, n in parity.missing.items()]
        missing = f"; not comparable: {', '.join(left)}" if left else ""
        said.append(f"{name}: {parity.same} of {parity.compared} the same{missing}")
        said += [f"  none comparable from {parity.unknown_since} to the end"] if parity.unknown_since else []
        said += [f"  first other: {parity.first}"] if parity.first else []
    said += _error_lines(result)
    said.append(f"verdicts: {_counts(result.actions)}" + (f"; why: {_counts(result.codes)}" if result.codes else ""))
    for name, values in result.latency_ms.items():
        if len(values):
            p50, p99 = np.percentile(values, [50, 99])
            said.append(f"{name}: {len(values)} inferences, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    for name in ("silences", "skipped", "damage"):
        found = getattr(result, name)
        said += [f"{name}: {_counts(found)}"] if found else []
    if result.stops:
        said.append(f"emergency stops: {result.stops}; the recorded arm did not do what this policy said")
    return said + ([f"jumps of the bag's clock: {result.jumps}"] if result.jumps else [])


def _error_lines(result: Evaluation) -> list[str]:
    errors = result.errors
    if not errors.counts.any():
        return ["actions: none recorded at the times of the predictions"]
    said = ["predicted against recorded actions, mean absolute error in rad, by how far ahead:"]
    said.append("  " + "".join(f"{name:>15}" for name in ("", *result.joints)))
    for row in _shown_rows(errors.counts):
        ahead = f"{row * result.dt_s:.3f} s"
        said.append("  " + f"{ahead:>15}" + "".join(f"{value:15.4f}" for value in errors.mean[row]))
    return said


def _shown_rows(counts: Any) -> list[int]:
    there = np.flatnonzero(counts)
    return sorted({int(row) for row in there[np.linspace(0, len(there) - 1, min(6, len(there))).round().astype(int)]})


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"


def as_mapping(result: Evaluation) -> dict[str, Any]:
    """Return the evaluation for JSON."""
    errors = result.errors
    return {
        "mode": result.mode,
        "parity": {
            name: {
                "compared": p.compared,
                "same": p.same,
                "lost": p.lost,
                "missing": dict(p.missing),
                "unknown_since": p.unknown_since,
                "first": p.first,
            }
            for name, p in result.parity.items()
        },
        "joints": list(result.joints),
        "dt_s": result.dt_s,
        "compared": errors.counts.tolist(),
        "mean_error_rad": _plain(errors.mean),
        "rms_error_rad": _plain(errors.rms),
        "verdicts": dict(result.actions),
        "reasons": dict(result.codes),
        "latency_ms": {
            name: {"p50": float(np.percentile(v, 50)), "p99": float(np.percentile(v, 99)), "count": len(v)}
            for name, v in result.latency_ms.items()
            if len(v)
        },
        "silences": dict(result.silences),
        "skipped": dict(result.skipped),
        "damage": dict(result.damage),
        "jumps": result.jumps,
        "stops": result.stops,
    }


def _plain(table: FloatArray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in table]


def plot(result: Evaluation, path: Path) -> None:
    """Write a picture: errors over the horizon, latencies, verdicts."""
    figure, (errors, latency, verdicts) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    ahead_s = np.arange(len(result.errors.counts)) * result.dt_s
    for joint, name in enumerate(result.joints):
        if len(ahead_s):
            errors.plot(ahead_s, result.errors.mean[:, joint] * MILLI, label=name)
    errors.set(xlabel="predicted ahead, s", ylabel="mean absolute error, mrad", title="predicted against recorded")
    errors.legend(fontsize="small")
    for name, values in result.latency_ms.items():
        if len(values):
            latency.hist(values, bins=50, histtype="step", label=name)
    latency.set(xlabel="inference, ms", ylabel="inferences", title="latency")
    latency.legend(fontsize="small")
    names = list(result.actions)
    verdicts.bar(names, [result.actions[name] for name in names])
    verdicts.set(ylabel="ticks", title="verdicts", yscale="log" if names else "linear")
    figure.savefig(path, dpi=110)
    plt.close(figure)
