"""The law that training losses follow: L(N, D) = E + A / N^a + B / D^b, fitted with bootstrap intervals.

After Hoffmann et al., "Training compute-optimal large language models" (Chinchilla), 2022, section 3.3: parameters are
fitted to log L by Huber's loss from many starts, and the best size for a budget follows in closed form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

HUBER = 1e-2  # of log L
LEAST_POINTS = 6  # one more than the law has parameters
STARTS = [
    (a, b, alpha, beta, e)
    for a in (0.0, 4.0)
    for b in (0.0, 4.0)
    for alpha in (0.2, 0.6)
    for beta in (0.2, 0.6)
    for e in (-3.0, -1.0)
]


@dataclass(frozen=True)
class ScalingLaw:
    """L = floor + a / N^alpha + b / D^beta; N parameters, D demonstrations."""

    floor: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, parameters: FloatArray | float, demonstrations: FloatArray | float) -> FloatArray:
        """Return L for N and D, any shapes that broadcast."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(demonstrations, dtype=np.float64)
        return self.floor + self.a / n**self.alpha + self.b / d**self.beta

    def best_size(self, flops: float, flops_each: float) -> tuple[float, float]:
        """Return N and D of the lowest loss for a budget of flops = flops_each * N * D.

        flops_each: floating point operations for a parameter and a demonstration, over the whole training.
        """
        ratio = (self.alpha * self.a / (self.beta * self.b)) ** (1.0 / (self.alpha + self.beta))
        n = ratio * (flops / flops_each) ** (self.beta / (self.alpha + self.beta))
        return float(n), float(flops / flops_each / n)


@dataclass(frozen=True)
class Fit:
    """The law that fits best, those of resampled points, and the points: (k,) each."""

    law: ScalingLaw
    resampled: tuple[ScalingLaw, ...]

    def interval(self, name: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of a parameter of the law."""
        values = [getattr(law, name) for law in self.resampled]
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)


def fit_law(
    parameters: Sequence[float], demonstrations: Sequence[float], losses: Sequence[float], resamples: int = 200
) -> Fit:
    """Fit the law to k trainings. Raises InputError for too few or unusable points, or only one size or count."""
    n, d, loss = (np.asarray(values, dtype=np.float64) for values in (parameters, demonstrations, losses))
    _check(n, d, loss)
    law = _fit(n, d, loss, STARTS)
    # Resampled fits start from the whole one: from everywhere they would take minutes and end in the same place.
    near = [_start_of(law)]
    rng = np.random.default_rng(0)
    resampled: list[ScalingLaw] = []
    while len(resampled) < resamples:
        at = rng.integers(len(n), size=len(n))
        if len(set(n[at])) > 1 and len(set(d[at])) > 1:
            resampled.append(_fit(n[at], d[at], loss[at], near))
    return Fit(law, tuple(resampled))


def _check(n: FloatArray, d: FloatArray, loss: FloatArray) -> None:
    if not (len(n) == len(d) == len(loss) >= LEAST_POINTS):
        raise InputError(
            f"scaling: got {len(n)}, {len(d)}, {len(loss)} points, expected as many, {LEAST_POINTS} or more"
        )
    for name, values in (("parameters", n), ("demonstrations", d), ("losses", loss)):
        if not (np.isfinite(values).all() and (values > 0.0).all()):
            raise InputError(f"scaling: got {name} {values.tolist()}, expected positive finite numbers")
    if len(set(n)) < 2 or len(set(d)) < 2:
        raise InputError(f"scaling: got {len(set(n))} sizes and {len(set(d))} counts, expected two or more of each")


def _fit(n: FloatArray, d: FloatArray, loss: FloatArray, starts: Sequence[tuple[float, ...]]) -> ScalingLaw:
    log_n, log_d, log_loss = np.log(n), np.log(d), np.log(loss)

    def error(x: FloatArray) -> float:
        a, b, alpha, beta, e = x
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        off = np.abs(logsumexp(terms, axis=0) - log_loss)
        return float(np.where(off <= HUBER, 0.5 * off**2, HUBER * (off - 0.5 * HUBER)).sum())

    bounds = [(-20.0, 40.0), (-20.0, 40.0), (0.01, 3.0), (0.01, 3.0), (-15.0, 5.0)]
    found = [minimize(error, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    a, b, alpha, beta, e = min(found, key=lambda result: float(result.fun)).x
    return ScalingLaw(floor=float(np.exp(e)), a=float(np.exp(a)), b=float(np.exp(b)), alpha=alpha, beta=beta)


def _start_of(law: ScalingLaw) -> tuple[float, ...]:
    return float(np.log(law.a)), float(np.log(law.b)), law.alpha, law.beta, float(np.log(law.floor))
