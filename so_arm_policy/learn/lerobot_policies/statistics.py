"""How a LeRobot policy scales its inputs and outputs: its normalisation modes, each as a shift and a width."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

EPSILON = 1e-8  # LeRobot's, where the pipeline names none
Numbers = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Scale:
    """The network sees (value - shift) / width, and what it says means said * span + shift; (n,) each."""

    shift: FloatArray
    width: FloatArray
    span: FloatArray


def _mean_std(stats: Numbers, epsilon: float) -> Scale:
    return Scale(stats["mean"], stats["std"] + epsilon, stats["std"])


def _between(low: str, high: str) -> Callable[[Numbers, float], Scale]:
    """From `low`..`high` to -1..1."""

    def scale(stats: Numbers, epsilon: float) -> Scale:
        width = stats[high] - stats[low]
        half = np.where(width == 0.0, epsilon, width) / 2.0
        return Scale(stats[low] + half, half, half)

    return scale


# After NormalizerProcessorStep of lerobot 0.4: the statistics that a mode needs, and what it makes of them.
MODES: dict[str, tuple[tuple[str, ...], Callable[[Numbers, float], Scale]]] = {
    "MEAN_STD": (("mean", "std"), _mean_std),
    "MIN_MAX": (("min", "max"), _between("min", "max")),
    "QUANTILES": (("q01", "q99"), _between("q01", "q99")),
    "QUANTILE10": (("q10", "q90"), _between("q10", "q90")),
}
IDENTITY = "IDENTITY"


def scale_of(
    feature: str, size: int, mode: str, stats: Numbers | None, epsilon: float, where: str, *, read: bool = True
) -> Scale:
    """Return how `feature` of `size` numbers is scaled; read: whether the policy reads it, instead of saying it.

    Raises InputError where statistics are missing or unusable.
    """
    if mode == IDENTITY:
        return Scale(np.zeros(size), np.ones(size), np.ones(size))
    if mode not in MODES:
        raise InputError(f"{where}: got normalisation {mode!r} of {feature}, expected one of {[IDENTITY, *MODES]}")
    needed, make = MODES[mode]
    missing = [name for name in needed if stats is None or name not in stats]
    if stats is None or missing:
        raise InputError(f"{where}: got no {' and '.join(missing)} of {feature}, expected its normalisation ({mode})")
    flat = {name: np.asarray(stats[name], dtype=np.float64).reshape(-1) for name in needed}
    for name, values in flat.items():
        if values.shape != (size,) or not np.isfinite(values).all():
            raise InputError(f"{where}: got {name} of {feature} {values.tolist()}, expected {size} finite numbers")
    scale = make(flat, epsilon)
    least = float(scale.width.min())
    if read and not least > 2.0 * epsilon:
        raise InputError(
            f"{where}: got {feature} that was always {flat[needed[0]][int(scale.width.argmin())]:.6g} in training "
            f"({mode}), expected one that varies: any other value would be scaled by {1.0 / max(least, 1e-300):.0e}"
        )
    return scale
