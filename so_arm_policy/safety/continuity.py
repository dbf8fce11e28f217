"""Rule 4, continuity: a source that starts to act must start where the arm is."""

import numpy as np

from so_arm_policy.safety.case import Case
from so_arm_policy.safety.values import Finding


def check_proposal(case: Case) -> Finding | None:
    """Refuse a first command (after start, reset, selection or hold) that is far from the arm.

    Each joint may be near its measured position or near the held command: position servos sag under gravity by a
    few hundredths of rad, so a source that starts from one of the two is away from the other.
    """
    if case.joined:
        return None
    distance = np.minimum(np.abs(case.q - case.sample.q), np.abs(case.q - case.output))
    limit = case.setup.config.continuity_rad
    if bool((distance <= limit).all()):
        return None
    i = int(distance.argmax())
    return Finding(
        "continuity.far",
        f"joint {case.setup.limits.names[i]!r}: got first command {case.q[i]:.4f} rad, "
        f"expected within {limit} of measured {case.sample.q[i]:.4f} or held {case.output[i]:.4f}",
    )
