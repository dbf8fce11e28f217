"""What a block does to each token by itself: norms and feed-forward networks, chosen by name."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError


class FeedForward(nn.Module):
    """Two linear maps with a GELU between. After Hendrycks & Gimpel, "Gaussian error linear units", 2016."""

    def __init__(self, width: int, factor: int) -> None:
        """factor: hidden width as a multiple of width."""
        super().__init__()
        self.up = nn.Linear(width, factor * width)
        self.down = nn.Linear(factor * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d). Returns (..., d)."""
        return self.down(functional.gelu(self.up(x), approximate="tanh"))


class GatedFeedForward(nn.Module):
    """SwiGLU: the hidden layer is gated by another. After Shazeer, "GLU variants improve transformer", 2020.

    Its hidden width is two thirds of FeedForward's, so that both have about as many parameters.
    """

    def __init__(self, width: int, factor: int) -> None:
        """factor: as of FeedForward."""
        super().__init__()
        hidden = max(1, round(2 * factor * width / 3 / 8)) * 8
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d). Returns (..., d)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


# "rms" after Zhang & Sennrich, "Root mean square layer normalization", 2019; "layer" after Ba et al., 2016.
NORMS: dict[str, Callable[..., nn.Module]] = {"rms": nn.RMSNorm, "layer": nn.LayerNorm}
FEEDS: dict[str, Callable[[int, int], nn.Module]] = {"gelu": FeedForward, "swiglu": GatedFeedForward}


def make_norm(name: str, width: int, *, affine: bool = True) -> nn.Module:
    """Return the norm `name` over (..., width); without its own scale and shift unless affine. Raises ConfigError."""
    if name not in NORMS:
        raise ConfigError(f"norm: got {name!r}, expected one of {sorted(NORMS)}")
    return NORMS[name](width, elementwise_affine=affine)


def make_feed(name: str, width: int, factor: int) -> nn.Module:
    """Return the feed-forward network `name`. Raises ConfigError."""
    if name not in FEEDS:
        raise ConfigError(f"feed-forward: got {name!r}, expected one of {sorted(FEEDS)}")
    return FEEDS[name](width, factor)
