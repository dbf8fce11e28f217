"""Rule 1, schema: finite numbers for exactly this robot's joints, each once, in any order."""

import math

import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.safety.case import Case, Tick
from so_arm_policy.safety.values import Action, Finding


def check_tick(tick: Tick) -> Finding | None:
    """Refuse a measured state that is not one finite position for each joint."""
    sample = tick.input.sample
    if sample is None:
        return None
    n = len(tick.setup.robot.joints)
    if sample.q.shape != (n,):
        return Finding("schema.state", f"joint state: got shape {sample.q.shape}, expected ({n},)", Action.HOLD)
    if not np.isfinite(sample.q).all():
        return Finding("schema.state", f"joint state: got {sample.q.tolist()}, expected finite positions", Action.HOLD)
    return None


def check_proposal(case: Case) -> Finding | None:
    """Refuse wrong lengths, wrong, missing or double names, and values that are not finite."""
    proposal, n = case.proposal, len(case.setup.robot.joints)
    velocity = () if proposal.dq is None else proposal.dq
    shapes = [np.shape(proposal.q), np.shape(velocity)]
    if len(proposal.joint_names) != n or shapes[0] != (n,) or shapes[1] not in ((n,), (0,)):
        return Finding(
            "schema.length",
            f"got {len(proposal.joint_names)} joint names, positions {shapes[0]}, velocities {shapes[1]}, expected {n}",
        )
    for what, values in (("position", proposal.q), ("velocity", velocity)):
        if not np.isfinite(values).all():
            return Finding("schema.nonfinite", f"{what}: got {list(values)}, expected finite numbers")
    for what, score in (("disagreement", proposal.disagreement), ("novelty", proposal.novelty)):
        if not 0.0 <= score < math.inf:
            return Finding("schema.score", f"{what}: got {score}, expected a finite number, 0 or more")
    try:
        _ = case.q, case.dq
    except InputError as error:
        return Finding("schema.names", str(error))
    return None
