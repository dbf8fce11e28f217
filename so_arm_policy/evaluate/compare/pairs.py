"""Two controllers on the same seeds: how often only one of them succeeds, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from scipy.special import bdtr

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.statistics import wilson_interval


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Seeds by which of two controllers, A and B, succeeded."""

    both: int
    only_a: int
    only_b: int
    neither: int

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        if min(self.both, self.only_a, self.only_b, self.neither) < 0:
            raise ConfigError(f"pairs: got {self}, expected counts of at least 0")

    @classmethod
    def of(cls, a: Sequence[bool], b: Sequence[bool]) -> Self:
        """Count the successes of A and B on the same seeds in the same order. Raises ConfigError."""
        if len(a) != len(b):
            raise ConfigError(f"pairs: got {len(a)} and {len(b)} episodes, expected as many, of the same seeds")
        found = [(bool(x), bool(y)) for x, y in zip(a, b, strict=True)]
        return cls(
            both=found.count((True, True)),
            only_a=found.count((True, False)),
            only_b=found.count((False, True)),
            neither=found.count((False, False)),
        )

    @property
    def seeds(self) -> int:
        """How many there are."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def discordant(self) -> int:
        """On how many exactly one of them succeeded."""
        return self.only_a + self.only_b

    @property
    def difference(self) -> float:
        """Success rate of A less that of B; 0 without seeds."""
        return (self.only_a - self.only_b) / self.seeds if self.seeds else 0.0


def mcnemar_p(pairs: Pairs) -> float:
    """Return the two-sided p of the exact test that both succeed equally often; 1 where no seed tells them apart.

    Given the discordant seeds, each is A's with probability 1/2: twice the smaller tail of the binomial. After McNemar,
    "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12,
    1947. It keeps its level for any number of seeds, and is conservative for few.
    """
    if pairs.discordant == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(pairs.only_a, pairs.only_b), pairs.discordant, 0.5)))


def difference_interval(pairs: Pairs, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the difference of the two success rates, A's less B's; (-1, 1) without seeds.

    Method 10 of Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17, 1998: Wilson's intervals of both rates, squared and added, less what the
    correlation phi explains (continuity-corrected where positive). Recommended by Fagerland, Lydersen and Laake,
    Statistics in Medicine 33, 2014. Approximate: it can disagree with the exact test near its edge. Raises ConfigError.
    """
    n = pairs.seeds
    a, b = pairs.both + pairs.only_a, pairs.both + pairs.only_b
    low_a, high_a = wilson_interval(a, n, confidence)
    low_b, high_b = wilson_interval(b, n, confidence)
    if n == 0:
        return -1.0, 1.0
    p_a, p_b, phi = a / n, b / n, _phi(pairs)
    below = _joined(p_a - low_a, high_b - p_b, phi)
    above = _joined(high_a - p_a, p_b - low_b, phi)
    return max(-1.0, p_a - p_b - below), min(1.0, p_a - p_b + above)


def _phi(pairs: Pairs) -> float:
    """Return the correlation of the two successes, brought nearer to 0 where positive; 0 where a rate is 0 or 1."""
    a, b, n = pairs.both + pairs.only_a, pairs.both + pairs.only_b, pairs.seeds
    spread = math.sqrt(a * (n - a) * b * (n - b))
    if spread == 0.0:
        return 0.0
    together = pairs.both * pairs.neither - pairs.only_a * pairs.only_b
    return (max(together - n / 2.0, 0.0) if together > 0 else together) / spread


def _joined(one: float, other: float, phi: float) -> float:
    # Exactly phi = 1 and one = other can round to less than 0.
    return math.sqrt(max(0.0, one * one - 2.0 * phi * one * other + other * other))
