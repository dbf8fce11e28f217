"""Comparing while seeds are still being added: a test that may be looked at, and ended, after any of them."""

from collections.abc import Sequence

import numpy as np
from scipy.special import betaln

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

PRIOR = 0.5  # Jeffreys' prior of the share of discordant seeds that are A's: Beta(1/2, 1/2)


def log_e_value(only_a: int, only_b: int) -> float:
    """Return the logarithm of the evidence against "A and B succeed equally often", after so many discordant seeds.

    What a gambler has who began with 1 and put, on each discordant seed, the Krichevsky-Trofimov share on A:
    E = 2^(a + b) B(a + 1/2, b + 1/2) / B(1/2, 1/2), which is the integral of 2^(a + b) t^a (1 - t)^b over Jeffreys'
    prior of t. Raises ConfigError.
    """
    if not (only_a >= 0 and only_b >= 0):
        raise ConfigError(f"evidence: got {only_a} and {only_b} discordant seeds, expected at least 0")
    return float((only_a + only_b) * np.log(2.0) + betaln(only_a + PRIOR, only_b + PRIOR) - betaln(PRIOR, PRIOR))


def e_values(a: Sequence[bool], b: Sequence[bool]) -> FloatArray:
    """Return the evidence after each seed, (n,), for successes of A and B in the order in which the seeds were run.

    An e-process: where the hypothesis "given what was seen before, the next discordant seed is A's with probability
    1/2" holds, P(the evidence ever reaches 1 / alpha) <= alpha. Proof. Let t-hat = (a + 1/2) / (a + b + 1) be fixed by
    the past. A discordant seed multiplies E by 2 t-hat when it is A's and by 2 (1 - t-hat) when it is B's, for
    B(a + 3/2, b + 1/2) / B(a + 1/2, b + 1/2) = t-hat; the mean of the two factors is 1. A concordant seed leaves E as
    it is. So E is a non-negative martingale that begins at 1, and Ville's inequality gives the bound for all times at
    once, also for a time of stopping that was chosen by looking at E. The hypothesis holds for equally good controllers
    on seeds drawn independently of each other and not chosen by how earlier ones went.

    After Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
    Science 38, 2023; the mixture after Robbins, Annals of Mathematical Statistics 41, 1970. Raises ConfigError.
    """
    if len(a) != len(b):
        raise ConfigError(f"evidence: got {len(a)} and {len(b)} episodes, expected as many, of the same seeds")
    won, lost = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    wins, losses = np.cumsum(won & ~lost), np.cumsum(lost & ~won)
    log_e = (wins + losses) * np.log(2.0) + betaln(wins + PRIOR, losses + PRIOR) - betaln(PRIOR, PRIOR)
    return np.exp(log_e)


def anytime_p(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Return a two-sided p that stays valid however often it was looked at while seeds were added.

    1 / the largest evidence so far, at most 1; larger than McNemar's p of the same seeds, which is valid only for a
    number of seeds that was fixed before. Raises ConfigError.
    """
    evidence = e_values(a, b)
    return min(1.0, 1.0 / float(evidence.max())) if len(evidence) else 1.0
