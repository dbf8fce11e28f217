"""The simplest source: stay where the arm was."""

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.values import JointSample


class Hold:
    """Keeps the pose measured at the first tick after the start or a reset."""

    name = "hold"

    def __init__(self) -> None:
        self._q: FloatArray | None = None

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return the kept pose (n,) rad and zero velocity (n,) rad/s."""
        if self._q is None:
            self._q = vector(sample.q, name="measured pose")
        return self._q, np.zeros_like(self._q)

    def reset(self) -> None:
        """Keep the next measured pose instead."""
        self._q = None
