"""System 1, family `autoregressive`: a chunk token by token.

After RT-2 and OpenVLA (Kim et al., 2024): actions are discrete tokens, a causal decoder says each from those before
it. Keys and values of earlier tokens are cached. The likeliest token is fed back; the position is read as the mean of
the bins around it, so that the arm does not follow the steps of the bins.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop  # what torch.onnx exports as a Loop
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.attention import causal_mask
from so_arm_policy.learn.blocks import DecoderBlock
from so_arm_policy.learn.families.action_tokens import KINDS, ActionTokens
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig

AROUND = 4  # bins on either side of the likeliest one that its position is the mean of
BLUR = 1.0  # bins: a token's neighbours are nearly as right


@dataclass(frozen=True, kw_only=True)
class AutoregressiveConfig(ExpertConfig):
    """tokens: dct or uniform; coefficients: numbers a joint for dct; bins: different tokens."""

    tokens: str = "dct"
    coefficients: int = 4
    bins: int = 256

    def __post_init__(self) -> None:
        """Refuse what makes no tokens."""
        super().__post_init__()
        if self.tokens not in KINDS or not 0 < self.coefficients <= self.made or not 2 * AROUND < self.bins <= 4096:
            raise ConfigError(
                f"autoregressive: got {self.tokens!r}, {self.coefficients} coefficients, {self.bins} bins, "
                f"expected one of {list(KINDS)}, 1..{self.made}, {2 * AROUND + 1}..4096"
            )

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The likeliest tokens need no noise."""
        return ()

    @property
    def passes(self) -> int:
        """One pass for each token."""
        return self.joints * (self.coefficients if self.tokens == "dct" else self.made)


class AutoregressiveExpert(ActionExpert):
    """Says a chunk as tokens, the lowest frequency of every joint first."""

    family = "autoregressive"
    noise_std = 0.0
    infer_every = 2
    config: AutoregressiveConfig
    bins: Tensor

    def __init__(self, config: AutoregressiveConfig) -> None:
        """Make a network with random weights; `fit_statistics` before training."""
        super().__init__(config)
        d = config.width
        self.tokens = ActionTokens(config.tokens, config.made, config.joints, config.coefficients, config.bins)
        self.token_in = nn.Embedding(config.bins, d)
        self.place = nn.Parameter(0.02 * torch.randn(config.passes, d))
        self.blocks = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(d)
        self.token_out = nn.Linear(d, config.bins)
        self.register_buffer("bins", torch.arange(config.bins, dtype=torch.float32), persistent=False)

    def fit_statistics(self, state_mean: Tensor, state_std: Tensor, positions: Tensor) -> None:
        """Take the statistics of the demonstrations, also those of the tokens."""
        super().fit_statistics(state_mean, state_std, positions)
        self.tokens.fit(self.coding.encode(positions)[:, self.config.prefix :])

    def loss(self, positions: Tensor, keys_values: Tensor, state: Tensor) -> Tensor:
        """Cross-entropy of the tokens, each told the true ones before it. positions: (B, H, n) rad."""
        p = self.config.prefix
        tokens = self.tokens.encode(self.coding.encode(positions)[:, p:])
        told = self.conditions(keys_values, state, positions[:, :p]).unsqueeze(1)
        x = torch.cat([told, self.token_in(tokens[:, :-1])], dim=1) + self.place
        mask = causal_mask(x.shape[1]).to(x.device)
        for i, block in enumerate(self.blocks):
            x = block(x, keys_values[:, i], mask)
        wanted = functional.softmax(-0.5 * ((self.bins - tokens.unsqueeze(-1)) / BLUR).square(), dim=-1)
        return functional.cross_entropy(self.token_out(self.norm(x)).flatten(0, 1), wanted.flatten(0, 1))

    def act(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:  # noqa: ARG002
        """Make a chunk of the likeliest tokens; see ActionExpert. noise: not used."""
        told = self.conditions(keys_values, state, prefix)
        generate = self._generate_as_graph if torch.compiler.is_exporting() else self._generate
        code = self.tokens.decode(generate(told, keys_values))
        return self.coding.decode(torch.cat([torch.zeros_like(prefix), code], dim=1), prefix)

    def _generate(self, x: Tensor, keys_values: Tensor) -> Tensor:
        """Return the places (B, tokens) of the likeliest tokens after x (B, d)."""
        caches = self._empty_caches(x.shape[0])
        places = []
        for number in range(self.config.passes):
            place, x, caches = self._next(torch.tensor(number), x, caches, keys_values)
            places.append(place)
        return torch.stack(places, dim=1)

    def _generate_as_graph(self, x: Tensor, keys_values: Tensor) -> Tensor:
        """As `_generate`, as one loop in the graph: unrolled it is large, slow to load and twice as slow to run."""
        caches = self._empty_caches(x.shape[0])
        places = torch.zeros(x.shape[0], self.config.passes)

        def unfinished(number: Tensor, *_: Tensor) -> Tensor:
            return number < self.config.passes

        def body(number: Tensor, x: Tensor, places: Tensor, context: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
            place, x, caches = self._next(number, x, caches, context)
            places = places.index_copy(1, number.reshape(1), place.unsqueeze(1))
            return number + 1, x, places, context.clone(), *caches

        return while_loop(unfinished, body, (torch.tensor(0), x, places, keys_values, *caches))[2]

    def _next(
        self, number: Tensor, x: Tensor, caches: tuple[Tensor, ...], keys_values: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Say token `number`, () int64, after x (B, d): its place (B,), what follows it, and the longer caches."""
        x = (x + self.place.index_select(0, number.reshape(1))).unsqueeze(1)
        longer = []
        for i, block in enumerate(self._decoder()):
            x, cache = block.step(x, keys_values[:, i], caches[i], number)
            longer.append(cache)
        logits = self.token_out(self.norm(x[:, 0]))
        token = logits.argmax(-1)
        return self._place(logits, token), self.token_in(token), tuple(longer)

    def _decoder(self) -> list[DecoderBlock]:
        return [cast(DecoderBlock, block) for block in self.blocks]

    def _empty_caches(self, batch: int) -> tuple[Tensor, ...]:
        return tuple(block.attention.empty_cache(batch, self.config.passes) for block in self._decoder())

    def _place(self, logits: Tensor, token: Tensor) -> Tensor:
        """Return the mean bin (B,) around the likeliest token (B,) under logits (B, bins)."""
        near = (self.bins - token.unsqueeze(-1)).abs() <= AROUND
        weights = functional.softmax(logits.masked_fill(~near, float("-inf")), dim=-1)
        return (weights * self.bins).sum(-1)
