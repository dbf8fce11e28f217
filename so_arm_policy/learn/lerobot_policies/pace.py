"""How often an imported System 1 infers, and whether its chunks last that long."""

import math
from dataclasses import dataclass

from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.lerobot_policies.parts import Converted


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Ticks of the control grid. inference: what the slowest inference took here; chunk: what a chunk covers.

    infer_every: as often as LeRobot makes a new chunk, but never so seldom that one runs out before the next, where
    this machine can; and never more often than an inference takes.
    """

    inference_ms: float
    inference: int
    chunk: int
    infer_every: int

    @classmethod
    def of(cls, parts: Converted, fps: float, inference_ms: float) -> "Pace":
        """fps: rows a second; inference_ms: of System 1."""
        row = CONTROL_HZ / fps
        inference = math.ceil(inference_ms / 1000.0 * CONTROL_HZ)
        chunk = math.floor((parts.horizon - 1) * row)
        latest = min(round(parts.replan * row), chunk - 2 * inference, CONTROL_HZ)
        every = min(max(latest, inference, 1), CONTROL_HZ)
        return cls(inference_ms=inference_ms, inference=inference, chunk=chunk, infer_every=every)

    @property
    def fits(self) -> bool:
        """Whether a chunk lasts until the next one is there."""
        return self.infer_every + self.inference <= self.chunk
