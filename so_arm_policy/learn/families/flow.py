"""System 1, family `flow`: a flow-matching action expert.

After Lipman et al., "Flow matching for generative modeling", 2022, and the action expert of SmolVLA (Shukor et al.,
2025). Rows that are already committed are given as a clean prefix in training, as in "Training-time action
conditioning for efficient real-time chunking" (Black et al., 2025), so that chunks join. With `shortcut` the network
also learns steps of any size, after Frans et al., "One step diffusion via shortcut models", 2024, so that one step may
do: that is what makes a larger expert fit in a tick.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import DecoderBlock, sinusoidal
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig

SHORTCUT_SHARE = 0.25  # of a batch, that learns large steps from two small ones
FINEST = 3  # 2**-3: the smallest step that shortcuts are built from
TIME_WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class FlowConfig(ExpertConfig):
    """steps: Euler steps of one chunk, a power of two with `shortcut`."""

    steps: int = 4
    shortcut: bool = False

    def __post_init__(self) -> None:
        """Refuse step counts that the training does not cover."""
        super().__post_init__()
        if not 0 < self.steps <= 100:
            raise ConfigError(f"flow: got {self.steps} steps, expected 1..100")
        if self.shortcut and self.steps not in [2**i for i in range(FINEST + 1)]:
            raise ConfigError(f"flow: got {self.steps} steps, expected a power of two up to {2**FINEST} with shortcuts")

    @property
    def passes(self) -> int:
        """One pass for each step."""
        return self.steps


class FlowExpert(ActionExpert):
    """Denoises a chunk of joint positions along straight lines."""

    family = "flow"
    # The noise of a motion stays the same for all its chunks, so what a network makes of it wrongly adds up: less of it
    # is far more exact, and one of many ways is still chosen at random.
    noise_std = 0.25
    config: FlowConfig

    def __init__(self, config: FlowConfig) -> None:
        """Make a network with random weights; `fit_statistics` before training."""
        super().__init__(config)
        d = config.width
        self.action_in = nn.Linear(config.joints, d)
        self.row_place = nn.Parameter(0.02 * torch.randn(config.horizon + 1, d))
        self.time = nn.Sequential(nn.Linear(TIME_WIDTH, d), nn.GELU(), nn.Linear(d, d))
        self.step_size = (
            nn.Sequential(nn.Linear(TIME_WIDTH, d), nn.GELU(), nn.Linear(d, d)) if config.shortcut else None
        )
        self.blocks = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(d)
        self.action_out = nn.Linear(d, config.joints)

    def velocity(
        self, x: Tensor, tau: Tensor, keys_values: Tensor, state: Tensor, prefix: Tensor, size: Tensor | None = None
    ) -> Tensor:
        """Return the flow's velocity (B, H, n) at x (B, H, n) and flow time tau (B, H) in 0..1, 1 = clean.

        state: (B, n) rad, measured; prefix: (B, P, n) rad, what is committed from the observation on; size: (B,), how
        long a step is to be taken with it, 0 = infinitely short; only with shortcuts.
        """
        told = self.conditions(keys_values, state, prefix)
        rows = self.action_in(x) + self.time(sinusoidal(tau, TIME_WIDTH)) + told.unsqueeze(1)
        if self.step_size is not None:
            told = told + self.step_size(sinusoidal(torch.zeros_like(tau[:, 0]) if size is None else size, TIME_WIDTH))
        tokens = torch.cat([told.unsqueeze(1), rows], dim=1) + self.row_place
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, keys_values[:, i])
        return self.action_out(self.norm(tokens[:, 1:]))

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Mean squared error of the velocity over the rows to be made. positions: (B, H, n) rad."""
        p, batch = self.config.prefix, positions.shape[0]
        clean = self.coding.encode(positions)
        noise = torch.randn_like(clean)
        tau, size, target = torch.rand(batch, device=clean.device), None, clean - noise
        if self.config.shortcut:
            tau, size, target = self._shortcuts(clean, noise, tau, keys_values, state, positions[:, :p])
        x = self._between(clean, noise, tau)
        error = self.velocity(x, self._row_times(tau), keys_values, state, positions[:, :p], size) - target
        return error[:, p:].square().mean()

    def _between(self, clean: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
        """Return the point of the way from noise to clean (B, H, n) at tau (B,); given rows are clean."""
        return noise + self._row_times(tau).unsqueeze(-1) * (clean - noise)

    def _row_times(self, tau: Tensor) -> Tensor:
        """Return the flow time of each row, (B, H): 1 for the given ones, tau (B,) for the others."""
        p, h = self.config.prefix, self.config.horizon
        return torch.cat([torch.ones_like(tau).unsqueeze(1).expand(-1, p), tau.unsqueeze(1).expand(-1, h - p)], dim=1)

    @torch.no_grad()
    def _shortcuts(
        self, clean: Tensor, noise: Tensor, tau: Tensor, keys_values: Tensor, state: Tensor, prefix: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let a share of the batch learn a double step from two single ones. Returns tau, size (B,) and the target."""
        k = max(1, int(SHORTCUT_SHARE * clean.shape[0]))
        half = 2.0 ** -(torch.randint(1, FINEST + 1, (k,), device=clean.device)).float()
        tau = torch.cat([(torch.rand(k, device=clean.device) / (2 * half)).floor() * 2 * half, tau[k:]])
        x = self._between(clean[:k], noise[:k], tau[:k])
        given = keys_values[:k], state[:k], prefix[:k]
        # The finest steps are taken with the velocity itself.
        size = torch.where(half > 2.0**-FINEST, half, 0.0)
        first = self.velocity(x, self._row_times(tau[:k]), *given, size)
        moved = torch.cat([x[:, : self.config.prefix], (x + half.view(-1, 1, 1) * first)[:, self.config.prefix :]], 1)
        second = self.velocity(moved, self._row_times(tau[:k] + half), *given, size)
        target = torch.cat([(first + second) / 2, clean[k:] - noise[k:]])
        return tau, torch.cat([2 * half, torch.zeros_like(tau[k:])]), target

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Make a chunk in `steps` Euler steps; see ActionExpert."""
        return self.denoise(lambda step: keys_values, state, noise, prefix)

    def denoise(self, context: Callable[[int], Tensor], state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """As `act`, with the keys and values of each step from `context`."""
        p, steps = self.config.prefix, self.config.steps
        given = self.coding.encode(prefix)
        x = torch.cat([given, noise[:, p:]], dim=1)
        longest = 1.0 / steps if steps < 2**FINEST else 0.0
        size = torch.full_like(noise[:, 0, 0], longest) if self.config.shortcut else None
        for step in range(steps):
            tau = self._row_times(torch.full_like(noise[:, 0, 0], step / steps))
            moved = x + self.velocity(x, tau, context(step), state, prefix, size) / steps
            x = torch.cat([given, moved[:, p:]], dim=1)
        return self.coding.decode(x, prefix)
