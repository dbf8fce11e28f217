"""The way to a thing on a table that a servo can follow from anywhere: rise, go above it, then down to it."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

SLACK_M = 0.015  # so far below the funnel nothing is made of it
FADE_M = 0.03  # so far below that, the way is straight up
LOWEST_M = 0.012  # of the fingertip above the table: the jaws reach lower than it


@dataclass(frozen=True, kw_only=True)
class ApproachConfig:
    """A funnel above the target. touch_m: height of its mouth above the thing's top, m.

    hover_m: how much higher the rim is, m; slope: its steepness; straight_m: radius of the straight part, m.
    """

    touch_m: float = 0.009
    hover_m: float = 0.05
    slope: float = 1.5
    straight_m: float = 0.012

    def __post_init__(self) -> None:
        """Refuse shapes that are none. Raises ConfigError."""
        for name, least, most in (("touch_m", 0.0, 0.1), ("hover_m", 0.0, 0.2), ("straight_m", 0.0, 0.1)):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"approach: got {name} {getattr(self, name)}, expected {least}..{most}")
        if not 0.1 <= self.slope <= 10.0:
            raise ConfigError(f"approach: got slope {self.slope}, expected 0.1..10")


def aim(
    tip: FloatArray, top: FloatArray, velocity: FloatArray, config: ApproachConfig
) -> tuple[FloatArray, FloatArray]:
    """Return where the fingertip at `tip` should go now, (3,) m, and how fast that moves, (3,) m/s.

    top: middle of the thing's top, (3,) m above the table's height 0, moving at `velocity` (3,) m/s. Above the funnel
    the way is straight to it, below it first up.
    """
    aside = float(np.linalg.norm(tip[:2] - top[:2]))
    rise = min(config.hover_m, config.slope * max(0.0, aside - config.straight_m))
    height = max(LOWEST_M, float(top[2]) + config.touch_m + rise)
    share = float(np.clip(1.0 - (height - float(tip[2]) - SLACK_M) / FADE_M, 0.0, 1.0))
    target = np.append(tip[:2] + share * (top[:2] - tip[:2]), height)
    return target, velocity * np.array([share, share, 1.0])
