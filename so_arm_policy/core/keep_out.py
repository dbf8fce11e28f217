"""Volumes that no part of an arm may enter: boxes and spheres that stand still in the world."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class KeepOutBox:
    """A box. center_xyz_m: world frame; half_sizes_m: along its own x, y, z; yaw_rad: how it is turned about z."""

    name: str
    center_xyz_m: tuple[float, float, float]
    half_sizes_m: tuple[float, float, float]
    yaw_rad: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no box. Raises ConfigError."""
        _check(self.name, (*self.center_xyz_m, self.yaw_rad), self.half_sizes_m)


@dataclass(frozen=True, kw_only=True)
class KeepOutSphere:
    """A sphere. center_xyz_m: world frame."""

    name: str
    center_xyz_m: tuple[float, float, float]
    radius_m: float

    def __post_init__(self) -> None:
        """Refuse what is no sphere. Raises ConfigError."""
        _check(self.name, self.center_xyz_m, (self.radius_m,))


KeepOut = KeepOutBox | KeepOutSphere


@dataclass(frozen=True, kw_only=True)
class KeepOuts:
    """All volumes, by shape."""

    boxes: tuple[KeepOutBox, ...] = ()
    spheres: tuple[KeepOutSphere, ...] = ()

    @property
    def all(self) -> tuple[KeepOut, ...]:
        """Every one of them."""
        return (*self.boxes, *self.spheres)


def _check(name: str, pose: Sequence[float], sizes: Sequence[float]) -> None:
    if not name.strip():
        raise ConfigError(f"keep-out: got name {name!r}, expected one that is not empty")
    if not all(math.isfinite(value) for value in pose):
        raise ConfigError(f"keep-out {name!r}: got place {tuple(pose)}, expected finite numbers")
    if not all(0.0 < size < math.inf for size in sizes):
        raise ConfigError(f"keep-out {name!r}: got size {tuple(sizes)}, expected positive finite numbers")
