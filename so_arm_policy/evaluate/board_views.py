"""Pictures of a board, from a folder, a video or a camera, and the views among them that are worth keeping."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from so_arm_policy.control.charuco.board import BoardView, CharucoBoard
from so_arm_policy.control.charuco.coverage import is_new, is_still, missing
from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.files import images_in
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import open_source

MOST_VIEWS = 60  # more only cost time


@dataclass(kw_only=True)
class Gathered:
    """Views of a board so far, and their pictures. seen: pictures there were; without: those without a board."""

    views: list[BoardView] = field(default_factory=list)
    pictures: list[Image] = field(default_factory=list)
    seen: int = 0
    without: list[str] = field(default_factory=list)


def of_folder(folder: Path, board: CharucoBoard) -> Gathered:
    """Return the views of all pictures in a folder. Raises DeviceError, InputError for another board."""
    gathered = Gathered()
    for path in images_in(folder):
        picture = read_picture(path)
        view = board.find(picture, path.name)
        gathered.seen += 1
        if view is None:
            gathered.without.append(path.name)
        else:
            gathered.views.append(view)
            gathered.pictures.append(picture)
    return gathered


def of_stream(pictures: Iterator[Image], board: CharucoBoard, tell: Callable[[str], None]) -> Gathered:
    """Return the views of a video or a camera: still ones that differ, until they are enough or the pictures end.

    tell: gets what each view brought and what is missing. Raises InputError for another board.
    """
    gathered, before = Gathered(), None
    for picture in pictures:
        gathered.seen += 1
        view = board.find(picture, f"picture {gathered.seen}")
        if view is not None and is_still(view, before) and is_new(view, gathered.views):
            gathered.views.append(view)
            gathered.pictures.append(picture)
            wanted = missing(gathered.views)
            tell(f"view {len(gathered.views)}: {len(view.ids)} corners; still needed: {'; '.join(wanted) or 'nothing'}")
            if not wanted or len(gathered.views) >= MOST_VIEWS:
                break
        before = view
    return gathered


def video_pictures(path: Path) -> Iterator[Image]:
    """Give the pictures of a video file, once. Raises DeviceError."""
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise DeviceError(f"{path}: got a file that does not open as a video, expected e.g. .mp4 or .avi")
    try:
        while True:
            good, bgr = capture.read()
            if not good:
                return
            yield np.asarray(bgr, np.uint8)
    finally:
        capture.release()


def camera_pictures(device: str, options: CaptureOptions, tell: Callable[[str], None]) -> Iterator[Image]:
    """Give the pictures of a camera, without an end. Raises DeviceError."""
    source = open_source(device, options)
    tell(source.summary)
    for text in source.refused:
        tell(f"warning: {text}")
    try:
        while True:
            yield source.read().bgr
    finally:
        source.close()


def read_picture(path: Path) -> Image:
    """Return an image file, (height, width, 3) BGR. Raises ConfigError."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise ConfigError(f"{path}: got no file that opens as an image, expected one")
    return np.asarray(bgr, np.uint8)
