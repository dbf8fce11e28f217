"""Spots of one colour in a picture, with what around them is not to be seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from so_arm_policy.control.perception.colors import NOTHING, Labels
from so_arm_policy.control.perception.silhouette import Window
from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.objects import HALF_SIZES
from so_arm_policy.core.pinhole import Pinhole

MARGIN_PX = 4  # around a spot, looked at too
NEAR_PX = 2  # to something that may hide it: then a spot may be part of something much larger
LARGEST_M = 2 * max(math.hypot(*half) for half in HALF_SIZES.values())
LEVEL_M = 0.015  # at which things are, roughly
UNSEEN_COST = 0.15  # of a pixel that a silhouette would need and that something else hides


@dataclass(frozen=True, eq=False)
class Spot:
    """What a camera shows of one thing. pixels: of it; unknown: which may show anything: both (height, width)."""

    view: Pinhole
    pixels: BoolArray
    unknown: BoolArray

    @cached_property
    def size(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.pixels))

    @cached_property
    def middle(self) -> FloatArray:
        """Mean of its pixels, (2,) column and row."""
        rows, columns = np.nonzero(self.pixels)
        return np.array([columns.mean() + 0.5, rows.mean() + 0.5])

    @cached_property
    def window(self) -> Window:
        """What has to be looked at to know what it is: larger where part of it may be hidden, or out of the picture."""
        left, top, width, height = cv2.boundingRect(self.pixels.astype(np.uint8))
        box = (left - NEAR_PX, top - NEAR_PX, left + width + NEAR_PX, top + height + NEAR_PX)
        around = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), dtype=np.uint8)
        near = cv2.dilate(cropped(self.pixels, box, False).astype(np.uint8), around) > 0
        whole = not (near & cropped(self.unknown & ~self.pixels, box, True)).any()
        reach = 0 if whole else self._pixels_of(LARGEST_M)  # from one end of the thing to the other
        across, down = (max(MARGIN_PX, reach - extent) for extent in (width, height))
        return left - across, top - down, left + width + across, top + height + down

    @cached_property
    def own(self) -> BoolArray:
        """Its pixels in the window."""
        return cropped(self.pixels, self.window, False)

    @cached_property
    def unsure(self) -> BoolArray:
        """What in the window may belong to it, or hide it, or neither."""
        return cropped(self.unknown, self.window, True) & ~self.own

    @cached_property
    def gains(self) -> FloatArray:
        """How much more is wrong with a pixel of the window when it is covered."""
        return np.where(self.own, -1.0, np.where(self.unsure, UNSEEN_COST, 1.0))

    def merged(self, other: "Spot") -> "Spot":
        """Return both, of the same picture, as one."""
        return Spot(self.view, self.pixels | other.pixels, self.unknown)

    def _pixels_of(self, size_m: float) -> int:
        """Return how large something of `size_m` m may be here; at most as large as the picture."""
        away = float(np.linalg.norm(self.view.on_plane(self.middle, LEVEL_M) - self.view.position)) - size_m / 2
        most = self.view.camera.height
        return int(min(most, np.ceil(size_m * self.view.focal_px / away))) if away > 0.0 else most


def spots_in(view: Pinhole, shown: Labels, label: int, hidden: BoolArray, least_pixels: int) -> list[Spot]:
    """Return the connected spots of a label (see colors.py), each of `least_pixels` at least.

    hidden: (height, width), where the robot is in the way.
    """
    unknown = hidden | (shown != NOTHING)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats((shown == label).astype(np.uint8), connectivity=8)
    large = [number for number in range(1, count) if stats[number, cv2.CC_STAT_AREA] >= least_pixels]
    return [Spot(view, numbers == number, unknown) for number in large]


def merged(spots: Sequence[Spot]) -> list[Spot]:
    """Return one spot for each camera that `spots` are from, in the order of its first."""
    found: dict[str, Spot] = {}
    for spot in spots:
        name = spot.view.camera.name
        found[name] = found[name].merged(spot) if name in found else spot
    return list(found.values())


def cropped(pixels: BoolArray, window: Window, outside: bool) -> BoolArray:
    """Return what is in a window, (bottom - top, right - left); `outside` where it reaches out of the picture."""
    height, width = pixels.shape
    left, top, right, bottom = window
    out = np.full((bottom - top, right - left), outside, dtype=np.bool_)
    x, y = max(left, 0), max(top, 0)
    part = pixels[y : max(min(bottom, height), y), x : max(min(right, width), x)]
    out[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    return out
