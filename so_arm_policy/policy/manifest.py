"""The manifest of a policy bundle: what its graphs take and give, for which robot, made how."""

import dataclasses
import json
import math
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.timegrid import NS

FORMAT = 2
FAMILIES = ("act", "flow", "diffusion", "autoregressive")
FILE_NAME = "manifest.json"
MAX_BYTES = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Statistics baked into the graphs, (n,) rad each; here for people and tests, the runtime never applies them."""

    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    action_std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle promises. Raises BundleError when it promises something that cannot be.

    id: names exactly this policy; a context carries it. joints: column order of every joint array. units: "rad".
    words: every word an instruction may hold. max_tokens: L, tokens an instruction is padded to.
    horizon: H rows of a chunk, dt_s apart, of which the first `prefix` rows repeat what is already committed.
    context_shape: (layers, 2, heads, tokens, head_size) of the keys and values. infer_every: ticks between inferences.
    noise_shape, noise_std: what a chunk is made from, normally distributed; () where the graph takes no noise.
    passes: how often the network runs for one chunk (denoising steps, tokens); unrolled in the graph.
    files: name -> sha256 of every other file of the bundle. training, scores: how it was made and what it reached.
    """

    id: str
    family: str
    tasks: tuple[str, ...]
    robot: str
    joints: tuple[str, ...]
    units: str
    cameras: tuple[str, ...]
    image_height: int
    image_width: int
    max_tokens: int
    words: tuple[str, ...]
    horizon: int
    dt_s: float
    prefix: int
    passes: int
    noise_shape: tuple[int, ...]
    noise_std: float
    context_shape: tuple[int, int, int, int, int]
    infer_every: int
    normalisation: Normalisation
    files: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse what no runtime here could run."""
        self._expect(self.format == FORMAT, "format", FORMAT)
        self._expect(bool(self.id.strip()), "id", "a name")
        self._expect(self.family in FAMILIES, "family", f"one of {list(FAMILIES)}")
        self._expect(self.units == "rad", "units", "'rad'")
        for name in ("tasks", "joints", "cameras", "words"):
            names = getattr(self, name)
            self._expect(
                bool(names) and len(set(names)) == len(names) and all(names), name, "different non-empty names"
            )
        for name, most in (("image_height", 4096), ("image_width", 4096), ("max_tokens", 1024), ("horizon", 1024)):
            self._expect(0 < getattr(self, name) <= most, name, f"1..{most}")
        for name, most in (("passes", 10_000), ("infer_every", 120)):
            self._expect(0 < getattr(self, name) <= most, name, f"1..{most}")
        self._expect(0.0 < self.dt_s <= 1.0, "dt_s", "0 < dt_s <= 1")
        self._expect(0.0 <= self.noise_std <= 10.0, "noise_std", "0..10")
        noise_fits = all(size > 0 for size in self.noise_shape) and math.prod(self.noise_shape) <= 1 << 20
        self._expect(noise_fits, "noise_shape", "positive sizes")
        self._expect(0 < self.prefix < self.horizon, "prefix", f"1..{self.horizon - 1}, less than the horizon")
        sizes_fit = all(0 < size <= 65536 for size in self.context_shape) and math.prod(self.context_shape) <= 1 << 24
        self._expect(sizes_fit and self.context_shape[1] == 2, "context_shape", "(layers, 2, heads, tokens, head_size)")
        self._check_normalisation()
        for name, digest in self.files.items():
            plain = name == Path(name).name and name not in ("", ".", "..", FILE_NAME)
            self._expect(plain and SHA256.fullmatch(digest) is not None, "files", "plain file name -> 64 hex digits")

    @property
    def dt_ns(self) -> int:
        """Time between the rows of a chunk, nanoseconds."""
        return round(self.dt_s * NS)

    def _check_normalisation(self) -> None:
        for f in dataclasses.fields(self.normalisation):
            values = getattr(self.normalisation, f.name)
            fits = len(values) == len(self.joints) and all(map(math.isfinite, values))
            if f.name.endswith("_std"):
                fits = fits and all(value > 0.0 for value in values)
            if not fits:
                kind = "positive finite" if f.name.endswith("_std") else "finite"
                raise BundleError(
                    f"manifest: got normalisation.{f.name} {values}, expected {len(self.joints)} {kind} numbers"
                )

    def _expect(self, ok: bool, name: str, expected: object) -> None:
        if not ok:
            raise BundleError(f"manifest: got {name} {getattr(self, name)!r}, expected {expected}")


def read_manifest(folder: Path) -> Manifest:
    """Read `folder`/manifest.json strictly. Raises BundleError that names the file."""
    path = folder / FILE_NAME
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BundleError(f"{path}: got {size} bytes, expected at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_double_keys)
        return from_mapping(Manifest, data, "manifest")
    except OSError as error:
        raise BundleError(f"{path}: got {error.strerror}, expected the manifest of a bundle") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: got {error}, expected JSON in UTF-8") from error
    except (ConfigError, BundleError) as error:
        raise BundleError(f"{path}: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` as `folder`/manifest.json, whole or not at all.

    Raises BundleError when it cannot be written, or could not be read back.
    """
    try:
        text = json.dumps(to_mapping(manifest), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise BundleError(f"manifest: got {error}, expected plain finite JSON values") from error
    partial = folder / f".{FILE_NAME}.{os.getpid()}.partial"
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / FILE_NAME)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BundleError(f"{folder / FILE_NAME}: got {error.strerror or error}, expected to write it") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        double = sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"key {double} twice")
    return mapping
