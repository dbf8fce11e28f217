"""System 2's eyes from elsewhere: the vision tower of a SigLIP, SmolVLM or Idefics3 model in a local folder.

Folders are what `save_pretrained` of Hugging Face transformers writes. Nothing is fetched, no code of the folder is
run, and weights are read from safetensors only, never from pickles.
"""

import contextlib
import importlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError, InputError


@dataclass(frozen=True)
class Tower:
    """Where transformers has a vision tower. any_shape: it knows positions for pictures that are not square, too."""

    module: str
    name: str
    any_shape: bool


SIGLIP = Tower("siglip.modeling_siglip", "SiglipVisionModel", any_shape=False)
SMOLVLM = Tower("smolvlm.modeling_smolvlm", "SmolVLMVisionTransformer", any_shape=True)
IDEFICS3 = Tower("idefics3.modeling_idefics3", "Idefics3VisionTransformer", any_shape=True)
# By the `model_type` of config.json: of a whole model, or of the tower alone.
TOWERS = MappingProxyType(
    {
        "siglip": SIGLIP,
        "siglip_vision_model": SIGLIP,
        "smolvlm": SMOLVLM,
        "smolvlm_vision": SMOLVLM,
        "idefics3": IDEFICS3,
        "idefics3_vision": IDEFICS3,
    }
)
PIXELS = ("preprocessor_config.json", "processor_config.json")  # the first that is there says how pixels are scaled
FIRST_WEIGHT = "embeddings.patch_embedding.weight"  # what stands before it names the tower in a whole model
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class PixelScale:
    """(factor * pixel - mean) / std for each colour. The defaults are those of all towers here."""

    factor: float = 1 / 255
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        """Refuse what is no scale."""
        numbers = (self.factor, *self.mean, *self.std)
        fits = len(self.mean) == len(self.std) == 3 and all(map(math.isfinite, numbers))
        if not (fits and self.factor > 0.0 and min(self.std) > 0.0):
            raise ValueError(f"{self}, expected finite numbers for three colours, factor and std positive")


class VisionFolder:
    """What a folder says of its vision tower; the weights are read by `tower`."""

    def __init__(self, folder: Path) -> None:
        """Read config.json. Raises InputError; ModuleNotFoundError without transformers."""
        self.folder = folder
        if not folder.is_dir():
            raise InputError(f"{folder}: got no such folder, expected one that `save_pretrained` of transformers wrote")
        model_type = _read_json(folder / "config.json").get("model_type")
        if not isinstance(model_type, str) or model_type not in TOWERS:
            raise InputError(f"{folder}: got model_type {model_type!r}, expected one of {list(TOWERS)}")
        self.kind = TOWERS[model_type]
        self._tower_class: Any = getattr(
            importlib.import_module(f"transformers.models.{self.kind.module}"), self.kind.name
        )
        self.config = self._read_config()
        self.patch: int = self.config.patch_size
        self.side: int = self.config.image_size // self.patch
        self.pixels = _read_pixels(folder)

    def check_size(self, height: int, width: int, patch: int) -> None:
        """Raise ConfigError unless the tower takes pictures of height x width pixels in patches of `patch`.

        Square towers take a whole number of patches: one for 384 pixels in patches of 14 takes 378, as many patches.
        """
        rows, columns, most = height // self.patch, width // self.patch, self.side * self.patch
        whole = (rows * self.patch, columns * self.patch) == (height, width) and patch == self.patch
        fits = max(rows, columns) <= self.side if self.kind.any_shape else rows == columns == self.side
        if not (whole and fits and min(rows, columns) > 0):
            sizes = f"multiples of {self.patch} up to {most}" if self.kind.any_shape else f"{most} and {most}"
            raise ConfigError(
                f"{self.folder}: got encoder.image_height={height} encoder.image_width={width} encoder.patch={patch}, "
                f"expected height and width {sizes}, encoder.patch={self.patch}"
            )

    def position_ids(self, rows: int, columns: int) -> Tensor:
        """Return which of the learnt positions each patch has, (rows * columns,), as the tower itself would say.

        A tower of any shape spreads the patches of a picture over its square of positions. It does so in float32,
        whose rounding moves some of them (first in a square of 19) and is part of what it has learnt.
        """
        if self.kind.any_shape:
            bounds = torch.arange(1 / self.side, 1.0, 1 / self.side)
            parts = [torch.arange(n, dtype=torch.float32) * (1.0 / torch.tensor(n)) for n in (rows, columns)]
            down, across = (torch.bucketize(part, bounds, right=True) for part in parts)
        else:
            down, across = torch.arange(rows), torch.arange(columns)
        return (down[:, None] * self.side + across[None, :]).flatten()

    def tower(self) -> nn.Module:
        """Return the tower with its weights, in float32. Raises InputError."""
        try:
            with torch.device("meta"):
                tower: nn.Module = self._tower_class(self.config)
            tower.load_state_dict(self._weights(list(tower.state_dict())), assign=True)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.folder}: got {reason}, expected weights that fit its config.json") from error
        return tower

    def _read_config(self) -> Any:
        """Return the tower's part of config.json, with the defaults that transformers has for what it leaves out."""
        from huggingface_hub.errors import StrictDataclassError

        try:
            config = self._tower_class.config_class.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.folder / 'config.json'}: got {reason}, expected a {self.kind.name}'s") from error
        sizes = (config.image_size, config.patch_size, config.num_channels)
        if not all(isinstance(size, int) for size in sizes) or not 0 < sizes[1] <= sizes[0] or sizes[2] != 3:
            raise InputError(
                f"{self.folder / 'config.json'}: got image_size, patch_size, num_channels {sizes}, "
                "expected a patch that fits into the picture, and 3 channels"
            )
        config.vision_use_head = False  # SigLIP's pooling: the patches are what is looked at here
        return config

    def _weights(self, names: list[str]) -> dict[str, Tensor]:
        """Return the tensors called `names` in the tower, wherever in the folder's model the tower is."""
        from safetensors import SafetensorError, safe_open

        weights: dict[str, Tensor] = {}
        path = self.folder
        try:
            with contextlib.ExitStack() as stack:
                holders: dict[str, Any] = {}
                for path in self._weight_files():
                    opened = stack.enter_context(safe_open(path, framework="pt"))
                    holders |= dict.fromkeys(opened.keys(), opened)
                starts = [name.removesuffix(FIRST_WEIGHT) for name in holders if name.endswith(FIRST_WEIGHT)]
                if len(starts) != 1:
                    raise InputError(f"{self.folder}: got {len(starts)} tensors named *{FIRST_WEIGHT}, expected one")
                for name in names:
                    if starts[0] + name not in holders:
                        raise InputError(f"{self.folder}: got no tensor {starts[0] + name!r}, expected one")
                    weights[name] = self._checked(starts[0] + name, holders[starts[0] + name])
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: got {error}, expected whole safetensors") from error
        return weights

    def _weight_files(self) -> list[Path]:
        whole = self.folder / "model.safetensors"
        files = [whole] if whole.is_file() else sorted(self.folder.glob("model-*-of-*.safetensors"))
        if not files:
            there = sorted(path.name for path in self.folder.iterdir())
            raise InputError(f"{self.folder}: got {there}, expected model.safetensors; save the model as safetensors")
        return files

    def _checked(self, name: str, holder: Any) -> Tensor:
        """Return tensor `name` of an open file as float32, in memory of its own."""
        tensor: Tensor = holder.get_tensor(name)
        if tensor.dtype not in FLOATS or not torch.isfinite(tensor).all():
            kind = f"of {tensor.dtype}" if tensor.dtype not in FLOATS else "with values that are not finite"
            raise InputError(f"{self.folder}: got {name!r} {kind}, expected finite ones of {list(map(str, FLOATS))}")
        return tensor.to(torch.float32, copy=True)


