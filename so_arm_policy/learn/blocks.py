"""Transformer blocks that all policies share. Shapes: B batch, T queries, S keys, d width, h heads, c = d / h."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.learn.attention import CrossAttention, KeysValues, SelfAttention, causal_mask, padding_mask
from so_arm_policy.learn.feed_forward import FeedForward, make_feed, make_norm
from so_arm_policy.learn.patches import ConvolutionalPatches, PatchEmbedding
from so_arm_policy.learn.positions import sinusoidal

# The families take their parts from here.
__all__ = [
    "AdaptiveDecoderBlock",
    "AdaptiveOutput",
    "BlockOptions",
    "ConvolutionalPatches",
    "CrossAttention",
    "DecoderBlock",
    "EncoderBlock",
    "FeedForward",
    "KeysValues",
    "PatchEmbedding",
    "SelfAttention",
    "causal_mask",
    "padding_mask",
    "sinusoidal",
]


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Variants of a block. groups: heads of the self-attention's keys and values, None = one for each head."""

    groups: int | None = None
    norm: str = "rms"
    feed: str = "gelu"
    rotary: bool = False

    def attention(self, width: int, heads: int) -> SelfAttention:
        """Return the self-attention of a block."""
        return SelfAttention(width, heads, groups=self.groups, use_rotary=self.rotary)


DEFAULT = BlockOptions()


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and feed-forward. After Xiong et al., "On layer normalization", 2020."""

    def __init__(self, width: int, heads: int, factor: int = 2, options: BlockOptions = DEFAULT) -> None:
        """factor: hidden width of the feed-forward as a multiple of width."""
        super().__init__()
        self.norm_attention, self.attention = make_norm(options.norm, width), options.attention(width, heads)
        self.norm_feed, self.feed = make_norm(options.norm, width), make_feed(options.feed, width, factor)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); mask: broadcastable to (B, h, T, T). Returns (B, T, d)."""
        x = x + self.attention(self.norm_attention(x), mask)
        return x + self.feed(self.norm_feed(x))


class DecoderBlock(nn.Module):
    """Pre-norm self-attention, cross-attention to a context's keys and values, feed-forward. After Vaswani 2017."""

    def __init__(self, width: int, heads: int, factor: int = 2, options: BlockOptions = DEFAULT) -> None:
        """factor: hidden width of the feed-forward as a multiple of width."""
        super().__init__()
        self.norm_attention, self.attention = make_norm(options.norm, width), options.attention(width, heads)
        self.norm_cross, self.cross = make_norm(options.norm, width), CrossAttention(width, heads)
        self.norm_feed, self.feed = make_norm(options.norm, width), make_feed(options.feed, width, factor)

    def forward(
        self, x: Tensor, keys_values: Tensor, mask: Tensor | None = None, context_mask: Tensor | None = None
    ) -> Tensor:
        """x: (B, T, d); keys_values: (B, 2, g, S, c); mask: of self-attention, context_mask: of cross-attention.

        Returns (B, T, d).
        """
        x = x + self.attention(self.norm_attention(x), mask)
        return self._rest(x, keys_values, context_mask)

    def step(
        self,
        x: Tensor,
        keys_values: Tensor,
        cache: Tensor,
        position: int | Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `forward` with a causal mask, for the next tokens x (B, T, d) of a sequence whose keys are in the cache.

        cache and position: see `SelfAttention.step`. Returns (B, T, d) and the new cache.
        """
        attended, cache = self.attention.step(self.norm_attention(x), cache, position)
        return self._rest(x + attended, keys_values, context_mask), cache

    def _rest(self, x: Tensor, keys_values: Tensor, context_mask: Tensor | None) -> Tensor:
        x = x + self.cross(self.norm_cross(x), keys_values, context_mask)
        return x + self.feed(self.norm_feed(x))


class AdaptiveDecoderBlock(nn.Module):
    """A decoder block whose norms are shifted and scaled, and whose branches are gated, by a condition (adaLN-zero).

    The gates start at zero, so that the block starts as the identity. After Peebles & Xie, "Scalable diffusion models
    with transformers", 2022. With zero=False there are no gates (their plain adaLN).
    """

    def __init__(
        self, width: int, heads: int, factor: int = 2, options: BlockOptions = DEFAULT, *, zero: bool = True
    ) -> None:
        """factor: hidden width of the feed-forward as a multiple of width; the condition has this width too."""
        super().__init__()
        self.zero = zero
        self.norm = make_norm(options.norm, width, affine=False)
        self.attention, self.cross = options.attention(width, heads), CrossAttention(width, heads)
        self.feed = make_feed(options.feed, width, factor)
        self.modulation = _zeroed(nn.Linear(width, (9 if zero else 6) * width))

    def forward(self, x: Tensor, condition: Tensor, keys_values: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); condition: (B, T or 1, d); keys_values: (B, 2, g, S, c). Returns (B, T, d)."""
        parts = self.modulation(functional.silu(condition)).chunk(9 if self.zero else 6, dim=-1)
        shifts, scales, gates = parts[0:3], parts[3:6], parts[6:9] or (1.0, 1.0, 1.0)
        x = x + gates[0] * self.attention(_modulated(self.norm(x), shifts[0], scales[0]), mask)
        x = x + gates[1] * self.cross(_modulated(self.norm(x), shifts[1], scales[1]), keys_values)
        return x + gates[2] * self.feed(_modulated(self.norm(x), shifts[2], scales[2]))


class AdaptiveOutput(nn.Module):
    """The last layer of a transformer of adaptive blocks: adaptive norm and a linear map that starts at zero."""

    def __init__(self, width: int, outputs: int, options: BlockOptions = DEFAULT) -> None:
        """outputs: numbers for each token."""
        super().__init__()
        self.norm = make_norm(options.norm, width, affine=False)
        self.modulation, self.out = _zeroed(nn.Linear(width, 2 * width)), _zeroed(nn.Linear(width, outputs))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (B, T, d); condition: (B, T or 1, d). Returns (B, T, outputs)."""
        return self.out(_modulated(self.norm(x), *self.modulation(functional.silu(condition)).chunk(2, dim=-1)))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1.0 + scale) + shift


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
