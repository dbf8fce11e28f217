"""Cameras whose pictures stand still while the arm moves: a driver that says an old picture again, with new stamps."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import PictureFrozen
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage

# Two pictures of a sensor are never the same, and a simulated arm that moved so far is seen to have moved.
MOVED_RAD = 0.2


@dataclass(frozen=True, eq=False)
class _First:
    """The first of pictures that are all the same, and the joints then, (n,) rad."""

    image: CameraImage
    q: FloatArray


class StillPictures:
    """Remembers of each camera the first of pictures that are all the same."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._first: dict[str, _First] = {}

    def check(self, images: Iterable[CameraImage], q: FloatArray) -> None:
        """Take in the newest picture of each camera, and the joints now, (n,) rad.

        Raises PictureFrozen where a camera repeats a picture with another stamp, pixel by pixel, though a joint has
        moved by more than MOVED_RAD since. One that says nothing new is not judged here: its stamp grows old.
        """
        for image in images:
            first = self._first.get(image.camera)
            if first is None or not np.array_equal(first.image.rgb, image.rgb):
                self._first[image.camera] = _First(image, q)
                continue
            moved = float(np.abs(q - first.q).max())
            if moved > MOVED_RAD and image.stamp_ns != first.image.stamp_ns:
                seconds = (image.stamp_ns - first.image.stamp_ns) / NS
                raise PictureFrozen(
                    f"camera {image.camera!r}: got the same picture for {seconds:.1f} s while the arm moved "
                    f"{moved:.2f} rad, expected one that changes"
                )
