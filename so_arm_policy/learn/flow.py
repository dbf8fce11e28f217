"""System 1, family `flow`: a flow-matching action expert.

After Lipman et al., "Flow matching for generative modeling", 2022, and the action expert of SmolVLA (Shukor et al.,
2025). Rows that are already committed are given as a clean prefix in training, as in "Training-time action
conditioning for efficient real-time chunking" (Black et al., 2025), so that chunks join.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import DecoderBlock, KeysValues, sinusoidal


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Sizes. Rows are dt_s apart; the first `prefix` rows are given."""

    joints: int = 6
    horizon: int = 16
    prefix: int = 2
    steps: int = 4
    context_width: int = 128
    context_tokens: int = 22
    width: int = 128
    heads: int = 4
    layers: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit each other."""
        if not 0 < self.prefix < self.horizon:
            raise ConfigError(f"flow: got prefix {self.prefix}, expected 1..{self.horizon - 1}")
        if self.width % self.heads:
            raise ConfigError(f"flow: got width {self.width}, expected a multiple of {self.heads} heads")

    @property
    def context_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the keys and values of one context: (layers, 2, heads, tokens, head_size)."""
        return self.layers, 2, self.heads, self.context_tokens, self.width // self.heads


class FlowExpert(nn.Module):
    """Denoises a chunk of joint positions, coded relative to the command at the observation and scaled to about 1."""

    state_mean: Tensor
    state_std: Tensor
    action_std: Tensor

    def __init__(self, config: FlowConfig) -> None:
        """Make a network with random weights; `set_normalisation` before training."""
        super().__init__()
        self.config = config
        d = config.width
        self.context = nn.ModuleList([KeysValues(config.context_width, d, config.heads) for _ in range(config.layers)])
        self.action_in = nn.Linear(config.joints, d)
        self.state_in = nn.Linear(2 * config.joints, d)
        self.row_place = nn.Parameter(0.02 * torch.randn(config.horizon + 1, d))
        self.time = nn.Sequential(nn.Linear(64, d), nn.GELU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(d)
        self.action_out = nn.Linear(d, config.joints)
        for name in ("state_mean", "state_std", "action_std"):
            self.register_buffer(name, torch.ones(config.joints))

    def set_normalisation(self, state_mean: Tensor, state_std: Tensor, action_std: Tensor) -> None:
        """Take the statistics of the demonstrations, (n,) rad each."""
        self.state_mean.copy_(state_mean)
        self.state_std.copy_(state_std)
        self.action_std.copy_(action_std)

    def project(self, context: Tensor) -> Tensor:
        """Context tokens (B, N, d_context) to keys and values (B, layers, 2, h, N, c); System 2's graph does this."""
        return torch.stack([keys_values(context) for keys_values in self.context], dim=1)

    def velocity(self, x: Tensor, tau: Tensor, keys_values: Tensor, state: Tensor, base: Tensor) -> Tensor:
        """Return the flow's velocity (B, H, n) at x (B, H, n) and flow time tau (B, H) in 0..1, 1 = clean.

        state: (B, n) rad, measured; base: (B, n) rad, the command at the observation.
        """
        joints = torch.cat([(base - self.state_mean) / self.state_std, (state - base) / 0.05], dim=-1)
        rows = self.action_in(x) + self.time(sinusoidal(tau, 64))
        tokens = torch.cat([self.state_in(joints).unsqueeze(1), rows], dim=1) + self.row_place
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, keys_values[:, i])
        return self.action_out(self.norm(tokens[:, 1:]))

    def encode_rows(self, positions: Tensor, base: Tensor) -> Tensor:
        """Joint positions (B, H, n) rad to what the network denoises."""
        return (positions - base.unsqueeze(1)) / self.action_std

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Mean squared error of the velocity over the rows to be made. positions: (B, H, n) rad; row 0 is the base."""
        base, p = positions[:, 0], self.config.prefix
        clean = self.encode_rows(positions, base)
        noise = torch.randn_like(clean)
        tau = torch.rand(clean.shape[0], 1, device=clean.device).expand(-1, clean.shape[1]).clone()
        tau[:, :p] = 1.0
        x = noise + tau.unsqueeze(-1) * (clean - noise)
        error = self.velocity(x, tau, keys_values, state, base) - (clean - noise)
        return error[:, p:].square().mean()

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk in `steps` Euler steps.

        keys_values: (B, layers, 2, h, N, c); state: (B, n) rad; noise: (B, H, n); prefix: (B, P, n) rad. Returns
        (B, H, n) rad, of which the first P rows are the prefix.
        """
        base, p, steps = prefix[:, 0], self.config.prefix, self.config.steps
        given = self.encode_rows(prefix, base)
        x = torch.cat([given, noise[:, p:]], dim=1)
        done = torch.ones_like(noise[:, :p, 0])
        for step in range(steps):
            tau = torch.cat([done, torch.full_like(noise[:, p:, 0], step / steps)], dim=1)
            moved = x + self.velocity(x, tau, keys_values, state, base) / steps
            x = torch.cat([given, moved[:, p:]], dim=1)
        return torch.cat([prefix, base.unsqueeze(1) + x[:, p:] * self.action_std], dim=1)
