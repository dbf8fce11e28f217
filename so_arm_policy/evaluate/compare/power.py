"""How many seeds a difference needs to be seen."""

import numpy as np
from scipy.special import bdtr, gammaln, xlog1py, xlogy

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

MOST_SEEDS = 100_000


def mcnemar_power(seeds: int, only_a: float, only_b: float, alpha: float = 0.05) -> float:
    """Return the probability that the exact two-sided McNemar test finds a difference that is there.

    only_a, only_b: probabilities that only A and that only B succeeds on a seed. The power at each number of discordant
    seeds, weighted by how probable that number is; exact. After Duffy, "Asymptotic and exact power for the McNemar test
    and its analogue with R controls per case", Biometrics 40, 1984. Raises ConfigError.
    """
    _check(only_a, only_b, alpha)
    if not 0 <= seeds <= MOST_SEEDS:
        raise ConfigError(f"power: got {seeds} seeds, expected 0..{MOST_SEEDS}")
    return _power(seeds, only_a, only_b, _rejected(seeds, only_a, only_b, alpha))


def seeds_needed(only_a: float, only_b: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Return how many seeds the exact McNemar test needs for `power`; None for more than MOST_SEEDS.

    only_a, only_b, alpha: as in `mcnemar_power`; for K pairs after Holm, alpha / K is on the safe side. The power goes
    up with the number of seeds but for tiny steps back, as the test is discrete: this is a number at which it is
    reached, and with one seed less it is not. Raises ConfigError.
    """
    _check(only_a, only_b, alpha)
    if not 0.0 < power < 1.0:
        raise ConfigError(f"power: got {power}, expected 0 < power < 1")
    few, many = 0, 64
    while _power(many, only_a, only_b, _rejected(many, only_a, only_b, alpha)) < power:
        few, many = many, 2 * many
        if many > MOST_SEEDS:
            return None
    rejected = _rejected(many, only_a, only_b, alpha)
    while many - few > 1:
        middle = (few + many) // 2
        enough = _power(middle, only_a, only_b, rejected) >= power
        few, many = (few, middle) if enough else (middle, many)
    return many


def _rejected(most: int, only_a: float, only_b: float, alpha: float) -> FloatArray:
    """Return the probability to reject at 0..most discordant seeds, (most + 1,)."""
    share = only_a / (only_a + only_b)
    found = np.zeros(most + 1)
    smaller = -1  # largest smaller count at which the test rejects; it grows by at most one with each seed
    for m in range(1, most + 1):
        if 2.0 * bdtr(smaller + 1, m, 0.5) <= alpha:
            smaller += 1
        if smaller >= 0:
            found[m] = bdtr(smaller, m, share) + bdtr(smaller, m, 1.0 - share)
    return found


def _power(seeds: int, only_a: float, only_b: float, rejected: FloatArray) -> float:
    m, p = np.arange(seeds + 1), min(only_a + only_b, 1.0)
    log_pmf = gammaln(seeds + 1) - gammaln(m + 1) - gammaln(seeds - m + 1) + xlogy(m, p) + xlog1py(seeds - m, -p)
    return float(np.exp(log_pmf) @ rejected[: seeds + 1])


def _check(only_a: float, only_b: float, alpha: float) -> None:
    if not (only_a >= 0.0 and only_b >= 0.0 and 0.0 < only_a + only_b <= 1.0):
        raise ConfigError(f"power: got probabilities {only_a} and {only_b}, expected both >= 0 and 0 < sum <= 1")
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"power: got alpha {alpha}, expected 0 < alpha < 1")
