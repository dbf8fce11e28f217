"""Chunks as discrete tokens: each token is one number of the coded chunk, in one of evenly spaced bins.

`uniform` takes the rows as they are, one number a joint and row, as OpenVLA does (Kim et al., 2024). `dct` takes the
lowest frequencies of each joint's rows, as FAST does before its byte pairs (Pertsch et al., 2025): motion is smooth, so
that a few numbers say nearly all of it.
"""

import math

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError

KINDS = ("dct", "uniform")
REACH = 4.0  # standard deviations on either side that bins cover


class ActionTokens(nn.Module):
    """Turns codes (B, R, n) into tokens (B, C * n) and back; C = R numbers a joint for `uniform`, fewer for `dct`."""

    basis: Tensor
    spread: Tensor

    def __init__(self, kind: str, rows: int, joints: int, coefficients: int, bins: int) -> None:
        """rows: R; coefficients: C, of the `dct`; bins: different tokens. Raises ConfigError."""
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"action tokens: got kind {kind!r}, expected one of {list(KINDS)}")
        if not 0 < coefficients <= rows or not 2 <= bins <= 4096:
            raise ConfigError(
                f"action tokens: got {coefficients} coefficients, {bins} bins, expected 1..{rows}, 2..4096"
            )
        self.bins = bins
        self.register_buffer("basis", cosines(rows)[:coefficients] if kind == "dct" else torch.eye(rows))
        self.register_buffer("spread", torch.ones(self.basis.shape[0], joints))

    @property
    def count(self) -> int:
        """Number of tokens of a chunk."""
        return self.spread.numel()

    def fit(self, code: Tensor) -> None:
        """Take the spread of each number from codes (B, R, n)."""
        self.spread.copy_((self.basis @ code).std(0).clamp(min=1e-3))

    def encode(self, code: Tensor) -> Tensor:
        """Return tokens (B, C * n) int64 of codes (B, R, n), lowest frequency of every joint first."""
        place = (self.basis @ code / self.spread / (2.0 * REACH) + 0.5) * self.bins
        return place.floor().long().clamp(0, self.bins - 1).flatten(1)

    def decode(self, places: Tensor) -> Tensor:
        """Return codes (B, R, n) of bin numbers (B, C * n), which may lie between bins: float."""
        value = ((places + 0.5) / self.bins - 0.5) * 2.0 * REACH
        return self.basis.T @ (value.unflatten(1, self.spread.shape) * self.spread)


def cosines(rows: int) -> Tensor:
    """Return the orthonormal discrete cosine basis (DCT-II), (rows, rows), lowest frequency first."""
    at = torch.arange(rows, dtype=torch.float64)
    basis = (math.pi / rows * (at + 0.5) * at.unsqueeze(1)).cos() * math.sqrt(2.0 / rows)
    basis[0] /= math.sqrt(2.0)
    return basis.float()