class PretrainedPatches(nn.Module):
    """Patch tokens of a vision tower, projected to d. Frozen, it stays as it is and only the projection is trained.

    The tower's own embedding is left out: it works out at run time which position a patch has, and that cannot be
    exported. Here that is a table, since all pictures have one size.
    """

    mean: Tensor
    std: Tensor
    position_ids: Tensor

    def __init__(
        self, folder: Path, height: int, image_width: int, patch: int, width: int, *, trained: bool = False
    ) -> None:
        """height, image_width: pixels; width: d; trained: the tower is trained, too. Raises InputError, ConfigError."""
        super().__init__()
        source = VisionFolder(folder)
        source.check_size(height, image_width, patch)
        tower: Any = source.tower()
        self.embed, self.positions = tower.embeddings.patch_embedding, tower.embeddings.position_embedding
        self.encoder, self.norm = tower.encoder, tower.post_layernorm
        self.trained = trained
        self.requires_grad_(trained)
        self.project = nn.Linear(source.config.hidden_size, width)
        self.factor = source.pixels.factor
        self.register_buffer("mean", torch.tensor(source.pixels.mean))
        self.register_buffer("std", torch.tensor(source.pixels.std))
        self.register_buffer("position_ids", source.position_ids(height // patch, image_width // patch))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, H, W, 3) uint8 or float 0..255. Returns (B, rows * columns, d)."""
        return self.project(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """images: (B, H, W, 3) uint8 or float 0..255. Returns what the tower says: (B, rows * columns, its width)."""
        x = (images.float() * self.factor - self.mean) / self.std
        x = self.embed(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2) + self.positions(self.position_ids)
        features: Tensor = self.norm(self.encoder(inputs_embeds=x, attention_mask=None).last_hidden_state)
        return features

    def train(self, mode: bool = True) -> "PretrainedPatches":
        """As every module, but a frozen tower is never in training."""
        super().train(mode)
        self.encoder.train(mode and self.trained)
        return self


def _read_pixels(folder: Path) -> PixelScale:
    path = next((folder / name for name in PIXELS if (folder / name).is_file()), None)
    if path is None:
        return PixelScale()
    said = _read_json(path)
    said = said.get("image_processor", said)
    default = PixelScale()
    try:
        factor = said.get("rescale_factor", default.factor) if said.get("do_rescale", True) else 1.0
        if not said.get("do_normalize", True):
            return PixelScale(float(factor), (0.0,) * 3, (1.0,) * 3)
        mean, std = said.get("image_mean", default.mean), said.get("image_std", default.std)
        return PixelScale(float(factor), tuple(map(float, mean)), tuple(map(float, std)))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: got {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: got {error}, expected JSON") from error
    if not isinstance(said, dict):
        raise InputError(f"{path}: got {type(said).__name__}, expected a mapping")
    return said
