"""Where a token stands, told in three ways: sines and cosines, a learnt table, a rotation of queries and keys."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError


def sinusoidal(x: Tensor, width: int, max_period: float = 1000.0) -> Tensor:
    """Embed numbers x (...) in 0..1 as sines and cosines of geometric periods: (..., width). After Vaswani 2017."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(max_period), width // 2, device=x.device))
    angles = x.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def sinusoidal_positions(places: Tensor, width: int, base: float = 10000.0) -> Tensor:
    """Embed whole places (T,) as (T, width). After Vaswani et al., "Attention is all you need", 2017, section 3.5."""
    angles = _angles(places, width, base)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class LearnedPositions(nn.Module):
    """A learnt vector for each place. After Gehring et al., "Convolutional sequence to sequence learning", 2017."""

    def __init__(self, length: int, width: int) -> None:
        """length: the most tokens; width: d."""
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(length, width))

    def forward(self, x: Tensor, start: int | Tensor = 0) -> Tensor:
        """Add the places start, start + 1, ... to x (B, T, d). start: (), int64."""
        return x + self.table[start + torch.arange(x.shape[1], device=x.device)]


class SinusoidalPositions(nn.Module):
    """As LearnedPositions, but with the fixed table of `sinusoidal_positions`: any length."""

    def __init__(self, length: int, width: int) -> None:
        """length: not needed; width: d, even."""
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, start: int | Tensor = 0) -> Tensor:
        """Add the places start, start + 1, ... to x (B, T, d). start: (), int64."""
        return x + sinusoidal_positions(start + torch.arange(x.shape[1], device=x.device), self.width)


class NoPositions(nn.Module):
    """Adds nothing: the order is unknown, or rotary attention tells it."""

    def __init__(self, length: int, width: int) -> None:
        """length, width: not needed."""
        super().__init__()

    def forward(self, x: Tensor, start: int | Tensor = 0) -> Tensor:
        """Return x (B, T, d)."""
        return x


# Rotary positions act inside attention, so that nothing is added to the tokens.
POSITIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rotary": NoPositions,
    "none": NoPositions,
}


def make_positions(name: str, length: int, width: int) -> nn.Module:
    """Return what adds positions `name` to tokens (B, T, d), T <= length. Raises ConfigError."""
    if name not in POSITIONS:
        raise ConfigError(f"positions: got {name!r}, expected one of {sorted(POSITIONS)}")
    return POSITIONS[name](length, width)


def rotary(x: Tensor, places: Tensor, base: float = 10000.0) -> Tensor:
    """Turn pairs of x (..., T, c), c even, by angles that grow with places (T,). Returns (..., T, c).

    A query and a key that are turned so meet in a product that depends on how far apart they are, not on where. Pairs
    are (i, i + c / 2). After Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
    """
    angles = _angles(places, x.shape[-1], base)
    cosine, sine = angles.cos(), angles.sin()
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _angles(places: Tensor, width: int, base: float) -> Tensor:
    """(T,) to (T, width / 2)."""
    exponents = torch.arange(0, width, 2, device=places.device) / width
    return places.unsqueeze(-1).float() * base**-exponents
