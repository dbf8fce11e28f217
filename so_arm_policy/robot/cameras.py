"""Pictures from OpenCV: a V4L2 device, a video file or a folder of images. No ROS here."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.values import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
SHAPE_TOLERANCE = 0.01
RETRY_S = 1.0


class FrameSource(Protocol):
    """Gives one picture after the other."""

    def read(self) -> Image:
        """Return the next picture, (height, width, 3) uint8 RGB of any size. Raises DeviceError."""

    def close(self) -> None:
        """Free the device."""


class VideoDevice:
    """A camera of the machine, e.g. /dev/video0; `read` waits for the next picture."""

    def __init__(self, device: str, camera: CameraConfig) -> None:
        """Open it and ask for the camera's size and rate. Raises DeviceError."""
        self._name = device
        if not Path(device).exists():
            there = sorted(str(p) for p in Path("/dev").glob("video*"))
            raise DeviceError(f"camera {camera.name!r}: got {device}, which is not there, expected one of {there}")
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise DeviceError(f"camera {camera.name!r}: got {device} that does not open, expected a free V4L2 camera")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
        self._capture.set(cv2.CAP_PROP_FPS, camera.fps)

    def read(self) -> Image:
        """Return the next picture. Raises DeviceError when the device is gone."""
        good, bgr = self._capture.read()
        if not good:
            raise DeviceError(f"{self._name}: got no picture, expected the device to go on")
        return _rgb(bgr)

    def close(self) -> None:
        """Free the device."""
        self._capture.release()


class VideoFile:
    """A video file, from the start again after its end."""

    def __init__(self, path: str) -> None:
        """Open it. Raises DeviceError when it is no video."""
        self._path = path
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise DeviceError(f"{path}: got a file that does not open as a video, expected e.g. .mp4 or .avi")

    def read(self) -> Image:
        """Return the next picture. Raises DeviceError when not even the first can be read."""
        good, bgr = self._capture.read()
        if not good:
            self._capture.release()
            self._capture = cv2.VideoCapture(self._path)
            good, bgr = self._capture.read()
        if not good:
            raise DeviceError(f"{self._path}: got no picture at its start, expected a whole video file")
        return _rgb(bgr)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class ImageFolder:
    """The images of a folder in the order of their names, over and over."""

    def __init__(self, path: str) -> None:
        """List it. Raises DeviceError when there is no image in it."""
        self._paths = sorted(p for p in Path(path).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not self._paths:
            raise DeviceError(f"{path}: got a folder without images, expected some of *{', *'.join(IMAGE_SUFFIXES)}")
        self._next = 0

    def read(self) -> Image:
        """Return the next image. Raises DeviceError for a file that is none."""
        path = self._paths[self._next % len(self._paths)]
        self._next += 1
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DeviceError(f"{path}: got a file that does not open as an image, expected a whole one")
        return _rgb(bgr)

    def close(self) -> None:
        """There is nothing to free."""


def open_source(device: str, camera: CameraConfig) -> FrameSource:
    """Open what `device` names: a device below /dev, a folder of images, or a video file. Raises DeviceError."""
    if device.startswith("/dev/"):
        return VideoDevice(device, camera)
    path = Path(device)
    if device and path.is_dir():
        return ImageFolder(device)
    if not path.is_file():
        raise DeviceError(
            f"camera {camera.name!r}: got {device!r}, expected a device (/dev/video0), a video file or a folder"
        )
    return VideoFile(device)


def fit(rgb: Image, camera: CameraConfig) -> Image:
    """Return the picture in the camera's size; it must have the camera's shape. Raises DeviceError."""
    height, width = rgb.shape[:2]
    if (width, height) == (camera.width, camera.height):
        return rgb
    if abs(width * camera.height / (height * camera.width) - 1.0) > SHAPE_TOLERANCE:
        raise DeviceError(
            f"camera {camera.name!r}: got pictures of {width}x{height}, expected {camera.width}x{camera.height} "
            "or the same shape"
        )
    resized = cv2.resize(rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


class Camera:
    """A source that is opened again, about once a second, when it fails."""

    def __init__(self, device: str, camera: CameraConfig, now_s: Callable[[], float] = time.monotonic) -> None:
        """Opening is left to the first `read`: a camera may be plugged in later."""
        self._device = device
        self._camera = camera
        self._now_s = now_s
        self._source: FrameSource | None = None
        self._retry_at = now_s()
        self.opened = 0

    def read(self) -> Image | None:
        """Return a picture of the camera's size, or None while waiting to open again. Raises DeviceError."""
        if self._source is None and self._now_s() < self._retry_at:
            return None
        try:
            if self._source is None:
                self._source = open_source(self._device, self._camera)
                self.opened += 1
            return fit(self._source.read(), self._camera)
        except DeviceError:
            self.close()
            self._retry_at = self._now_s() + RETRY_S
            raise

    def close(self) -> None:
        """Free the device."""
        if self._source is not None:
            self._source.close()
            self._source = None


def _rgb(bgr: "cv2.typing.MatLike") -> Image:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
