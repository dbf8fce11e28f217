"""Calibrations as ROS's camera_calibration writes them: a camera_info YAML file."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.intrinsics import Intrinsics
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.robot.description import load_yaml

TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix as such files have it, row after row. Numbers may be text: PyYAML reads 1e-05 as such."""

    rows: int
    cols: int
    data: tuple[Any, ...]

    def array(self, where: str) -> FloatArray:
        """Return it, (rows, cols). Raises ConfigError."""
        try:
            numbers = [math.nan if isinstance(v, bool) else float(v) for v in self.data]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: got {error}, expected numbers") from error
        if len(numbers) != self.rows * self.cols or not all(map(math.isfinite, numbers)):
            got = f"{self.rows}x{self.cols} and {numbers}"
            raise ConfigError(f"{where}: got {got}, expected as many finite numbers")
        return np.array(numbers).reshape(self.rows, self.cols)


@dataclass(frozen=True, kw_only=True)
class CameraInfoFile:
    """The file, key by key."""

    image_width: int
    image_height: int
    camera_name: str
    camera_matrix: Matrix
    distortion_model: str
    distortion_coefficients: Matrix
    rectification_matrix: Matrix
    projection_matrix: Matrix


def load_intrinsics(path: Path) -> Intrinsics:
    """Read a calibration. Raises ConfigError for unknown keys, NaN, wrong sizes, fisheye and stereo cameras."""
    file = from_mapping(CameraInfoFile, load_yaml(path), str(path))
    R = file.rectification_matrix.array(f"{path}: rectification_matrix")
    P = file.projection_matrix.array(f"{path}: projection_matrix")
    if R.shape != (3, 3) or not np.abs(R - np.eye(3)).max() <= TOLERANCE:
        raise ConfigError(f"{path}: got rectification_matrix {R.tolist()}, expected that of a single camera: one")
    if P.shape != (3, 4) or not np.abs(P[:, 3]).max() <= TOLERANCE:
        raise ConfigError(f"{path}: got projection_matrix {P.tolist()}, expected (3, 4) of a single camera")
    try:
        return Intrinsics(
            width=file.image_width,
            height=file.image_height,
            K=file.camera_matrix.array(f"{path}: camera_matrix"),
            distortion=file.distortion_coefficients.array(f"{path}: distortion_coefficients").ravel(),
            model=file.distortion_model,
        )
    except (ConfigError, ShapeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def save_intrinsics(path: Path, lens: Intrinsics, name: str, notes: Sequence[str] = ()) -> None:
    """Write a calibration, whole or not at all. notes: comments at its top. Raises ConfigError."""
    P = np.column_stack([lens.K, np.zeros(3)])
    data = {
        "image_width": lens.width,
        "image_height": lens.height,
        "camera_name": name,
        "camera_matrix": _matrix(lens.K),
        "distortion_model": lens.model,
        "distortion_coefficients": _matrix(lens.distortion[None]),
        "rectification_matrix": _matrix(np.eye(3)),
        "projection_matrix": _matrix(P),
    }
    text = "".join(f"# {note}\n" for note in notes) + yaml.safe_dump(data, sort_keys=False, default_flow_style=None)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: got {error}, expected a file that can be written") from error


def _matrix(values: FloatArray) -> dict[str, Any]:
    rows, cols = values.shape
    return {"rows": rows, "cols": cols, "data": [float(v) for v in values.ravel()]}
