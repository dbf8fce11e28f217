"""System 2: a small vision-language encoder. Pictures, instruction and joint state become context tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import DecoderBlock, EncoderBlock, KeysValues, PatchEmbedding


@dataclass(frozen=True, kw_only=True)
class SceneEncoderConfig:
    """Sizes. Image sizes in pixels; width is d."""

    image_height: int = 96
    image_width: int = 128
    patch: int = 16
    cameras: int = 2
    joints: int = 6
    vocabulary: int = 512
    max_tokens: int = 12
    width: int = 128
    heads: int = 4
    vision_layers: int = 3
    fusion_layers: int = 2
    readouts: int = 8

    def __post_init__(self) -> None:
        """Refuse sizes that do not divide."""
        if self.image_height % self.patch or self.image_width % self.patch:
            raise ConfigError(
                f"scene encoder: got {self.image_width}x{self.image_height} pixels, expected multiples of {self.patch}"
            )
        if self.width % self.heads:
            raise ConfigError(f"scene encoder: got width {self.width}, expected a multiple of {self.heads} heads")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of one picture."""
        return self.image_height // self.patch, self.image_width // self.patch

    @property
    def context_tokens(self) -> int:
        """Tokens of a context: read-outs, instruction, state, and the place that was pointed at."""
        return self.readouts + self.max_tokens + 2


@dataclass(frozen=True)
class SceneFeatures:
    """tokens: (B, N, d); grounding: (B, 3) m, arm's base frame; pointer: (B, cameras * rows * columns) logits."""

    tokens: Tensor
    grounding: Tensor
    pointer: Tensor


class SceneEncoder(nn.Module):
    """ViT over all cameras, then fusion blocks in which words, state and read-outs attend to the patches.

    A pointer (the first read-out's attention over patches) says which patches the instruction means; the place of the
    object is read from there. It is trained against the true place (grounding), and it is the overlay a person sees.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, config: SceneEncoderConfig) -> None:
        """Make a network with random weights."""
        super().__init__()
        self.config = config
        d, patches = config.width, config.grid[0] * config.grid[1]
        self.patches = PatchEmbedding(config.image_height, config.image_width, config.patch, d)
        self.place = nn.Parameter(0.02 * torch.randn(config.cameras * patches, d))
        self.vision = nn.ModuleList([EncoderBlock(d, config.heads) for _ in range(config.vision_layers)])
        self.words = nn.Embedding(config.vocabulary, d)
        self.word_place = nn.Parameter(0.02 * torch.randn(config.max_tokens, d))
        self.state = nn.Linear(config.joints, d)
        self.readouts = nn.Parameter(0.02 * torch.randn(config.readouts, d))
        self.keys_values = nn.ModuleList([KeysValues(d, d, config.heads) for _ in range(config.fusion_layers)])
        self.fusion = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.fusion_layers)])
        self.norm, self.norm_vision = nn.RMSNorm(d), nn.RMSNorm(d)
        self.point_query, self.point_key = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.locate = nn.Sequential(nn.Linear(2 * d, 2 * d), nn.GELU(), nn.Linear(2 * d, 3))
        self.pointed = nn.Linear(d + 3, d)
        self.register_buffer("center", torch.tensor([0.2, 0.0, 0.015]))
        self.register_buffer("scale", torch.tensor([0.05, 0.1, 0.05]))

    def see(self, images: Tensor) -> Tensor:
        """images: (B, cameras, H, W, 3) uint8. Returns patch tokens (B, cameras * rows * columns, d)."""
        x = self.patches(images.flatten(0, 1)).reshape(images.shape[0], -1, self.config.width) + self.place
        for block in self.vision:
            x = block(x)
        return self.norm_vision(x)

    def fuse(self, patches: Tensor, words: Tensor, state: Tensor) -> SceneFeatures:
        """patches: (B / K, patches, d) from `see`, for K instructions each; words: (B, L) int64, 0 = padding.

        state: (B, n) rad. Rows K * i to K * i + K - 1 of words and state belong to picture set i.
        """
        batch, asked = words.shape[0], words.shape[0] // patches.shape[0]
        padding = (words > 0).unsqueeze(-1).float()
        told = (self.words(words) + self.word_place) * padding
        readouts = self.readouts.expand(batch, -1, -1)
        x = torch.cat([readouts, told, self.state(state).unsqueeze(1)], dim=1)
        for block, keys_values in zip(self.fusion, self.keys_values, strict=True):
            x = block(x, _repeated(keys_values(patches), asked))
        return self._ground(self.norm(x), patches, asked)

    def _ground(self, x: Tensor, patches: Tensor, asked: int) -> SceneFeatures:
        keys = _repeated(self.point_key(patches), asked)
        pointer = (self.point_query(x[:, :1]) @ keys.transpose(1, 2)).squeeze(1) / self.config.width**0.5
        pointed = (pointer.softmax(-1).unsqueeze(1) @ _repeated(patches, asked)).squeeze(1)
        offset = self.locate(torch.cat([pointed, x[:, 0]], dim=-1))
        token = self.pointed(torch.cat([pointed, offset], dim=-1)).unsqueeze(1)
        return SceneFeatures(torch.cat([x, token], dim=1), self.center + self.scale * offset, pointer)

    def forward(self, images: Tensor, words: Tensor, state: Tensor) -> SceneFeatures:
        """images: (B, cameras, H, W, 3) uint8; words: (B, L) int64; state: (B, n) rad."""
        return self.fuse(self.see(images), words, state)


def _repeated(x: Tensor, times: int) -> Tensor:
    return x if times == 1 else x.repeat_interleave(times, dim=0)
