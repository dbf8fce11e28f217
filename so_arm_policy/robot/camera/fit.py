"""From what a camera gives to the picture that the robot's description promises: cropped, rectified, resized."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.intrinsics import Intrinsics, check_crop, pinhole_of
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.values import Image

SHAPE_TOLERANCE = 0.01
CENTRE = "centre"
LEAST_SEEN = 0.99  # of the pixels of a rectified picture that the camera must see
Crop = tuple[int, int, int, int]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FitOptions:
    """crop: "" (pictures must have the camera's shape), "centre", or "X,Y,WIDTH,HEIGHT" in pixels of the picture taken.

    rectify: draw the picture anew as the description's pinhole would take it; needs a calibration.
    """

    crop: str = ""
    rectify: bool = False

    def __post_init__(self) -> None:
        """Refuse text that is no crop. Raises ConfigError."""
        if self.crop not in ("", CENTRE) and not _numbers(self.crop):
            raise ConfigError(f"crop: got {self.crop!r}, expected '', 'centre' or 'X,Y,WIDTH,HEIGHT'")
        if self.crop and self.rectify:
            raise ConfigError(f"crop: got {self.crop!r} with rectify, expected one of them")


class PictureFit:
    """Brings pictures into a camera's size. lens: that of the pictures taken; None: what the description says.

    intrinsics: of the pictures that come out.
    """

    def __init__(self, camera: CameraConfig, lens: Intrinsics | None = None, options: FitOptions | None = None) -> None:
        """Raises ConfigError where rectified pictures would show what the camera does not see."""
        self._camera, self._lens, self._options = camera, lens, options or FitOptions()
        self._maps: tuple[Map, Map] | None = None
        self.intrinsics = pinhole_of(camera)
        if self._options.rectify:
            if lens is None:
                raise ConfigError(f"camera {camera.name!r}: got rectify without a calibration, expected its file too")
            self._maps = rectifying_maps(lens, camera)
        elif lens is not None:
            x, y, width, height = self._part(lens.width, lens.height)
            self.intrinsics = lens.cropped(x, y, width, height).resized(camera.width, camera.height)

    def __call__(self, bgr: Image) -> Image:
        """Return the picture (height, width, 3) uint8 RGB in the camera's size. Raises DeviceError."""
        height, width = bgr.shape[:2]
        lens, camera = self._lens, self._camera
        if lens is not None and (width, height) != (lens.width, lens.height):
            got = f"pictures of {width}x{height}"
            raise DeviceError(f"got {got}, expected {lens.width}x{lens.height} as the calibration has it")
        if self._maps is not None:
            bgr = np.asarray(cv2.remap(bgr, *self._maps, cv2.INTER_LINEAR), dtype=np.uint8)
        else:
            try:
                x, y, w, h = self._part(width, height)
            except ConfigError as error:
                raise DeviceError(str(error)) from error
            bgr = bgr[y : y + h, x : x + w]
        if bgr.shape[:2] != (camera.height, camera.width):
            bgr = np.asarray(cv2.resize(bgr, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def _part(self, width: int, height: int) -> Crop:
        """Return which part of a picture is used. Raises ConfigError."""
        camera, crop = self._camera, self._options.crop
        if crop == CENTRE:
            # The largest part of the camera's shape.
            w = min(width, round(height * camera.width / camera.height))
            h = min(height, round(width * camera.height / camera.width))
            return ((width - w) // 2, (height - h) // 2, w, h)
        x, y, w, h = _numbers(crop) or (0, 0, width, height)
        check_crop((x, y, w, h), width, height)
        if abs(w * camera.height / (h * camera.width) - 1.0) > SHAPE_TOLERANCE:
            got = f"pictures of {w}x{h}"
            raise ConfigError(f"got {got}, expected {camera.width}x{camera.height} or the same shape (see crop)")
        return (x, y, w, h)


def rectifying_maps(lens: Intrinsics, camera: CameraConfig) -> tuple[Map, Map]:
    """Return cv2.remap's maps from pictures of `lens` to those of the description's pinhole, a whole multiple of it.

    Raises ConfigError where the lens does not see what the pinhole shows.
    """
    ideal = pinhole_of(camera)
    # Large enough that no pixel of the lens is passed over: what is too large is then averaged.
    fine = max(int(np.ceil(lens.K[0, 0] / ideal.K[0, 0])), 1)
    K = ideal.resized(fine * camera.width, fine * camera.height).K
    size = (fine * camera.width, fine * camera.height)
    x, y = cv2.initUndistortRectifyMap(lens.K, lens.distortion, np.eye(3), K, size, cv2.CV_32FC1)
    seen = float(((x > -1.0) & (x < lens.width) & (y > -1.0) & (y < lens.height)).mean())
    if not seen >= LEAST_SEEN:
        raise ConfigError(
            f"camera {camera.name!r}: got a lens that sees {100 * seen:.0f} % of the description's picture, expected "
            f"{100 * LEAST_SEEN:.0f} %; lower fovy_deg {camera.fovy_deg:g}, that of the lens is {lens.fovy_deg:.1f}"
        )
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _numbers(crop: str) -> Crop | None:
    parts = crop.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        return None
    x, y, width, height = (int(part) for part in parts)
    return (x, y, width, height)
