"""Attention. Shapes: B batch, T queries, S keys, d width, h heads, g heads of keys and values, c = d / h.

Masks are bool, True where attention is allowed, and join with `&`. A query must be allowed at least one key.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.positions import rotary


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (B, T, d) into (B, h, T, c)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Turn (B, h, T, c) into (B, T, d)."""
    return x.transpose(1, 2).flatten(-2)


def causal_mask(queries: int, keys: int | None = None, device: torch.device | None = None) -> Tensor:
    """Return (T, S): each query sees keys up to its own. The queries are the last T of S; S = T unless given."""
    keys = queries if keys is None else keys
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def padding_mask(real: Tensor) -> Tensor:
    """real: (B, S) bool, False for padding. Returns (B, 1, 1, S): no query sees padding."""
    return real[:, None, None, :]


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention. q: (B, h, T, c); keys, values: (B, g, S, c); g divides h. Returns (B, T, d).

    Each group of h / g heads shares its keys and values when g < h. After Vaswani et al., "Attention is all you need",
    2017, and Ainslie et al., "GQA", 2023.
    """
    shared = q.shape[1] != keys.shape[1]
    return merge_heads(functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=shared))


def extend(cache: Tensor, new: Tensor, position: int | Tensor | None = None) -> Tensor:
    """Put keys and values of new tokens, (B, 2, g, T, c), into a cache.

    Without a position the cache (B, 2, g, S, c) grows to (B, 2, g, S + T, c). With one, (), int64, its size stays and
    the tokens go to position, position + 1, ...: what a loop in an ONNX graph needs.
    """
    if position is None:
        return torch.cat([cache, new], dim=3)
    return cache.index_copy(3, position + torch.arange(new.shape[3], device=new.device), new)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with h heads in g groups and rotary positions as options."""

    def __init__(self, width: int, heads: int, *, groups: int | None = None, use_rotary: bool = False) -> None:
        """heads divides width; groups: g, divides heads, as many as heads unless given."""
        super().__init__()
        self.heads, self.groups = heads, _checked_groups(width, heads, groups)
        if use_rotary and width // heads % 2:
            raise ConfigError(f"attention: got heads of size {width // heads}, expected an even one to be rotated")
        self.use_rotary = use_rotary
        self.qkv = nn.Linear(width, width + 2 * self.groups * (width // heads), bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); mask: broadcastable to (B, h, T, T). Returns (B, T, d)."""
        q, keys, values = self._project(x, 0)
        return self.out(attend(q, keys, values, mask))

    def step(self, x: Tensor, cache: Tensor, position: int | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Causal attention of the next T tokens to themselves and to those in the cache.

        x: (B, T, d); cache: (B, 2, g, S, c), as from `empty_cache`. Without a position the S tokens in the cache are
        what went before, and it grows. With one, (), int64, the first `position` places are filled, and the size
        stays: S must be at least position + T. Returns (B, T, d) and the new cache.
        """
        start = cache.shape[3] if position is None else position
        q, keys, values = self._project(x, start)
        cache = extend(cache, torch.stack([keys, values], dim=1), position)
        places = torch.arange(cache.shape[3], device=x.device)
        mask = places <= start + torch.arange(x.shape[1], device=x.device).unsqueeze(1)
        everything = position is None and x.shape[1] == 1
        return self.out(attend(q, cache[:, 0], cache[:, 1], None if everything else mask)), cache

    def empty_cache(self, batch: int, size: int = 0) -> Tensor:
        """Return a cache (B, 2, g, size, c) of zeros: size 0 to grow, the whole length to be used with positions."""
        return self.out.weight.new_zeros(batch, 2, self.groups, size, self.out.in_features // self.heads)

    def _project(self, x: Tensor, start: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.groups * (x.shape[-1] // self.heads)
        parts = self.qkv(x).split([x.shape[-1], shared, shared], dim=-1)
        q, keys, values = (
            split_heads(p, n) for p, n in zip(parts, (self.heads, self.groups, self.groups), strict=True)
        )
        if self.use_rotary:
            places = start + torch.arange(x.shape[1], device=x.device)
            q, keys = rotary(q, places), rotary(keys, places)
        return q, keys, values


class KeysValues(nn.Module):
    """Projects a context to the keys and values of one cross-attention; run once for a context, not once for a step."""

    def __init__(self, context_width: int, width: int, heads: int, *, groups: int | None = None) -> None:
        """context_width: d of the context; width: d of the queries that will attend to it; groups: as many as heads."""
        super().__init__()
        self.groups = _checked_groups(width, heads, groups)
        self.norm = nn.RMSNorm(context_width)
        self.kv = nn.Linear(context_width, 2 * self.groups * (width // heads), bias=False)

    def forward(self, context: Tensor) -> Tensor:
        """context: (B, S, d_context). Returns (B, 2, g, S, c): keys, then values."""
        keys, values = self.kv(self.norm(context)).chunk(2, dim=-1)
        return torch.stack([split_heads(keys, self.groups), split_heads(values, self.groups)], dim=1)


class CrossAttention(nn.Module):
    """Attention of a sequence to keys and values made by KeysValues. After Vaswani et al., 2017."""

    def __init__(self, width: int, heads: int) -> None:
        """heads divides width."""
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, d); keys_values: (B, 2, g, S, c); mask: broadcastable to (B, h, T, S). Returns (B, T, d)."""
        q = split_heads(self.q(x), self.heads)
        return self.out(attend(q, keys_values[:, 0], keys_values[:, 1], mask))


def _checked_groups(width: int, heads: int, groups: int | None) -> int:
    if heads < 1 or width % heads:
        raise ConfigError(f"attention: got width {width}, expected a multiple of {heads} heads")
    if groups is not None and (groups < 1 or heads % groups):
        raise ConfigError(f"attention: got {groups} groups, expected a divisor of {heads} heads")
    return groups or heads
