"""A policy's monitors of itself, in a bundle's monitors.npz: `so-arm calibrate` makes them, System 1 applies them.

What they say are shares of thresholds that successful runs rarely pass; what to do about it is the supervisor's to say.
"""

import hashlib
import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.values import Chunk, Context
from so_arm_policy.policy.appearance import STATISTICS, FamiliarAppearance, Numbers
from so_arm_policy.policy.disagreement import disagreement_rad
from so_arm_policy.policy.manifest import Manifest, read_manifest, write_manifest
from so_arm_policy.policy.novelty import Familiar, features
from so_arm_policy.policy.npz import read_npz

FILE_NAME = "monitors.npz"
NOTES = "monitors"  # in a manifest's training: how they were made
FORMAT = 2
BEFORE_LOOKS = 1  # the format that knew nothing of pictures; what it says holds still
MAX_BYTES = 16 << 20
MOST = 1e6  # a share above this says no more
SINGLES = {"format": np.int64, "rest": np.float32, "novelty_threshold": np.float64, "disagreement_rad": np.float64}
NAMES = ("mean", "axes", "spread", *SINGLES)
OF_LOOKS = ("looks_mean", "looks_whiten", "looks_thresholds")


@dataclass(frozen=True, eq=False)
class Monitors:
    """familiar: what was seen in successful runs. novelty_threshold: distance from it; disagreement_rad: rms, rad.

    looks: how pictures looked in them, None where that was never measured; looks_thresholds: distances, (cameras,).
    """

    familiar: Familiar
    novelty_threshold: float
    disagreement_rad: float
    looks: FamiliarAppearance | None = None
    looks_thresholds: FloatArray | None = None

    def novelty(self, context: Context) -> float:
        """Return how unlike what was seen in successful runs `context` is, as a share of the threshold."""
        return _share(self.familiar.distance(features(context.keys_values)), self.novelty_threshold)

    def picture_novelty(self, seen: Numbers) -> float:
        """Return how unlike those of successful runs pictures look, as a share of the threshold; 0 where not measured.

        seen: (cameras, STATISTICS), see `appearance`.
        """
        if self.looks is None or self.looks_thresholds is None:
            return 0.0
        return _share(float((self.looks.distances(seen) / self.looks_thresholds).max()), 1.0)

    def disagreement(self, positions: FloatArray, start_ns: int, prefix: int, before: Chunk) -> float:
        """Return how much a chunk differs from `before`, as a share of the threshold; see `disagreement_rad`."""
        return _share(disagreement_rad(positions, start_ns, prefix, before), self.disagreement_rad)

    def to_bytes(self) -> bytes:
        """Return the content of monitors.npz."""
        arrays: dict[str, Any] = {
            "format": np.int64(BEFORE_LOOKS if self.looks is None else FORMAT),
            "mean": self.familiar.mean,
            "axes": self.familiar.axes,
            "spread": self.familiar.spread,
            "rest": np.float32(self.familiar.rest),
            "novelty_threshold": np.float64(self.novelty_threshold),
            "disagreement_rad": np.float64(self.disagreement_rad),
        }
        if self.looks is not None:
            values = self.looks.mean, self.looks.whiten, self.looks_thresholds
            arrays |= dict(zip(OF_LOOKS, values, strict=True))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()


def raw_monitors(manifest: Manifest) -> Monitors:
    """Return monitors whose disagreement is in rad, for calibration; what they say of novelty means nothing."""
    _, _, heads, tokens, head_size = manifest.context_shape
    d = heads * tokens * head_size
    zeros = np.zeros(d, np.float32)
    unit = Familiar(zeros, np.zeros((0, d), np.float32), np.zeros(0, np.float32), np.float32(1.0))
    return Monitors(unit, novelty_threshold=1.0, disagreement_rad=1.0)


