"""Where points appear in a camera's picture, and where on a plane pixels lie: a pinhole without distortion."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import CameraConfig


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A camera somewhere. position: (3,) m; R_world_optical: (3, 3), columns right, down and ahead (REP-103 optical).

    Pixels are (column, row), with (0, 0) the outer corner of the picture's first pixel, after Hartley and Zisserman,
    Multiple View Geometry, 6.1, with square pixels and the optical axis through the middle.
    """

    camera: CameraConfig
    position: FloatArray
    R_world_optical: FloatArray

    @cached_property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.camera.height / 2 / math.tan(math.radians(self.camera.fovy_deg) / 2)

    def pixels(self, points: FloatArray) -> FloatArray:
        """Return where points (..., 3) m, world frame, appear: (..., 2); NaN for what lies behind the camera."""
        local = (points - self.position) @ self.R_world_optical
        return self.shown(np.where(local[..., 2:] > 0.0, local, np.nan))

    def shown(self, local: FloatArray) -> FloatArray:
        """Return where points (..., 3) m ahead of the camera, in its optical frame, appear: (..., 2)."""
        return local[..., :2] * (self.focal_px / local[..., 2:]) + self._middle

    def shares(self, points: FloatArray) -> FloatArray:
        """Return where points (..., 3) m appear as shares of the picture's width and height: (..., 2), 0..1 inside."""
        return self.pixels(points) / (self.camera.width, self.camera.height)

    def on_plane(self, pixels: FloatArray, z: float) -> FloatArray:
        """Return the points (..., 3) m of the level plane at height `z` m that appear at `pixels` (..., 2).

        NaN where the plane is not ahead of the camera.
        """
        across = (pixels - self._middle) / self.focal_px
        rays = np.concatenate([across, np.ones_like(across[..., :1])], axis=-1) @ self.R_world_optical.T
        down = np.where(rays[..., 2:] != 0.0, rays[..., 2:], np.nan)
        along = (z - self.position[2]) / down
        return self.position + np.where(along > 0.0, along, np.nan) * rays

    @cached_property
    def _middle(self) -> FloatArray:
        return np.array([self.camera.width, self.camera.height]) / 2


def look_at(position: npt.ArrayLike, target: npt.ArrayLike, roll_rad: float = 0.0) -> FloatArray:
    """Return R_world_optical (3, 3) of a camera at `position` with `target` (both (3,) m) in its middle.

    The picture's upper edge is level; roll_rad: how far the camera is then turned clockwise about its axis.
    """
    ahead = np.subtract(target, position)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    c, s = math.cos(roll_rad), math.sin(roll_rad)
    return np.column_stack([c * right + s * down, c * down - s * right, ahead])
