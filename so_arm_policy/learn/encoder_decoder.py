"""Encoder, decoder and both together, as stacks of blocks. Shapes: B batch, S source, T target, V vocabulary, d width.

After Vaswani et al., "Attention is all you need", 2017, with norms before the layers (Xiong et al., 2020).
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.attention import KeysValues, causal_mask, padding_mask
from so_arm_policy.learn.blocks import BlockOptions, DecoderBlock, EncoderBlock
from so_arm_policy.learn.feed_forward import make_norm
from so_arm_policy.learn.positions import make_positions

PAD, BOS, EOS = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Sizes of a stack of blocks; width is d."""

    width: int = 64
    heads: int = 4
    layers: int = 2
    factor: int = 2
    options: BlockOptions = BlockOptions()


class Encoder(nn.Module):
    """Blocks in which every token sees every other, and a norm after them."""

    def __init__(self, config: StackConfig) -> None:
        """Make a stack with random weights."""
        super().__init__()
        c = config
        self.blocks = nn.ModuleList([EncoderBlock(c.width, c.heads, c.factor, c.options) for _ in range(c.layers)])
        self.norm = make_norm(c.options.norm, c.width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, S, d); mask: broadcastable to (B, h, S, S), True where attention is allowed. Returns (B, S, d)."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """Blocks in which a token sees those before it and all of a context, and a norm after them."""

    def __init__(self, config: StackConfig, context_width: int) -> None:
        """context_width: d of the context."""
        super().__init__()
        self.config = c = config
        self.context = nn.ModuleList(
            [KeysValues(context_width, c.width, c.heads, groups=c.options.groups) for _ in range(c.layers)]
        )
        self.blocks = nn.ModuleList([DecoderBlock(c.width, c.heads, c.factor, c.options) for _ in range(c.layers)])
        self.norm = make_norm(c.options.norm, c.width)

    def project(self, context: Tensor) -> Tensor:
        """context: (B, S, d_context). Returns keys and values (B, layers, 2, g, S, c)."""
        return torch.stack([keys_values(context) for keys_values in self.context], dim=1)

    def forward(self, x: Tensor, keys_values: Tensor, context_mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); keys_values: from `project`; context_mask: broadcastable to (B, h, T, S). Returns (B, T, d)."""
        mask = causal_mask(x.shape[1], device=x.device)
        for i, block in enumerate(self.blocks):
            x = block(x, keys_values[:, i], mask, context_mask)
        return self.norm(x)

    def empty_cache(self, batch: int, size: int = 0) -> Tensor:
        """Return a cache (B, layers, 2, g, size, c): size 0 to grow, the whole length to be used with positions."""
        c = self.config
        shape = batch, c.layers, 2, c.options.groups or c.heads, size, c.width // c.heads
        return next(self.parameters()).new_zeros(shape)

    def step(
        self,
        x: Tensor,
        keys_values: Tensor,
        cache: Tensor,
        position: int | Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, for the next tokens x (B, T, d) of a sequence whose keys and values are in the cache.

        cache and position: see `SelfAttention.step`. Returns (B, T, d) and the new cache.
        """
        caches = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, DecoderBlock)
            x, new = block.step(x, keys_values[:, i], cache[:, i], position, context_mask)
            caches.append(new)
        return self.norm(x), torch.stack(caches, dim=1)


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Sizes. Tokens 0, 1, 2 are padding, begin and end; positions is a key of `positions.POSITIONS`."""

    vocabulary: int
    length: int
    positions: str = "learned"
    stack: StackConfig = StackConfig()

    def __post_init__(self) -> None:
        """Refuse a vocabulary without words."""
        if self.vocabulary <= EOS + 1:
            raise ConfigError(f"encoder-decoder: got {self.vocabulary} tokens, expected more than padding, begin, end")


class EncoderDecoder(nn.Module):
    """Turns one sequence of tokens into another."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        """Make a network with random weights."""
        super().__init__()
        width, rotary = config.stack.width, config.positions == "rotary"
        stack = dataclasses.replace(config.stack, options=dataclasses.replace(config.stack.options, rotary=rotary))
        self.words = nn.Embedding(config.vocabulary, width)
        self.source_place = make_positions(config.positions, config.length, width)
        self.target_place = make_positions(config.positions, config.length, width)
        self.encoder, self.decoder = Encoder(stack), Decoder(stack, width)
        self.out = nn.Linear(width, config.vocabulary)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source: (B, S) int64. Returns the decoder's keys and values, and the mask that hides the padding."""
        mask = padding_mask(source != PAD)
        context = self.encoder(self.source_place(self.words(source)), mask)
        return self.decoder.project(context), mask

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source: (B, S); target: (B, T), from BOS on, both int64. Returns logits (B, T, V) of what follows each."""
        keys_values, mask = self.encode(source)
        return self.out(self.decoder(self.target_place(self.words(target)), keys_values, mask))

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of every token after BOS; target: (B, T) int64, BOS, words, EOS, padding."""
        logits = self(source, target[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

    @torch.no_grad()
    def generate(self, source: Tensor, length: int) -> Tensor:
        """source: (B, S) int64. Returns the likeliest next token, `length` times: (B, length), padding after EOS."""
        keys_values, mask = self.encode(source)
        cache = self.decoder.empty_cache(source.shape[0])
        tokens = [torch.full_like(source[:, :1], BOS)]
        for place in range(length):
            x = self.target_place(self.words(tokens[-1]), place)
            x, cache = self.decoder.step(x, keys_values, cache, context_mask=mask)
            ended = (tokens[-1] == EOS) | (tokens[-1] == PAD)
            tokens.append(torch.where(ended, PAD, self.out(x).argmax(-1)))
        return torch.cat(tokens[1:], dim=1)
