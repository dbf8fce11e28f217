"""Which of two controllers is better, said only where the seeds say so."""

from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.anytime import anytime_p
from so_arm_policy.evaluate.compare.holm import holm
from so_arm_policy.evaluate.compare.pairs import Pairs, difference_interval, mcnemar_p

A_BETTER, B_BETTER, NOT_DISTINGUISHABLE = "A better", "B better", "not distinguishable"
ALPHA = 0.05

Successes = Sequence[bool]


@dataclass(frozen=True, kw_only=True)
class PairVerdict:
    """What shared seeds say of A and B.

    verdict: one of the three above, by p_holm alone. difference: success rate of A less that of B; low, high: its 95 %
    interval, of this pair alone. p: exact McNemar; p_holm: corrected for all pairs that were judged together.
    p_anytime: valid also where larger seeds were added after looking; not corrected.
    """

    verdict: str
    pairs: Pairs
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_anytime: float


def verdict(pairs: Pairs, p_corrected: float, alpha: float = ALPHA) -> str:
    """Return the verdict of one pair. Raises ConfigError."""
    if not (0.0 <= p_corrected <= 1.0 and 0.0 < alpha < 1.0):
        raise ConfigError(f"verdict: got p {p_corrected} and alpha {alpha}, expected within 0..1")
    if p_corrected > alpha or pairs.only_a == pairs.only_b:
        return NOT_DISTINGUISHABLE
    return A_BETTER if pairs.only_a > pairs.only_b else B_BETTER


def judge(couples: Sequence[tuple[Successes, Successes]], alpha: float = ALPHA) -> list[PairVerdict]:
    """Judge all couples together. Each holds the successes of A and of B on the same seeds. Raises ConfigError."""
    counted = [Pairs.of(a, b) for a, b in couples]
    p_values = [mcnemar_p(pairs) for pairs in counted]
    found = []
    for (a, b), pairs, p, p_holm in zip(couples, counted, p_values, holm(p_values), strict=True):
        low, high = difference_interval(pairs)
        found.append(
            PairVerdict(
                verdict=verdict(pairs, p_holm, alpha),
                pairs=pairs,
                difference=pairs.difference,
                low=low,
                high=high,
                p=p,
                p_holm=p_holm,
                p_anytime=anytime_p(a, b),
            )
        )
    return found
