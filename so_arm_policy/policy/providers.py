"""Where an inference runs: onnxruntime's execution providers by our names, and proof that one is really there."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnxruntime as ort

from so_arm_policy.core.errors import ConfigError

# onnxruntime's name of each; the first that was asked for must be the first that a session has.
PROVIDERS = MappingProxyType(
    {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
)
HINT = "install onnxruntime-gpu instead of onnxruntime (docs/deployment.md)"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where to run graphs. engine_cache: folder of TensorRT's engines; empty: `engines` in the user's cache folder."""

    name: str = "cpu"
    engine_cache: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that is none of PROVIDERS. Raises ConfigError."""
        if self.name not in PROVIDERS:
            raise ConfigError(f"provider: got {self.name!r}, expected one of {list(PROVIDERS)}")

    @property
    def ort_name(self) -> str:
        """What onnxruntime calls it."""
        return PROVIDERS[self.name]

    def engine_folder(self, model: bytes) -> Path:
        """Return where the engines of `model` lie: those of another model or onnxruntime are never taken for them."""
        root = Path(self.engine_cache) if self.engine_cache else user_cache() / "engines"
        return root.expanduser() / f"{hashlib.sha256(model).hexdigest()[:16]}-ort{ort.__version__}"

    def ort_providers(self, model: bytes) -> list[tuple[str, dict[str, Any]]]:
        """Return what a session is to be given, best first; makes the engine folder. Raises ConfigError."""
        cpu: tuple[str, dict[str, Any]] = (PROVIDERS["cpu"], {})
        # TF32 rounds factors to ten bits, which is coarser than what the golden outputs allow.
        cuda: tuple[str, dict[str, Any]] = (PROVIDERS["cuda"], {"use_tf32": "0"})
        if self.name == "cpu":
            return [cpu]
        if self.name == "cuda":
            return [cuda, cpu]
        folder = self.engine_folder(model)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"engine_cache: got {folder} ({error.strerror}), expected a folder to write to"
            ) from error
        # The same for TensorRT, which has no option for it; it is read when the first session is made.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        options = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
        return [(self.ort_name, options), cuda, cpu]


CPU = Provider()


def user_cache() -> Path:
    """Return this package's folder for what can be made again: in $XDG_CACHE_HOME, or else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "so_arm_policy"


def check_offered(provider: Provider) -> None:
    """Raise ConfigError unless this onnxruntime was built with the provider; a yes does not mean that it works."""
    offered = ort.get_available_providers()
    if provider.ort_name not in offered:
        known = [name for name, ort_name in PROVIDERS.items() if ort_name in offered]
        raise ConfigError(f"provider: got {provider.name!r}, expected one of {known} of this onnxruntime; {HINT}")


def check_given(provider: Provider, got: Sequence[str], where: str) -> None:
    """Raise ConfigError unless a session's providers, `got`, begin with the one that was asked for.

    onnxruntime lists CUDA and TensorRT where it was built with them, and takes the CPU without a word where their
    libraries or the GPU are missing.
    """
    if list(got[:1]) != [provider.ort_name]:
        raise ConfigError(
            f"{where}: got providers {list(got)}, expected {provider.ort_name!r} first: "
            f"provider {provider.name!r} has no GPU here, or its libraries are missing"
        )
