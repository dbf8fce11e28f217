"""Rule 5, limits, outer bands: what is far outside rejects the whole command instead of being clamped."""

import numpy as np

from so_arm_policy.safety.case import Case
from so_arm_policy.safety.values import Finding


def check_proposal(case: Case) -> Finding | None:
    """Refuse a position far outside the limits, or far from where the command is now.

    A source that is still joining may also start from the measured pose (see continuity): an arm that was held while
    it pressed against something is away from its command, and could otherwise never be led away from there. Beyond
    twice the band somebody moved the arm: that needs a reset.
    """
    limits, config, q, output = case.setup.limits, case.setup.config, case.q, case.output
    lower, upper = np.minimum(limits.lower, output), np.maximum(limits.upper, output)
    beyond = np.maximum(lower - q, q - upper)
    if not bool((beyond <= config.position_band_rad).all()):
        i = int(beyond.argmax())
        return Finding(
            "limit.position_band",
            f"joint {limits.names[i]!r}: got {q[i]:.4f} rad, "
            f"expected within {config.position_band_rad} of {lower[i]:.4f}..{upper[i]:.4f}",
        )
    step = np.abs(q - output)
    if not case.joined or case.state.joining:
        pressed = np.abs(output - case.sample.q) <= 2.0 * config.step_band_rad
        step = np.where(pressed, np.minimum(step, np.abs(q - case.sample.q)), step)
    if not bool((step <= config.step_band_rad).all()):
        i = int(step.argmax())
        return Finding(
            "limit.step_band",
            f"joint {limits.names[i]!r}: got {q[i]:.4f} rad, expected within {config.step_band_rad} of {output[i]:.4f}",
        )
    return None
