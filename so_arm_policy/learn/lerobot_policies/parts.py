"""What the graphs of all imported policies share: pictures and joints in, joints out, what System 2 says besides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.learn.datasets.lerobot_format import ACTION, STATE
from so_arm_policy.learn.lerobot_policies.folder import Checkpoint


def constant(values: Any) -> Tensor:
    """Return numbers as float32."""
    return torch.tensor(np.asarray(values, dtype=np.float64), dtype=torch.float32)


@dataclass(frozen=True)
class JointFrame:
    """Joints as the checkpoint has them: radians = its value * scale + offset, (n,) each in the robot's order.

    columns: for each joint of the robot its place in the checkpoint's vectors.
    """

    scale: FloatArray
    offset: FloatArray
    columns: tuple[int, ...]

    @property
    def order(self) -> list[int]:
        """For each place in the checkpoint's vectors the joint of the robot."""
        return [self.columns.index(place) for place in range(len(self.columns))]


class Joints(nn.Module):
    """Radians in the robot's order to what the network sees, and back."""

    unit: Tensor
    zero: Tensor
    shift: Tensor
    width: Tensor
    span: Tensor
    centre: Tensor

    def __init__(self, checkpoint: Checkpoint, frame: JointFrame) -> None:
        """Fold units, order and normalisation into constants."""
        super().__init__()
        state, action = checkpoint.scales[STATE], checkpoint.scales[ACTION]
        self.order, self.columns = frame.order, list(frame.columns)
        values = {
            "unit": frame.scale,
            "zero": frame.offset,
            "shift": state.shift,
            "width": state.width,
            "span": action.span,
            "centre": action.shift,
        }
        for name, value in values.items():
            self.register_buffer(name, constant(value))

    def seen(self, state: Tensor) -> Tensor:
        """State (..., n) rad to (..., n) as the network sees it."""
        theirs = ((state - self.zero) / self.unit)[..., self.order]
        return (theirs - self.shift) / self.width

    def positions(self, said: Tensor, prefix: Tensor) -> Tensor:
        """What the network says, (H, n), to positions (H, n) rad, of which the first P rows are `prefix` (P, n)."""
        theirs = (said * self.span + self.centre)[..., self.columns]
        return torch.cat([prefix, (theirs * self.unit + self.zero)[prefix.shape[0] :]])


class Pictures(nn.Module):
    """Pictures (C, H, W, 3) uint8 to (C, 3, H, W) as the network sees them."""

    shift: Tensor
    width: Tensor

    def __init__(self, checkpoint: Checkpoint, keys: Sequence[str]) -> None:
        """keys: the checkpoint's columns of the cameras, in the order of the pictures."""
        super().__init__()
        scales = [checkpoint.scales[key] for key in keys]
        self.register_buffer("shift", constant([scale.shift for scale in scales])[:, :, None, None])
        self.register_buffer("width", constant([scale.width for scale in scales])[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return (images.permute(0, 3, 1, 2).float() / 255.0 - self.shift) / self.width


class Context(nn.Module):
    """System 2's graph around what encodes one context. Where things are, no LeRobot policy says: grounding is zero."""

    def __init__(self, encoder: nn.Module, cameras: int) -> None:
        """encoder: (images, tokens) -> keys and values."""
        super().__init__()
        self.encoder, self.cameras = encoder, cameras

    def forward(self, images: Tensor, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (C, H, W, 3) uint8, tokens (L,), state (n,) to keys_values, grounding (3,), attention (C, 1, 1)."""
        nothing, even = torch.zeros(3), torch.full((self.cameras, 1, 1), 1.0 / self.cameras)
        return self.encoder(images, tokens), nothing, even


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A policy in two parts. encoder: (images, tokens) -> keys and values; actor: System 1's graph.

    replan: rows that LeRobot follows before it infers again; history: observations that it looks at, 1 or more.
    """

    family: str
    encoder: nn.Module
    actor: nn.Module
    context_shape: tuple[int, int, int, int, int]
    horizon: int
    prefix: int
    passes: int
    noise_shape: tuple[int, ...]
    noise_std: float
    replan: int
    history: int = 1
