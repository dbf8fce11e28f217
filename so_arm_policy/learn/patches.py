"""Pictures to patch tokens. Shapes: B pictures, d width of a token."""

import itertools

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError


class PatchEmbedding(nn.Module):
    """Cuts pictures into square patches and embeds each by a small network; a CLS token before them is an option.

    After Dosovitskiy et al., "An image is worth 16x16 words", 2020; the hidden layer lets a patch say where inside it
    something lies.
    """

    def __init__(self, height: int, image_width: int, patch: int, width: int, *, cls: bool = False) -> None:
        """height, image_width: pixels, multiples of patch; width: d; cls: put a learnt token first."""
        super().__init__()
        self.patch, self.rows, self.columns = patch, height // patch, image_width // patch
        self.embed = nn.Sequential(nn.Linear(3 * patch * patch, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, width)) if cls else None

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, H, W, 3) uint8 or float 0..255. Returns (B, rows * columns, d), one token more with a CLS."""
        p, x = self.patch, images.float() / 127.5 - 1.0
        x = x.reshape(-1, self.rows, p, self.columns, p, 3).permute(0, 1, 3, 2, 4, 5)
        tokens = self.embed(x.reshape(-1, self.rows * self.columns, 3 * p * p))
        return tokens if self.cls is None else torch.cat([self.cls.expand(tokens.shape[0], -1, -1), tokens], dim=1)


class ConvolutionalPatches(nn.Module):
    """Embeds the same square patches by a stack of small convolutions with stride 2, which look over patches' borders.

    After Xiao et al., "Early convolutions help transformers see better", 2021: it learns in fewer steps and says more
    exactly where a small thing lies than a linear map of each patch by itself.
    """

    def __init__(self, patch: int, width: int) -> None:
        """patch: pixels, a power of two; width: d. Raises ConfigError."""
        super().__init__()
        halvings = patch.bit_length() - 1
        if patch != 2**halvings or halvings < 1:
            raise ConfigError(f"convolutional patches: got patches of {patch} pixels, expected a power of two")
        widths = [3, *(max(16, width >> (halvings - 1 - i)) for i in range(halvings))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(1, after), nn.GELU()]
        self.stack = nn.Sequential(*layers, nn.Conv2d(widths[-1], width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, H, W, 3) uint8 or float 0..255. Returns (B, rows * columns, d)."""
        return self.stack((images.float() / 127.5 - 1.0).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
