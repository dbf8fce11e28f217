"""What System 1 is given in a test, and one whole inference with it."""

from dataclasses import replace

import numpy as np

from so_arm_policy.core.values import Context, JointSample
from so_arm_policy.policy.system1 import System1

NS = 1_000_000_000
TICK = NS // 120


def context_at(stamp_ns: int, level: float = 1.0, **changes: object) -> Context:
    keys_values = np.full((2, 2, 1, 4, 8), level, np.float32)
    context = Context(bundle_id="tiny", sequence=0, stamp_ns=stamp_ns, instruction="-", keys_values=keys_values)
    return replace(context, **changes)


def sample_at(stamp_ns: int, q: np.ndarray) -> JointSample:
    return JointSample(stamp_ns=stamp_ns, received_ns=0, q=q, dq=np.zeros(6))


def follow(system1: System1, now_ns: int, q: np.ndarray, level: float = 1.0) -> bool:
    """One request, inference and acceptance without delay."""
    chunk = system1.infer(system1.request(now_ns, sample_at(now_ns, q), context_at(now_ns, level)))
    return system1.accept(chunk, now_ns)
