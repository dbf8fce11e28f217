"""Many tests at once: how sure each is, given that there were so many."""

from collections.abc import Sequence

from so_arm_policy.core.errors import ConfigError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order.

    Rejecting those of at most alpha, the probability of any false rejection is at most alpha, however they depend on
    each other. After Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979. Raises ConfigError.
    """
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ConfigError(f"holm: got p-values {list(p_values)}, expected each within 0..1")
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
