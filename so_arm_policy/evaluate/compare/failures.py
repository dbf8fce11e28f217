"""How far a failed episode came, and what ended it."""

import numpy as np

from so_arm_policy.core.arrays import BoolArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.trace import Trace
from so_arm_policy.safety.values import Action
from so_arm_policy.sim.goal import Goal

# setup: the controller could not be made; start: the fingertip hardly moved; approach: it never came to the object;
# other object: it came to another one, or lifted another one, instead; grasp: never lifted it; place: lifted it, and it
# did not get to where it should; hold: was at the goal, but not as long as needed; error: the controller raised.
STAGES = ("setup", "start", "approach", "other object", "grasp", "place", "hold", "error")
TIMEOUT = "timeout"
MOVED_M = 0.01
NEAR_M = 0.05  # between fingertip and the middle of an object
LIFTED_M = 0.015
LETTING_MOVE = (Action.PASS, Action.CLAMP)
MESSAGE_LENGTH = 200


def failure_stage(trace: Trace, goal: Goal) -> str:
    """Return how far a failed episode came: one of STAGES. Of a goal with several steps, the first not carried out."""
    moved = np.linalg.norm(trace.fingertips - trace.fingertips[0], axis=-1)
    if moved.max() < MOVED_M:
        return "start"
    if any(status.held_s > 0.0 for status in trace.statuses):
        return "hold"
    near, lifted = _near(trace), _lifted(trace)
    meant = {step.object for step in goal.steps}
    others = [i for i in range(len(near)) if i not in meant]
    for step in goal.steps:
        if not near[step.object] and not lifted[step.object]:
            return "other object" if near[others].any() else "approach"
        if step.place is not None and not lifted[step.object]:
            return "other object" if lifted[others].any() else "grasp"
    return "approach" if goal.steps[-1].place is None else "place"


def failure_reason(trace: Trace) -> str:
    """Return what ended a failure: "supervisor: CODE" where it let nothing pass in the last second, or a timeout.

    A controller that falls silent is stopped by the supervisor, too: "supervisor: time.silent".
    """
    last = trace.verdicts[-CONTROL_HZ:]
    if any(verdict.action in LETTING_MOVE for verdict in last):
        return TIMEOUT
    return f"supervisor: {last[-1].code}"


def error_reason(error: Exception) -> str:
    """Return what was raised, in one line."""
    text = " ".join(str(error).split())
    return f"error: {type(error).__name__}: {text}"[:MESSAGE_LENGTH]


def _near(trace: Trace) -> BoolArray:
    """Return whether any fingertip was ever near each object, (k,)."""
    apart = trace.fingertips[:, :, None] - trace.objects[:, None]
    return (np.linalg.norm(apart, axis=-1) <= NEAR_M).any(axis=(0, 1))


def _lifted(trace: Trace) -> BoolArray:
    """Return whether each object was ever higher than at first, (k,)."""
    height = trace.objects[:, :, 2]
    return (height - height[0]).max(axis=0) >= LIFTED_M
