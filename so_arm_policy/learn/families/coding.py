"""How every family codes a chunk: what its rows leave the coasting prefix by, each row scaled to about 1 by itself.

Near rows are then as sharp as far ones, and that matters: at 120 Hz the next chunk starts from the near rows of this
one, so that their errors would add up to a wrong velocity.
"""

import torch
from torch import Tensor, nn

# A motion is coded by how far it leaves the prefix's own, slowing down by this factor a row.
COASTING = 0.8
LAG_SCALE = 0.05  # rad between command and measurement
STEP_SCALE = 0.03  # rad a row
LEAST_STD = 2e-3  # rad


class ChunkCoding(nn.Module):
    """Codes positions (B, H, n) rad of which the first P rows are given. Statistics travel with the weights."""

    state_mean: Tensor
    state_std: Tensor
    row_std: Tensor
    coasting: Tensor

    def __init__(self, joints: int, horizon: int, prefix: int) -> None:
        """joints: n; horizon: H rows; prefix: P of them. `fit` before training."""
        super().__init__()
        self.prefix = prefix
        self.register_buffer("state_mean", torch.zeros(joints))
        self.register_buffer("state_std", torch.ones(joints))
        self.register_buffer("row_std", torch.full((horizon, joints), STEP_SCALE))
        coasted = torch.arange(horizon - prefix) + 1
        self.register_buffer("coasting", COASTING * (1.0 - COASTING**coasted) / (1.0 - COASTING))

    def fit(self, state_mean: Tensor, state_std: Tensor, positions: Tensor) -> None:
        """Take the statistics of the demonstrations: state, (n,) rad each, and chunks, (B, H, n) rad."""
        self.state_mean.copy_(state_mean)
        self.state_std.copy_(state_std)
        self.row_std[self.prefix :] = (
            (positions - self.coasted(positions[:, : self.prefix]))[:, self.prefix :].std(0).clamp(min=LEAST_STD)
        )

    def coasted(self, prefix: Tensor) -> Tensor:
        """Return the prefix (B, P, n) continued by its own, fading velocity: (B, H, n); given rows are the last one."""
        last, step = prefix[:, -1:], prefix[:, -1:] - prefix[:, -2:-1]
        return torch.cat([last.expand_as(prefix), last + step * self.coasting.view(1, -1, 1)], dim=1)

    def encode(self, positions: Tensor) -> Tensor:
        """Code positions (B, H, n) rad, or only the given rows (B, P, n); returns the same shape, about 1 wide."""
        coasted = self.coasted(positions[:, : self.prefix])[:, : positions.shape[1]]
        return (positions - coasted) / self.row_std[: positions.shape[1]]

    def decode(self, code: Tensor, prefix: Tensor) -> Tensor:
        """Return positions (B, H, n) rad of code (B, H, n); the first P rows are `prefix` (B, P, n), to the bit."""
        p = self.prefix
        return torch.cat([prefix, self.coasted(prefix)[:, p:] + code[:, p:] * self.row_std[p:]], dim=1)

    def joints(self, state: Tensor, prefix: Tensor) -> Tensor:
        """Describe the arm now, (B, 3 n): pose, lag of the measurement, velocity of what is committed.

        state: (B, n) rad, measured; prefix: (B, P, n) rad, what is committed from the observation on.
        """
        last = prefix[:, -1]
        pose, lag = (last - self.state_mean) / self.state_std, (state - prefix[:, 0]) / LAG_SCALE
        return torch.cat([pose, lag, (last - prefix[:, -2]) / STEP_SCALE], dim=-1)
