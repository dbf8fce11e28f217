"""System 1, family `diffusion`: a diffusion transformer.

After Peebles and Xie, "Scalable diffusion models with transformers" (DiT), 2022, as GR00T N1 (2025) and Diffusion
Policy (Chi et al., 2023) use it: the noise level conditions every block by adaptive norms, the context by
cross-attention. Levels are known when the graph is exported, so that the adaptive norms become constants.
Trained on v = alpha * noise - sigma * clean (Salimans and Ho, 2022) over the cosine schedule (Nichol and Dhariwal,
2021), sampled by DDIM (Song et al., 2020). Given rows are clean, at noise level 0, in training and sampling.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import AdaptiveDecoderBlock, AdaptiveOutput, sinusoidal
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig

LEVEL_WIDTH = 64
NOISIEST = 0.98  # of the schedule: at 1 nothing of the chunk is left, and v says nothing of it


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(ExpertConfig):
    """steps: DDIM steps of one chunk."""

    steps: int = 5

    def __post_init__(self) -> None:
        """Refuse step counts that make no chunk."""
        super().__post_init__()
        if not 0 < self.steps <= 100:
            raise ConfigError(f"diffusion: got {self.steps} steps, expected 1..100")

    @property
    def passes(self) -> int:
        """One pass for each step."""
        return self.steps


class DiffusionExpert(ActionExpert):
    """Denoises a chunk of joint positions in DDIM steps."""

    family = "diffusion"
    noise_std = 0.25  # less than in training: the noise of a motion stays, and what is made of it wrongly adds up
    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig) -> None:
        """Make a network with random weights; `fit_statistics` before training."""
        super().__init__(config)
        d = config.width
        self.action_in = nn.Linear(config.joints, d)
        self.level_in = nn.Sequential(nn.Linear(LEVEL_WIDTH, d), nn.GELU(), nn.Linear(d, d))
        self.row_place = nn.Parameter(0.02 * torch.randn(config.horizon, d))
        self.blocks = nn.ModuleList([AdaptiveDecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.action_out = AdaptiveOutput(d, config.joints)

    def predict(self, x: Tensor, level: Tensor, keys_values: Tensor, state: Tensor, prefix: Tensor) -> Tensor:
        """Return v (B, H, n) at x (B, H, n), whose rows have noise level (B, H) in 0..1, 0 = clean."""
        told = self.conditions(keys_values, state, prefix).unsqueeze(1)
        condition = self.level_in(sinusoidal(level, LEVEL_WIDTH))
        tokens = self.action_in(x) + told + self.row_place
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, condition, keys_values[:, i])
        return self.action_out(tokens, condition)

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Mean squared error of v over the rows to be made. positions: (B, H, n) rad."""
        p = self.config.prefix
        clean = self.coding.encode(positions)
        noise = torch.randn_like(clean)
        level = self._levels(torch.rand(clean.shape[0], device=clean.device) * NOISIEST)
        alpha, sigma = _schedule(level.unsqueeze(-1))
        v = self.predict(alpha * clean + sigma * noise, level, keys_values, state, positions[:, :p])
        return (v - (alpha * noise - sigma * clean))[:, p:].square().mean()

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk in `steps` DDIM steps; see ActionExpert."""
        p, steps = self.config.prefix, self.config.steps
        given = self.coding.encode(prefix)
        x = torch.cat([given, noise[:, p:]], dim=1)
        levels = [NOISIEST * (1.0 - step / steps) for step in range(steps + 1)]
        for now, after in zip(levels[:-1], levels[1:], strict=True):
            v = self.predict(x, self._levels(torch.full_like(noise[:, 0, 0], now)), keys_values, state, prefix)
            alpha, sigma = math.cos(now * math.pi / 2), math.sin(now * math.pi / 2)
            clean, noisy = alpha * x - sigma * v, sigma * x + alpha * v
            moved = math.cos(after * math.pi / 2) * clean + math.sin(after * math.pi / 2) * noisy
            x = torch.cat([given, moved[:, p:]], dim=1)
        return self.coding.decode(x, prefix)

    def _levels(self, level: Tensor) -> Tensor:
        """Return the noise level of each row, (B, H): 0 for the given ones, level (B,) for the others."""
        p, h = self.config.prefix, self.config.horizon
        given = torch.zeros_like(level).unsqueeze(1).expand(-1, p)
        return torch.cat([given, level.unsqueeze(1).expand(-1, h - p)], dim=1)


def _schedule(level: Tensor) -> tuple[Tensor, Tensor]:
    """Return alpha and sigma of the cosine schedule: x = alpha clean + sigma noise."""
    return (level * math.pi / 2).cos(), (level * math.pi / 2).sin()
