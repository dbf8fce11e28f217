"""System 2: a small vision-language encoder. Pictures, instruction and joint state become context tokens."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.blocks import ConvolutionalPatches, DecoderBlock, EncoderBlock, KeysValues, PatchEmbedding
from so_arm_policy.learn.pretrained_vision import PretrainedPatches, VisionFolder

POINTERS = 3  # to patches that show the object, its place, and the object before a hand camera
FOUND = POINTERS + 3  # tokens that say what was found: what is pointed at, object and place as numbers, and progress
OCTAVES = 4  # of the waves that say a number: from WAVE down
WAVE = 8.0  # of `scale`: longer than the table
PROGRESS = 3
STEMS = "convolutions", "patches"


@dataclass(frozen=True, kw_only=True)
class SceneEncoderConfig:
    """Sizes. Image sizes in pixels; width is d.

    stem: what makes the patches, one of STEMS, trained from nothing. pretrained: folder of a vision tower that makes
    them instead (see pretrained_vision.py). train_pretrained: the tower is trained, too.
    """

    image_height: int = 96
    image_width: int = 128
    patch: int = 16
    cameras: int = 2
    joints: int = 6
    vocabulary: int = 512
    max_tokens: int = 18
    width: int = 128
    heads: int = 4
    vision_layers: int = 3
    fusion_layers: int = 3
    readouts: int = 8
    stem: str = "convolutions"
    pretrained: str = ""
    train_pretrained: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that do not divide."""
        if self.image_height % self.patch or self.image_width % self.patch:
            raise ConfigError(
                f"scene encoder: got {self.image_width}x{self.image_height} pixels, expected multiples of {self.patch}"
            )
        if self.width % self.heads:
            raise ConfigError(f"scene encoder: got width {self.width}, expected a multiple of {self.heads} heads")
        if self.stem not in STEMS:
            raise ConfigError(f"scene encoder: got stem {self.stem!r}, expected one of {STEMS}")

    def check_pretrained(self) -> None:
        """Raise InputError or ConfigError, before any long work, for a pretrained tower that cannot be used."""
        if self.pretrained:
            VisionFolder(Path(self.pretrained)).check_size(self.image_height, self.image_width, self.patch)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of one picture."""
        return self.image_height // self.patch, self.image_width // self.patch

    @property
    def context_tokens(self) -> int:
        """Tokens of a context: read-outs, and what was found; no words, and no joints of an older time."""
        return self.readouts + FOUND


@dataclass(frozen=True)
class SceneFeatures:
    """What System 2 makes of pictures and words; B rows.

    tokens: (B, N, d), the context. source, place: (B, 3) m, world frame: where the object is and where it should
    go. roll: (B, 2) cosine and sine of the roll that the wrist takes it with. progress: (B, 3) logits of the step under
    way: the first, the second, none any more. pointers: (B, POINTERS, cameras * rows * columns) logits of patches.
    """

    tokens: Tensor
    source: Tensor
    place: Tensor
    roll: Tensor
    progress: Tensor
    pointers: Tensor


class SceneEncoder(nn.Module):
    """ViT over all cameras, then fusion blocks in which words, state and read-outs attend to the patches.

    A pointer (the first read-out's attention over patches) says which patches the instruction means; the place of the
    object is read from there, and from where a hand camera shows it: that sees from near by how the object lies. It is
    trained against the true place (grounding), and it is the overlay a person sees.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, config: SceneEncoderConfig) -> None:
        """Make a network with random weights."""
        super().__init__()
        self.config = config
        d, patches = config.width, config.grid[0] * config.grid[1]
        self.patches = _make_patches(config)
        self.place = nn.Parameter(0.02 * torch.randn(config.cameras * patches, d))
        self.vision = nn.ModuleList([EncoderBlock(d, config.heads) for _ in range(config.vision_layers)])
        self.words = nn.Embedding(config.vocabulary, d)
        self.word_place = nn.Parameter(0.02 * torch.randn(config.max_tokens, d))
        self.state = nn.Linear(config.joints, d)
        self.readouts = nn.Parameter(0.02 * torch.randn(config.readouts, d))
        self.keys_values = nn.ModuleList([KeysValues(d, d, config.heads) for _ in range(config.fusion_layers)])
        self.fusion = nn.ModuleList([DecoderBlock(d, config.heads) for _ in range(config.fusion_layers)])
        self.norm, self.norm_vision = nn.RMSNorm(d), nn.RMSNorm(d)
        self.point_query = nn.ModuleList([nn.Linear(d, d, bias=False) for _ in range(POINTERS)])
        self.point_key = nn.Linear(d, d, bias=False)
        self.locate_object, self.locate_place = (
            nn.Sequential(nn.Linear(inputs * d, 2 * d), nn.GELU(), nn.Linear(2 * d, outputs))
            for inputs, outputs in ((4, 5), (2, 3))
        )
        self.progress, self.progress_in = nn.Linear(d, PROGRESS), nn.Linear(PROGRESS, d)
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
        """Point at what is meant, and say from there, and from the read-outs and the state, where exactly it is."""
        keys, seen = _repeated(self.point_key(patches), asked), _repeated(patches, asked)
        of_object, of_place, state = x[:, 0], x[:, 1], x[:, -1]
        asking = zip(self.point_query, (of_object, of_place, of_object), strict=True)
        queries = torch.stack([query(readout) for query, readout in asking], dim=1)
        pointers = queries @ keys.transpose(1, 2) / self.config.width**0.5
        pointed = pointers.softmax(-1) @ seen
        source = self.locate_object(torch.cat([pointed[:, 0], of_object, pointed[:, 2], state], dim=-1))
        place = self.locate_place(torch.cat([pointed[:, 1], of_place], dim=-1))
        progress = self.progress(x[:, 2])
        said = [_in_waves(source, self.config.width), _in_waves(place, self.config.width)]
        said.append(self.progress_in(progress.softmax(-1)))
        return SceneFeatures(
            tokens=torch.cat([x[:, : self.config.readouts], pointed, torch.stack(said, dim=1)], dim=1),
            source=self.center + self.scale * source[:, :3],
            place=self.center + self.scale * place,
            roll=source[:, 3:],
            progress=progress,
            pointers=pointers,
        )

    def forward(self, images: Tensor, words: Tensor, state: Tensor) -> SceneFeatures:
        """images: (B, cameras, H, W, 3) uint8; words: (B, L) int64; state: (B, n) rad."""
        return self.fuse(self.see(images), words, state)


def _in_waves(numbers: Tensor, width: int) -> Tensor:
    """Say numbers (B, K), about 1 wide, to a network: themselves and waves of them, (B, width).

    After Tancik et al., "Fourier features let networks learn high frequency functions", 2020. Nothing else is mixed in:
    System 1, which has only these tokens, must read places to the millimetre from them.
    """
    frequencies = 2.0 * math.pi / WAVE * 2.0 ** torch.arange(OCTAVES, device=numbers.device)
    waves = (numbers.unsqueeze(-1) * frequencies).flatten(1)
    said = torch.cat([numbers, waves.sin(), waves.cos()], dim=-1)
    return functional.pad(said, (0, width - said.shape[-1])) if width > said.shape[-1] else said[:, :width]


def _make_patches(config: SceneEncoderConfig) -> nn.Module:
    sizes = config.image_height, config.image_width, config.patch, config.width
    if config.pretrained:
        return PretrainedPatches(Path(config.pretrained), *sizes, trained=config.train_pretrained)
    if config.stem == "convolutions":
        return ConvolutionalPatches(config.patch, config.width)
    return PatchEmbedding(*sizes)


def _repeated(x: Tensor, times: int) -> Tensor:
    return x if times == 1 else x.repeat_interleave(times, dim=0)
