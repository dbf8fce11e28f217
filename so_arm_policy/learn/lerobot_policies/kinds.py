"""The kinds of LeRobot policies that become bundles, by what config.json calls them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from so_arm_policy.learn.lerobot_policies import act, diffusion, smolvla
from so_arm_policy.learn.lerobot_policies.parts import Converted


@dataclass(frozen=True)
class Kind:
    """convert: takes lerobot's policy apart; predict: what that policy itself says of observations, and of noise."""

    convert: Callable[..., Converted]
    predict: Callable[[Any, list[dict[str, Any]], Tensor | None], Tensor]


KINDS = {
    "act": Kind(act.convert, act.predict),
    "diffusion": Kind(diffusion.convert, diffusion.predict),
    "smolvla": Kind(smolvla.convert, smolvla.predict),
}
