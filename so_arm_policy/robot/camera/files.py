"""Pictures from files: a video, or the images of a folder, again and again. Their pace is that of who reads them."""

import time
from pathlib import Path

import cv2
import numpy as np

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.robot.camera.frame import IMAGE_SUFFIXES, Frame


class VideoFile:
    """A video file, from the start again after its end."""

    live = False
    fps = 0.0
    refused: tuple[str, ...] = ()

    def __init__(self, path: str) -> None:
        """Open it. Raises DeviceError when it is no video."""
        self._path = path
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise DeviceError(f"{path}: got a file that does not open as a video, expected e.g. .mp4 or .avi")
        self.summary = f"video file {path}"

    def read(self) -> Frame:
        """Return the next picture. Raises DeviceError when not even the first can be read."""
        good, bgr = self._capture.read()
        if not good:
            self._capture.release()
            self._capture = cv2.VideoCapture(self._path)
            good, bgr = self._capture.read()
        if not good:
            raise DeviceError(f"{self._path}: got no picture at its start, expected a whole video file")
        return Frame(bgr=np.asarray(bgr, np.uint8), taken_ns=time.monotonic_ns())

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class ImageFolder:
    """The images of a folder in the order of their names, over and over."""

    live = False
    fps = 0.0
    refused: tuple[str, ...] = ()

    def __init__(self, path: str) -> None:
        """List it. Raises DeviceError when there is no image in it."""
        self._paths = images_in(Path(path))
        self._next = 0
        self.summary = f"{len(self._paths)} images of {path}"

    def read(self) -> Frame:
        """Return the next image. Raises DeviceError for a file that is none."""
        path = self._paths[self._next % len(self._paths)]
        self._next += 1
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DeviceError(f"{path}: got a file that does not open as an image, expected a whole one")
        return Frame(bgr=np.asarray(bgr, np.uint8), taken_ns=time.monotonic_ns())

    def close(self) -> None:
        """There is nothing to free."""


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their names. Raises DeviceError where there is none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DeviceError(f"{folder}: got a folder without images, expected some of *{', *'.join(IMAGE_SUFFIXES)}")
    return paths
