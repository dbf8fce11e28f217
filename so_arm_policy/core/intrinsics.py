"""How a real lens maps the world to pixels, and what cropping and resizing a picture make of that."""

import math
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray, frozen
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import CameraConfig

# Distortion models of sensor_msgs/CameraInfo that are OpenCV's, and how many coefficients each has.
MODELS = {"plumb_bob": 5, "rational_polynomial": 8}


@dataclass(frozen=True, kw_only=True, eq=False)
class Intrinsics:
    """A lens, for pictures of one size. K: (3, 3) pixels, the middle of the first pixel is at (0, 0).

    distortion: coefficients in OpenCV's order (k1 k2 p1 p2 k3 ...), as many as `model` has.
    """

    width: int
    height: int
    K: FloatArray
    distortion: FloatArray
    model: str = "plumb_bob"

    def __post_init__(self) -> None:
        """Refuse what is no camera. Raises ConfigError or ShapeError."""
        if not (0 < self.width <= 8192 and 0 < self.height <= 8192):
            raise ConfigError(f"intrinsics: got size {self.width}x{self.height}, expected 1..8192 pixels")
        if self.model not in MODELS:
            raise ConfigError(f"intrinsics: got distortion model {self.model!r}, expected one of {sorted(MODELS)}")
        object.__setattr__(self, "K", frozen(self.K, (3, 3), "camera matrix"))
        object.__setattr__(self, "distortion", frozen(self.distortion, (MODELS[self.model],), "distortion"))
        (fx, skew, cx), (zero, fy, cy), last = self.K.tolist()
        if not (fx > 0.0 and fy > 0.0 and skew == zero == 0.0 and last == [0.0, 0.0, 1.0]):
            raise ConfigError(f"camera matrix: got {self.K.tolist()}, expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        if not (0.0 <= cx < self.width and 0.0 <= cy < self.height):
            got = f"its middle at ({cx:.1f}, {cy:.1f})"
            raise ConfigError(f"camera matrix: got {got}, expected it in the picture of {self.width}x{self.height}")

    @property
    def fovy_deg(self) -> float:
        """Vertical field of view of a pinhole with this focal length, degrees."""
        return 2.0 * math.degrees(math.atan(self.height / 2.0 / float(self.K[1, 1])))

    def cropped(self, x: int, y: int, width: int, height: int) -> "Intrinsics":
        """Return those of the part of the picture whose first pixel is (x, y). Raises ConfigError."""
        check_crop((x, y, width, height), self.width, self.height)
        moved = self.K - np.array([[0.0, 0.0, x], [0.0, 0.0, y], [0.0, 0.0, 0.0]])
        return replace(self, width=width, height=height, K=moved)

    def resized(self, width: int, height: int) -> "Intrinsics":
        """Return those of the picture in another size: its edges stay where they are, not the middles of its pixels."""
        x, y = width / self.width, height / self.height
        scale = np.array([[x, 0.0, (x - 1.0) / 2.0], [0.0, y, (y - 1.0) / 2.0], [0.0, 0.0, 1.0]])
        return replace(self, width=width, height=height, K=scale @ self.K)


def pinhole_of(camera: CameraConfig) -> Intrinsics:
    """Return the lens that the robot's description promises: square pixels, axis in the middle, no distortion."""
    focal = camera.height / 2.0 / math.tan(math.radians(camera.fovy_deg) / 2.0)
    K = [[focal, 0.0, (camera.width - 1) / 2.0], [0.0, focal, (camera.height - 1) / 2.0], [0.0, 0.0, 1.0]]
    return Intrinsics(width=camera.width, height=camera.height, K=np.array(K), distortion=np.zeros(5))


def check_crop(crop: tuple[int, int, int, int], width: int, height: int) -> None:
    """Refuse x, y, width, height that are no part of a picture of `width` x `height`. Raises ConfigError."""
    x, y, w, h = crop
    if not (min(x, y) >= 0 and 0 < w <= width - x and 0 < h <= height - y):
        raise ConfigError(f"crop: got {x},{y},{w},{h}, expected X,Y,WIDTH,HEIGHT within {width}x{height}")
