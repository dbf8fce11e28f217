"""System 1, family `act`: action chunking with a conditional variational autoencoder.

After Zhao et al., "Learning fine-grained bimanual manipulation with low-cost hardware" (ACT), 2023: in training a
posterior encoder squeezes what the demonstration did into a style z; at run time z is 0, or drawn to vary the style.
ACT's own encoder of pictures and joints is System 2 here; the decoder attends to its keys and values.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import DecoderBlock, EncoderBlock
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig


@dataclass(frozen=True, kw_only=True)
class ActConfig(ExpertConfig):
    """style: numbers of z; style_weight: of the divergence of z from a normal distribution, in the loss.

    Where a style is cheap, the posterior says in z also what context and state say, the decoder listens to z alone, and
    the style 0 that runs tells it something wrong.
    """

    layers: int = 4
    style: int = 16
    style_layers: int = 2
    style_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a style that is none."""
        super().__post_init__()
        if not (self.style > 0 and self.style_layers > 0 and self.style_weight > 0.0):
            raise ConfigError(
                f"act: got style {self.style}, {self.style_layers} layers, weight {self.style_weight}, "
                "expected positive numbers"
            )

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The noise is the style z."""
        return (self.style,)


class ActExpert(ActionExpert):
    """Makes a chunk in one pass."""

    family = "act"
    noise_std = 0.0
    config: ActConfig

    def __init__(self, config: ActConfig) -> None:
        """Make a network with random weights; `fit_statistics` before training."""
        super().__init__(config)
        d, joints = config.width, config.joints
        self.style_in = nn.Linear(config.style, d)
        self.rows = nn.Parameter(0.02 * torch.randn(config.made + 2, d))
        self.blocks = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(d)
        self.action_out = nn.Linear(d, joints)
        self.posterior_state, self.posterior_action = nn.Linear(3 * joints, d), nn.Linear(joints, d)
        self.posterior_place = nn.Parameter(0.02 * torch.randn(config.made + 2, d))
        self.posterior = nn.ModuleList([EncoderBlock(d, config.heads) for _ in range(config.style_layers)])
        self.posterior_out = nn.Sequential(nn.RMSNorm(d), nn.Linear(d, 2 * config.style))

    def style(self, positions: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the style z, (B, style) each, of chunks positions (B, H, n) rad."""
        p = self.config.prefix
        told = self.posterior_state(self.coding.joints(state, positions[:, :p])).unsqueeze(1)
        rows = self.posterior_action(self.coding.encode(positions)[:, p:])
        x = torch.cat([torch.zeros_like(told), told, rows], dim=1) + self.posterior_place
        for block in self.posterior:
            x = block(x)
        mean, log_variance = self.posterior_out(x[:, 0]).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 10.0)

    def decode(self, z: Tensor, keys_values: Tensor, state: Tensor, prefix: Tensor) -> Tensor:
        """Return the code of the rows to be made, (B, H - P, n), for style z (B, style)."""
        told = self.conditions(keys_values, state, prefix).unsqueeze(1)
        x = torch.cat([told, self.style_in(z).unsqueeze(1), told.expand(-1, self.config.made, -1)], dim=1)
        x = x + self.rows
        for i, block in enumerate(self.blocks):
            x = block(x, keys_values[:, i])
        return self.action_out(self.norm(x[:, 2:]))

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Mean absolute error of the rows, and the divergence of z. positions: (B, H, n) rad."""
        p = self.config.prefix
        mean, log_variance = self.style(positions, state)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        error = self.decode(z, keys_values, state, positions[:, :p]) - self.coding.encode(positions)[:, p:]
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1).mean()
        return error.abs().mean() + self.config.style_weight * divergence

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk in the style z = noise (B, style); see ActionExpert."""
        code = self.decode(noise, keys_values, state, prefix)
        return self.coding.decode(torch.cat([torch.zeros_like(prefix), code], dim=1), prefix)
