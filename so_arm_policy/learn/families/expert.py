"""What every family of System 1 offers: a network that turns context, state and prefix into a chunk."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import KeysValues
from so_arm_policy.learn.families.coding import ChunkCoding

SAID = 3  # last tokens of a context, that say numbers: object, place and progress


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """Sizes that all families share. Rows are dt_s apart; the first `prefix` rows are given."""

    joints: int = 6
    horizon: int = 16
    prefix: int = 2
    context_width: int = 128
    context_tokens: int = 14
    width: int = 128
    heads: int = 4
    layers: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit each other."""
        if self.context_tokens < SAID:
            raise ConfigError(f"expert: got {self.context_tokens} context tokens, expected at least {SAID}")
        if not 1 < self.prefix < self.horizon:
            raise ConfigError(f"expert: got prefix {self.prefix}, expected 2..{self.horizon - 1}")
        if not (self.width > 0 and self.heads > 0 and self.layers > 0) or self.width % self.heads:
            raise ConfigError(f"expert: got width {self.width}, expected a positive multiple of {self.heads} heads")

    @property
    def context_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the keys and values of one context: (layers, 2, heads, tokens, head_size)."""
        return self.layers, 2, self.heads, self.context_tokens, self.width // self.heads

    @property
    def made(self) -> int:
        """Rows that the network makes: all but the prefix."""
        return self.horizon - self.prefix

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the `noise` that one chunk is made from; () where the family needs none."""
        return self.horizon, self.joints

    @property
    def passes(self) -> int:
        """How often the network runs for one chunk: denoising steps, tokens, or 1."""
        return 1


class ActionExpert(nn.Module):
    """System 1 of any family. A family writes `loss` and `act`; the rest is shared."""

    family: ClassVar[str]
    noise_std: ClassVar[float] = 1.0  # of the noise drawn at run time, by default; in training it is 1
    infer_every: ClassVar[int] = 1  # ticks: as many as an inference of the default size takes at its slowest

    def __init__(self, config: ExpertConfig) -> None:
        """Make what all families share, with random weights."""
        super().__init__()
        self.config = config
        kv = [KeysValues(config.context_width, config.width, config.heads) for _ in range(config.layers)]
        self.context = nn.ModuleList(kv)
        self.coding = ChunkCoding(config.joints, config.horizon, config.prefix)
        told, d = 3 * config.joints + SAID * config.width, config.width
        self.condition = nn.Sequential(nn.Linear(told, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def project(self, context: Tensor) -> Tensor:
        """Context tokens (B, N, d_context) to keys and values (B, layers, 2, h, N, c); System 2's graph does this."""
        return torch.stack([keys_values(context) for keys_values in self.context], dim=1)

    def conditions(self, keys_values: Tensor, state: Tensor, prefix: Tensor) -> Tensor:
        """Say where the arm is and what the context says in numbers, (B, width).

        The values of those tokens come as they are: attention would weigh them, and so change the numbers a little.
        """
        said = keys_values[:, 0, 1, :, -SAID:].transpose(1, 2).flatten(1)
        return self.condition(torch.cat([self.coding.joints(state, prefix), said], dim=-1))

    def fit_statistics(self, state_mean: Tensor, state_std: Tensor, positions: Tensor) -> None:
        """Take the statistics of the demonstrations: state, (n,) rad each, and chunks, (B, H, n) rad."""
        self.coding.fit(state_mean, state_std, positions)

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Return what training lowers, (). positions: (B, H, n) rad, row 0 at the observation; state: (B, n) rad."""
        raise NotImplementedError

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk (B, H, n) rad, of which the first P rows are the prefix, to the bit.

        keys_values: (B, layers, 2, h, N, c); state: (B, n) rad; noise: (B, *noise_shape); prefix: (B, P, n) rad.
        """
        raise NotImplementedError
