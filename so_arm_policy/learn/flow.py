"""System 1, family `flow`: a flow-matching action expert.

After Lipman et al., "Flow matching for generative modeling", 2022, and the action expert of SmolVLA (Shukor et al.,
2025). Rows that are already committed are given as a clean prefix in training, as in "Training-time action
conditioning for efficient real-time chunking" (Black et al., 2025), so that chunks join.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import DecoderBlock, KeysValues, sinusoidal

# A motion is coded by how far it leaves the prefix's own, slowing down by this factor a row.
COASTING = 0.8
LAG_SCALE = 0.05  # rad between command and measurement
STEP_SCALE = 0.03  # rad a row


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
        if not 1 < self.prefix < self.horizon:
            raise ConfigError(f"flow: got prefix {self.prefix}, expected 2..{self.horizon - 1}")
        if self.width % self.heads:
            raise ConfigError(f"flow: got width {self.width}, expected a multiple of {self.heads} heads")

    @property
    def context_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the keys and values of one context: (layers, 2, heads, tokens, head_size)."""
        return self.layers, 2, self.heads, self.context_tokens, self.width // self.heads


class FlowExpert(nn.Module):
    """Denoises a chunk of joint positions.

    Rows are coded as what they leave the coasting prefix by, each row scaled to about 1 by itself. Near rows are then
    as sharp as far ones, and that matters: at 120 Hz the next chunk starts from the near rows of this one, so that
    their errors would add up to a wrong velocity.
    """

    state_mean: Tensor
    state_std: Tensor
    coasting: Tensor
    row_std: Tensor

    def __init__(self, config: FlowConfig) -> None:
        """Make a network with random weights; `set_normalisation` before training."""
        super().__init__()
        self.config = config
        d = config.width
        self.context = nn.ModuleList([KeysValues(config.context_width, d, config.heads) for _ in range(config.layers)])
        self.action_in = nn.Linear(config.joints, d)
        self.state_in = nn.Linear(3 * config.joints, d)
        self.row_place = nn.Parameter(0.02 * torch.randn(config.horizon + 1, d))
        self.time = nn.Sequential(nn.Linear(64, d), nn.GELU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(d)
        self.action_out = nn.Linear(d, config.joints)
        self.register_buffer("state_mean", torch.zeros(config.joints))
        self.register_buffer("state_std", torch.ones(config.joints))
        self.register_buffer("row_std", torch.full((config.horizon, config.joints), STEP_SCALE))
        coasted = torch.arange(config.horizon - config.prefix) + 1
        self.register_buffer("coasting", COASTING * (1.0 - COASTING**coasted) / (1.0 - COASTING))

    def set_normalisation(self, state_mean: Tensor, state_std: Tensor, positions: Tensor) -> None:
        """Take the statistics of the demonstrations: state, (n,) rad each, and chunks, (B, H, n) rad."""
        self.state_mean.copy_(state_mean)
        self.state_std.copy_(state_std)
        p = self.config.prefix
        self.row_std[p:] = (positions - self.coasted(positions[:, :p]))[:, p:].std(0).clamp(min=2e-3)

    def project(self, context: Tensor) -> Tensor:
        """Context tokens (B, N, d_context) to keys and values (B, layers, 2, h, N, c); System 2's graph does this."""
        return torch.stack([keys_values(context) for keys_values in self.context], dim=1)

    def coasted(self, prefix: Tensor) -> Tensor:
        """Return the prefix (B, P, n) continued by its own, fading velocity: (B, H, n); given rows are the last one."""
        last, step = prefix[:, -1:], prefix[:, -1:] - prefix[:, -2:-1]
        return torch.cat([last.expand_as(prefix), last + step * self.coasting.view(1, -1, 1)], dim=1)

    def velocity(self, x: Tensor, tau: Tensor, keys_values: Tensor, state: Tensor, prefix: Tensor) -> Tensor:
        """Return the flow's velocity (B, H, n) at x (B, H, n) and flow time tau (B, H) in 0..1, 1 = clean.

        state: (B, n) rad, measured; prefix: (B, P, n) rad, what is committed from the observation on.
        """
        last = prefix[:, -1]
        pose, lag = (last - self.state_mean) / self.state_std, (state - prefix[:, 0]) / LAG_SCALE
        joints = torch.cat([pose, lag, (last - prefix[:, -2]) / STEP_SCALE], dim=-1)
        rows = self.action_in(x) + self.time(sinusoidal(tau, 64))
        tokens = torch.cat([self.state_in(joints).unsqueeze(1), rows], dim=1) + self.row_place
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, keys_values[:, i])
        return self.action_out(self.norm(tokens[:, 1:]))

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Mean squared error of the velocity over the rows to be made. positions: (B, H, n) rad."""
        p = self.config.prefix
        prefix = positions[:, :p]
        clean = (positions - self.coasted(prefix)) / self.row_std
        noise = torch.randn_like(clean)
        tau = torch.rand(clean.shape[0], 1, device=clean.device).expand(-1, clean.shape[1]).clone()
        tau[:, :p] = 1.0
        x = noise + tau.unsqueeze(-1) * (clean - noise)
        error = self.velocity(x, tau, keys_values, state, prefix) - (clean - noise)
        return error[:, p:].square().mean()

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk in `steps` Euler steps.

        keys_values: (B, layers, 2, h, N, c); state: (B, n) rad; noise: (B, H, n); prefix: (B, P, n) rad. Returns
        (B, H, n) rad, of which the first P rows are the prefix.
        """
        return self.denoise(lambda step: keys_values, state, noise, prefix)

    def denoise(self, context: Callable[[int], Tensor], state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """As `act`, with the keys and values of each step from `context`."""
        p, steps, coasted = self.config.prefix, self.config.steps, self.coasted(prefix)
        given = (prefix - coasted[:, :p]) / self.row_std[:p]
        x = torch.cat([given, noise[:, p:]], dim=1)
        done = torch.ones_like(noise[:, :p, 0])
        for step in range(steps):
            tau = torch.cat([done, torch.full_like(noise[:, p:, 0], step / steps)], dim=1)
            moved = x + self.velocity(x, tau, context(step), state, prefix) / steps
            x = torch.cat([given, moved[:, p:]], dim=1)
        return torch.cat([prefix, coasted[:, p:] + x[:, p:] * self.row_std[p:]], dim=1)
