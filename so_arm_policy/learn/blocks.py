"""Transformer parts that all policies share. Shapes: B batch, T queries, S keys, d width, h heads, c = d / h."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (B, T, d) into (B, h, T, c)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Turn (B, h, T, c) into (B, T, d)."""
    return x.transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself. After Vaswani et al., "Attention is all you need", 2017."""

    def __init__(self, width: int, heads: int) -> None:
        """width must be a multiple of heads."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); mask: broadcastable to (B, h, T, T), True where attention is allowed. Returns (B, T, d)."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.out(merge_heads(functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


class KeysValues(nn.Module):
    """Projects a context to the keys and values of one cross-attention; run once for a context, not once for a step."""

    def __init__(self, context_width: int, width: int, heads: int) -> None:
        """context_width: d of the context; width: d of the queries that will attend to it."""
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(context_width)
        self.kv = nn.Linear(context_width, 2 * width, bias=False)

    def forward(self, context: Tensor) -> Tensor:
        """context: (B, S, d_context). Returns (B, 2, h, S, c): keys, then values."""
        keys, values = self.kv(self.norm(context)).chunk(2, dim=-1)
        return torch.stack([split_heads(keys, self.heads), split_heads(values, self.heads)], dim=1)


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to keys and values made by KeysValues."""

    def __init__(self, width: int, heads: int) -> None:
        """width must be a multiple of heads."""
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, keys_values: Tensor) -> Tensor:
        """x: (B, T, d); keys_values: (B, 2, h, S, c). Returns (B, T, d)."""
        q = split_heads(self.q(x), self.heads)
        return self.out(merge_heads(functional.scaled_dot_product_attention(q, keys_values[:, 0], keys_values[:, 1])))


class FeedForward(nn.Module):
    """Two linear maps with a GELU between."""

    def __init__(self, width: int, factor: int) -> None:
        """factor: hidden width as a multiple of width."""
        super().__init__()
        self.up = nn.Linear(width, factor * width)
        self.down = nn.Linear(factor * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d). Returns (..., d)."""
        return self.down(functional.gelu(self.up(x), approximate="tanh"))


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and feed-forward. After Xiong et al., "On layer normalization", 2020."""

    def __init__(self, width: int, heads: int, factor: int = 2) -> None:
        """factor: hidden width of the feed-forward as a multiple of width."""
        super().__init__()
        self.norm_attention, self.attention = nn.RMSNorm(width), SelfAttention(width, heads)
        self.norm_feed, self.feed = nn.RMSNorm(width), FeedForward(width, factor)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d). Returns (B, T, d)."""
        x = x + self.attention(self.norm_attention(x), mask)
        return x + self.feed(self.norm_feed(x))


class DecoderBlock(nn.Module):
    """Pre-norm self-attention, cross-attention to a context's keys and values, feed-forward."""

    def __init__(self, width: int, heads: int, factor: int = 2) -> None:
        """factor: hidden width of the feed-forward as a multiple of width."""
        super().__init__()
        self.norm_attention, self.attention = nn.RMSNorm(width), SelfAttention(width, heads)
        self.norm_cross, self.cross = nn.RMSNorm(width), CrossAttention(width, heads)
        self.norm_feed, self.feed = nn.RMSNorm(width), FeedForward(width, factor)

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); keys_values: (B, 2, h, S, c); mask: for the self-attention. Returns (B, T, d)."""
        x = x + self.attention(self.norm_attention(x), mask)
        x = x + self.cross(self.norm_cross(x), keys_values)
        return x + self.feed(self.norm_feed(x))


class PatchEmbedding(nn.Module):
    """Cuts pictures into square patches and embeds each by a small network.

    After Dosovitskiy et al., "An image is worth 16x16 words", 2020; the hidden layer lets a patch say where inside it
    something lies.
    """

    def __init__(self, height: int, image_width: int, patch: int, width: int) -> None:
        """height, image_width: pixels, multiples of patch; width: d."""
        super().__init__()
        self.patch, self.rows, self.columns = patch, height // patch, image_width // patch
        self.embed = nn.Sequential(nn.Linear(3 * patch * patch, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, H, W, 3) uint8 or float 0..255. Returns (B, rows * columns, d)."""
        p, x = self.patch, images.float() / 127.5 - 1.0
        x = x.reshape(-1, self.rows, p, self.columns, p, 3).permute(0, 1, 3, 2, 4, 5)
        return self.embed(x.reshape(-1, self.rows * self.columns, 3 * p * p))


def sinusoidal(x: Tensor, width: int, max_period: float = 1000.0) -> Tensor:
    """Embed numbers x (...) in 0..1 as sines and cosines of geometric periods: (..., width). After Vaswani 2017."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(max_period), width // 2, device=x.device))
    angles = x.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