def read_monitors(data: bytes, manifest: Manifest) -> Monitors:
    """Return the monitors in the bytes of monitors.npz, made for a policy as `manifest` says. Raises BundleError."""
    arrays = read_npz(data, FILE_NAME, NAMES, MAX_BYTES)
    for name, kind in SINGLES.items():
        _expect(arrays, name, (), kind)
    if arrays["format"] not in (BEFORE_LOOKS, FORMAT):
        raise BundleError(f"{FILE_NAME}: got format {arrays['format']}, expected {FORMAT}")
    _, _, heads, tokens, head_size = manifest.context_shape
    d, k = heads * tokens * head_size, len(arrays["spread"]) if arrays["spread"].ndim else 0
    for name, shape in (("mean", (d,)), ("axes", (k, d)), ("spread", (k,))):
        _expect(arrays, name, shape, np.float32)
    for name in ("spread", "rest", "novelty_threshold", "disagreement_rad"):
        if not (arrays[name] > 0.0).all():
            raise BundleError(f"{FILE_NAME}: got {name} {arrays[name].tolist()}, expected more than 0")
    monitors = Monitors(
        familiar=Familiar(arrays["mean"], arrays["axes"], arrays["spread"], np.float32(arrays["rest"])),
        novelty_threshold=float(arrays["novelty_threshold"]),
        disagreement_rad=float(arrays["disagreement_rad"]),
    )
    return monitors if arrays["format"] == BEFORE_LOOKS else _with_looks(monitors, data, manifest)


def keep_monitors(folder: Path, monitors: Monitors, notes: dict[str, Any], bundle_id: str | None = None) -> Manifest:
    """Write `monitors` into the bundle in `folder`, with `notes` on how they were made. Raises BundleError.

    bundle_id: of the policy they were made for; another one may lie in the folder by now. The manifest first forgets
    older monitors, and names the new ones last: whenever this ends, the bundle can be loaded.
    """
    manifest = read_manifest(folder)
    if bundle_id not in (None, manifest.id):
        raise BundleError(f"{folder}: got monitors of bundle {bundle_id!r}, expected those of {manifest.id!r}")
    others = {name: digest for name, digest in manifest.files.items() if name != FILE_NAME}
    data = monitors.to_bytes()
    read_monitors(data, manifest)
    if FILE_NAME in manifest.files:
        write_manifest(folder, replace(manifest, files=others))
    partial = folder / f".{FILE_NAME}.{os.getpid()}.partial"
    try:
        partial.write_bytes(data)
        partial.replace(folder / FILE_NAME)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BundleError(f"{folder / FILE_NAME}: got {error.strerror or error}, expected to write it") from error
    named = replace(
        manifest,
        files=others | {FILE_NAME: hashlib.sha256(data).hexdigest()},
        training=manifest.training | {NOTES: notes},
    )
    write_manifest(folder, named)
    return named


def _with_looks(monitors: Monitors, data: bytes, manifest: Manifest) -> Monitors:
    """Return `monitors` with what the file says of pictures too."""
    arrays = read_npz(data, FILE_NAME, OF_LOOKS, MAX_BYTES)
    cameras = len(manifest.cameras)
    shapes = (cameras, STATISTICS), (cameras, STATISTICS, STATISTICS), (cameras,)
    for name, shape in zip(OF_LOOKS, shapes, strict=True):
        _expect(arrays, name, shape, np.float64)
    mean, whiten, thresholds = (arrays[name] for name in OF_LOOKS)
    if not (thresholds > 0.0).all():
        raise BundleError(f"{FILE_NAME}: got {OF_LOOKS[-1]} {thresholds.tolist()}, expected more than 0")
    return replace(monitors, looks=FamiliarAppearance(mean, whiten), looks_thresholds=thresholds)


def _expect(arrays: dict[str, Any], name: str, shape: tuple[int, ...], kind: type) -> None:
    got = arrays[name]
    if got.shape != shape or got.dtype != kind:
        raise BundleError(f"{FILE_NAME}: got {name} {got.dtype} {got.shape}, expected {np.dtype(kind)} {shape}")
    if not np.isfinite(got).all():
        raise BundleError(f"{FILE_NAME}: got {name} with values that are not finite, expected finite ones")


def _share(score: float, threshold: float) -> float:
    """Return the share as a float32, which is what a message carries: live as in lockstep. Not finite is the most."""
    share = score / threshold
    return float(np.float32(share if share < MOST else MOST))
