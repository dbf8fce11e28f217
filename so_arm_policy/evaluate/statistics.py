"""How sure a measured share is."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import betaincinv

from so_arm_policy.core.errors import ConfigError

ROUNDING = 1e-9  # of numbers that should be whole


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of success rates that `successes` of `trials` speak for; (0, 1) without trials.

    After Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927; recommended
    over the usual interval by Brown, Cai and DasGupta, Statistical Science 16, 2001. Raises ConfigError.
    """
    _check(successes, trials, confidence)
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    rate, extra = successes / trials, z * z / trials
    center = rate + extra / 2.0
    half = z * math.sqrt(rate * (1.0 - rate) / trials + extra / (4.0 * trials))
    low, high = (center - half) / (1.0 + extra), (center + half) / (1.0 + extra)
    # Exactly 0 and 1 at the ends, where rounding would leave a trace.
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


def clopper_pearson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of success rates: it never holds the true one more seldom than `confidence` says.

    Wider than Wilson's, whose coverage is right in the mean only; (0, 1) without trials. After Clopper and Pearson,
    "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26, 1934. Raises
    ConfigError.
    """
    _check(successes, trials, confidence)
    tail, failures = (1.0 - confidence) / 2.0, trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1.0 - tail))
    return low, high


def _check(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ConfigError(f"interval: got {successes} successes of {trials}, expected 0 <= successes <= trials")
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"interval: got confidence {confidence}, expected 0 < confidence < 1")


def conformal_quantile(scores: Sequence[float], alpha: float) -> float:
    """Return what a further score, exchangeable with `scores`, exceeds with a probability of at most `alpha`.

    The ceil((n + 1)(1 - alpha))-th smallest of n, after Vovk, Gammerman and Shafer, "Algorithmic learning in a random
    world", 2005. Raises ConfigError where n scores cannot say so much.
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"quantile: got alpha {alpha}, expected 0 < alpha < 1")
    n = len(scores)
    if n < least_scores(alpha):
        raise ConfigError(f"quantile: got {n} scores, expected at least {least_scores(alpha)} for alpha {alpha}")
    return float(sorted(scores)[math.ceil((n + 1) * (1.0 - alpha) - ROUNDING) - 1])


def least_scores(alpha: float) -> int:
    """Return how many scores a conformal quantile for `alpha` needs."""
    return math.ceil(1.0 / alpha - 1.0 - ROUNDING)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the value below which `percent` of `values` lie, or None without values."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent)) if len(values) else None


def mean(values: Sequence[float]) -> float | None:
    """Return the mean of `values`, or None without values."""
    return float(np.mean(values)) if len(values) else None
