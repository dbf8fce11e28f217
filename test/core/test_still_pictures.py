"""Cameras that repeat a picture while the arm moves."""

import numpy as np
import pytest

from so_arm_policy.core.errors import PictureFrozen
from so_arm_policy.core.still_pictures import MOVED_RAD, StillPictures
from so_arm_policy.core.values import CameraImage

HOME = np.zeros(6)


def image(stamp_ns: int, level: int = 0, camera: str = "wrist") -> CameraImage:
    return CameraImage(camera=camera, stamp_ns=stamp_ns, rgb=np.full((4, 6, 3), level, np.uint8))


def moved(rad: float) -> np.ndarray:
    return HOME + rad * np.eye(6)[3]


def test_the_same_picture_again_after_the_arm_has_moved_is_an_error_that_names_the_camera() -> None:
    still = StillPictures()
    still.check([image(1_000_000_000)], HOME)
    still.check([image(1_100_000_000)], moved(0.9 * MOVED_RAD))
    error = "camera 'wrist': got the same picture for 0.2 s while the arm moved 0.22 rad, expected one that changes"
    for _ in range(2):  # it stays an error
        with pytest.raises(PictureFrozen, match=error):
            still.check([image(1_200_000_000)], moved(-1.1 * MOVED_RAD))
    still.check([image(1_300_000_000, level=1)], moved(-1.1 * MOVED_RAD))
    still.check([image(1_400_000_000, level=1)], moved(-1.1 * MOVED_RAD))


def test_one_camera_is_enough_and_one_pixel_makes_a_new_picture() -> None:
    still = StillPictures()
    for k in range(5):
        other = image(k + 1, camera="overhead")
        other.rgb[0, 0, 0] = k
        images = [other, image(k + 1, level=7 * (k < 4))]
        if k in (1, 2, 3):
            with pytest.raises(PictureFrozen, match="'wrist'"):
                still.check(images, moved(k * 2 * MOVED_RAD))
        else:
            still.check(images, moved(k * 2 * MOVED_RAD))


def test_an_arm_that_stands_and_a_picture_that_is_no_newer_are_no_error() -> None:
    still = StillPictures()
    for k in range(100):
        still.check([image(k + 1)], moved(0.01))
    late = StillPictures()
    for k in range(10):
        late.check([image(1)], moved(k * 0.1))
