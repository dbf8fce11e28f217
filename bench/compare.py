"""Ways to do the same, timed side by side.

Each runs once in every round, in changing order, so that ratios hold on a noisy machine although times do not.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from tqdm import tqdm

from so_arm_policy.policy.graphs import session_options

PERCENTS = (50.0, 99.0, 99.9)
WARM_UP = 10


@dataclass(frozen=True)
class Variant:
    """One way to infer, and the name of the one it is compared with: the same but for one thing."""

    run: Callable[[], object]
    base: str


def compared(variants: Mapping[str, Variant], rounds: int) -> dict[str, dict[str, float]]:
    """Time every variant once in each round, in changing order. Ratios: medians over rounds, each to its base."""
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for variant in variants.values():
        for _ in range(WARM_UP):
            variant.run()
    for number in tqdm(range(rounds), desc="compared", unit="round"):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter_ns()
            variants[name].run()
            times[name].append((time.perf_counter_ns() - began) / 1e6)
    table = {}
    for name, variant in variants.items():
        low, middle, high = np.percentile(np.array(times[name]) / np.array(times[variant.base]), [25, 50, 75])
        table[name] = {**percentiles(times[name]), "ratio": middle, "ratio_p25": low, "ratio_p75": high}
    return table


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99, p99.9 and the maximum."""
    array = np.array(values)
    return {**{f"p{p:g}": float(np.percentile(array, p)) for p in PERCENTS}, "max": float(array.max())}


def print_compared(table: Mapping[str, Mapping[str, float]]) -> None:
    """Print what `compared` returned."""
    print(f"{'':58s} {'p50 ms':>8s} {'p99 ms':>8s} {'p99.9 ms':>8s} {'ratio':>7s}  quartiles")
    for name, row in table.items():
        quartiles = f"{row['ratio_p25']:.2f} .. {row['ratio_p75']:.2f}"
        print(f"{name:58s} {row['p50']:8.3f} {row['p99']:8.3f} {row['p99.9']:8.3f} {row['ratio']:7.2f}  {quartiles}")


def session_run(model: bytes, feed: dict[str, Any], outputs: Sequence[str]) -> Callable[[], object]:
    """Return what runs the ONNX graph `model` on `feed`, on one thread, as the nodes do."""
    session = ort.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
    return lambda: session.run(list(outputs), feed)


def pin_to_one_core() -> int:
    """Keep this process, with all its threads, on one core. Returns its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core
