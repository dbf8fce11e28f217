"""Statistics of a dataset's columns as LeRobot keeps them: of each episode, and of all together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
PICTURES_PER_EPISODE = 16  # pictures that the statistics of an episode look at

Stats = dict[str, FloatArray]


def of_numbers(values: npt.NDArray[Any]) -> Stats:
    """Return the statistics of rows (T, ...), each of the shape of a row, (1,) for plain numbers."""
    rows = np.asarray(values, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([float(len(rows))]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def of_pictures(pictures: npt.NDArray[np.uint8]) -> Stats:
    """Return the statistics of a few of the pictures (F, H, W, 3), each (3, 1, 1) with 1.0 for full brightness."""
    chosen = pictures[np.unique(np.linspace(0, len(pictures) - 1, PICTURES_PER_EPISODE).round().astype(np.int64))]
    level = np.arange(256) / 255.0
    found: dict[str, list[float]] = {name: [] for name in NAMES if name != "count"}
    for channel in range(chosen.shape[-1]):
        counts = np.bincount(chosen[..., channel].reshape(-1), minlength=256)
        share = counts / counts.sum()
        mean = float(share @ level)
        present, upto = np.flatnonzero(counts), np.cumsum(share)
        found["min"].append(level[present[0]])
        found["max"].append(level[present[-1]])
        found["mean"].append(mean)
        found["std"].append(float(np.sqrt(share @ (level - mean) ** 2)))
        for name, quantile in QUANTILES.items():
            found[name].append(level[min(255, int(np.searchsorted(upto, quantile)))])
    stats = {name: np.array(values)[:, None, None] for name, values in found.items()}
    return stats | {"count": np.array([float(len(chosen))])}


def together(parts: Sequence[Mapping[str, FloatArray]]) -> Stats:
    """Join statistics of several episodes. As in LeRobot, quantiles are the mean of theirs by count: not exact."""
    stacked = {name: np.stack([part[name] for part in parts]) for name in NAMES}
    counts = stacked["count"].reshape(-1, *[1] * (stacked["mean"].ndim - 1))
    total = counts.sum()
    mean = (stacked["mean"] * counts).sum(axis=0) / total
    variance = ((stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2) * counts).sum(axis=0) / total
    return {
        "min": stacked["min"].min(axis=0),
        "max": stacked["max"].max(axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([float(total)]),
        **{name: (stacked[name] * counts).sum(axis=0) / total for name in QUANTILES},
    }
