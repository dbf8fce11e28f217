"""Where success that grows with the number of demonstrations reaches a baseline that needs none, and how sure that is.

A curve of K counts is made monotone by isotonic regression and read between counts along their logarithm. Positions are
log10 of a count: -inf is at or before the first count, inf is nowhere up to the last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.bootstrap import FEWEST, resampled_means

CONFIDENCE = 0.95
ROUNDING = 1e-9  # of rates that should be equal


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where the learner gets to within `margin` of the baseline's success rate on the seeds that all of them share.

    at, low, high: demonstrations, and their 95 % bootstrap interval over seeds; 0 is at the first count or before it,
    inf is beyond the last. rate, level: success of the learner at its last count, and of the baseline less the margin.
    before, never: shares of the resamples in which it was there from the first count on, or never.
    """

    baseline: str
    margin: float
    first: int
    last: int
    seeds: int
    rate: float
    level: float
    at: float
    low: float
    high: float
    before: float
    never: float

    @property
    def text(self) -> str:
        """The whole of it in one sentence."""
        goal = f"{self.baseline} ({100 * (self.level + self.margin):.1f} %)"
        goal = f"within {100 * self.margin:g} points of {goal}" if self.margin else goal
        interval = f"95 %: {_count(self.low, self)}..{_count(self.high, self)}, {self.seeds} shared seeds"
        if self.at == 0.0:
            return f"at or above {goal} from {self.first} demonstrations on ({interval})"
        if math.isinf(self.at):
            short = f"{100 * (self.rate - self.level):+.1f} points at {self.last}"
            return f"never reaches {goal} up to {self.last} demonstrations: below, {short} ({interval})"
        return f"reaches {goal} at {self.at:.0f} demonstrations ({interval})"


def isotonic(rates: FloatArray) -> FloatArray:
    """Return the nearest rates (..., K), by squares, that never fall along the last axis.

    By the max-min formula: Robertson, Wright and Dykstra, "Order restricted statistical inference", 1988, section 1.4.
    """
    k = rates.shape[-1]
    sums = np.concatenate([np.zeros((*rates.shape[:-1], 1)), np.cumsum(rates, axis=-1)], axis=-1)
    fitted = np.empty_like(rates)
    for at in range(k):
        means = [
            np.min([(sums[..., end] - sums[..., begin]) / (end - begin) for end in range(at + 1, k + 1)], axis=0)
            for begin in range(at + 1)
        ]
        fitted[..., at] = np.max(means, axis=0)
    return fitted


def first_reached(log_counts: FloatArray, rates: FloatArray, levels: FloatArray) -> FloatArray:
    """Return where rates (B, K), which never fall, first come up to levels (B,): (B,) along log_counts (K,)."""
    there = rates >= levels[:, None] - ROUNDING
    after = np.argmax(there, axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(rates))
    low, high = rates[rows, before], rates[rows, after]
    part = (levels - low) / np.where(high > low, high - low, 1.0)
    found = log_counts[before] + np.clip(part, 0.0, 1.0) * (log_counts[after] - log_counts[before])
    found = np.where(there[:, 0], -np.inf, found)
    return np.where(there[:, -1], found, np.inf)


def crossing(
    name: str, counts: Sequence[int], learned: BoolArray, baseline: BoolArray, margin: float = 0.0
) -> Crossing:
    """Return where the learner reaches baseline `name`. learned: (K, n) successes on n seeds; baseline: (n,).

    Seeds are drawn anew as a whole, the learner's with the baseline's, so what both find hard or easy does not count
    as doubt. The interval is over seeds: other trainings would differ, too. One seed says nothing: its interval is
    all. Raises ConfigError for arrays that do not fit, counts that do not grow, and margins outside 0..1.
    """
    if not (learned.shape == (len(counts), len(baseline)) and learned.size):
        got = f"{learned.shape} for {len(counts)} counts and {len(baseline)} seeds"
        raise ConfigError(f"crossing: got successes of shape {got}, expected (counts, seeds), some of each")
    if not (counts[0] > 0 and all(a < b for a, b in zip(counts, counts[1:], strict=False))):
        raise ConfigError(f"crossing: got counts {list(counts)}, expected positive ones that grow")
    if not 0.0 <= margin < 1.0:
        raise ConfigError(f"crossing: got a margin of {margin}, expected 0 <= margin < 1")
    log_counts = np.log10(np.asarray(counts, dtype=np.float64))
    together = np.vstack([learned, baseline[None]]).T.astype(np.float64)
    at = _reached(log_counts, together.mean(axis=0)[None], margin)
    found = np.sort(_reached(log_counts, resampled_means(together), margin))
    low, high = (-np.inf, np.inf) if len(baseline) < FEWEST else _middle(found)
    return Crossing(
        baseline=name,
        margin=margin,
        first=counts[0],
        last=counts[-1],
        seeds=len(baseline),
        rate=float(learned[-1].mean()),
        level=float(baseline.mean()) - margin,
        at=_demonstrations(at[0]),
        low=_demonstrations(low),
        high=_demonstrations(high),
        before=float(np.isneginf(found).mean()),
        never=float(np.isposinf(found).mean()),
    )


def _reached(log_counts: FloatArray, means: FloatArray, margin: float) -> FloatArray:
    """means: (B, K + 1), the baseline's last."""
    return first_reached(log_counts, isotonic(means[:, :-1]), means[:, -1] - margin)


def _middle(found: FloatArray) -> tuple[float, float]:
    """Return the percentiles of sorted positions; never between two, of which one may be infinite."""
    tail = (1.0 - CONFIDENCE) / 2.0
    return found[math.floor(tail * len(found))], found[math.ceil((1.0 - tail) * len(found)) - 1]


def _demonstrations(log_count: float) -> float:
    return float(10.0**log_count)


def _count(count: float, of: Crossing) -> str:
    if count == 0.0:
        return f"<={of.first}"
    return f">{of.last}" if math.isinf(count) else f"{count:.0f}"
