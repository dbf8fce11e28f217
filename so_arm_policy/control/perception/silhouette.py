"""What a thing would look like as a shape: its corners in a pose, seen by a camera, filled in."""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import DISHES, HALF_SIZES
from so_arm_policy.core.pinhole import Pinhole

SUBPIXELS = 4  # along each side of a pixel; half as many in windows of more than LARGE_PX, whose edges are long
LARGE_PX = 3000
NEAREST_M = 0.005  # to the camera: what is nearer has no outline
Outline = npt.NDArray[np.float32]  # (k, 2) pixels, as OpenCV has it
Window = tuple[int, int, int, int]  # left, top, right, bottom, pixels; it may reach out of the picture
_BITS = 4  # behind the point, of corners for OpenCV
FALLEN = 0.04  # most things have not fallen over
_ROUND = 16  # corners for a circle
_LYING = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # the thing's z along the turned x axis


@dataclass(frozen=True, eq=False)
class Stance:
    """One way in which a kind may stand on the table, up to a turn about the vertical.

    R: (3, 3), without that turn; corners: (v, 3) m, about the thing's middle; height: of its middle, m; period: turn
    after which it looks the same, rad (0: always); unlikely: by how much more it has to explain,
    as a share of a spot, to be believed.
    """

    kind: str
    R: FloatArray
    corners: FloatArray
    height: float
    period: float
    unlikely: float = 0.0

    def rotation(self, yaw: float) -> FloatArray:
        """Return R_world_thing (3, 3) at a turn, rad."""
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ self.R

    def placed(self, x: float, y: float, yaw: float) -> FloatArray:
        """Return the corners (v, 3) m in the world frame."""
        c, s = math.cos(yaw), math.sin(yaw)
        placed: FloatArray = self.corners.dot(np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]))
        placed += (x, y, self.height)
        return placed


@cache
def stances() -> tuple[Stance, ...]:
    """Return the ways in which the kinds of objects may stand: as they are put, and a can that has fallen over."""
    can_x, _, can_z = HALF_SIZES["can"]
    upright = np.eye(3)
    can = np.concatenate([_circle(can_x, -can_z), _circle(can_x, can_z)])
    return (
        Stance("cube", upright, _box("cube"), HALF_SIZES["cube"][2], math.pi / 2),
        Stance("can", upright, can, can_z, 0.0),
        Stance("brick", upright, _box("brick"), HALF_SIZES["brick"][2], math.pi),
        Stance("can", _LYING, can @ _LYING.T, can_x, math.pi, FALLEN),
    )


@cache
def dishes() -> tuple[Stance, ...]:
    """Return bowl and plate, whose middle is that of their lower side."""
    return tuple(
        Stance(
            name,
            np.eye(3),
            np.concatenate([_circle(dish.lower_radius_m, 0.0), _circle(dish.rim_radius_m, dish.height_m)]),
            0.0,
            0.0,
        )
        for name, dish in DISHES.items()
    )


def outline(corners: FloatArray, view: Pinhole) -> Outline | None:
    """Return the hull (k, 2) in pixels of corners (v, 3) m as `view` shows them; None where some are not ahead."""
    local = (corners - view.position).dot(view.R_world_optical)  # for few corners @ takes twice as long
    if not local[:, 2].min() > NEAREST_M:
        return None
    return np.asarray(cv2.convexHull(view.shown(local).astype(np.float32))[:, 0], dtype=np.float32)


def coverage(hull: Outline, window: Window) -> FloatArray:
    """Return how much of each pixel of `window` (left, top, right, bottom) a hull (k, 2) covers, 0..1."""
    left, top, right, bottom = window
    scale = SUBPIXELS if (right - left) * (bottom - top) <= LARGE_PX else SUBPIXELS // 2
    covered = np.zeros((bottom - top, right - left))
    # Drawn is only the part of the window around the hull: the rest of a large window would take longer than the hull.
    column, row, width, height = cv2.boundingRect(hull)
    first, last = max(column - 1, left), min(column + width + 1, right)
    upper, lower = max(row - 1, top), min(row + height + 1, bottom)
    if first >= last or upper >= lower:
        return covered
    fine = np.zeros(((lower - upper) * scale, (last - first) * scale), dtype=np.uint8)
    # OpenCV's origin is the middle of the fine grid's first pixel, not its corner.
    unit = scale * 2**_BITS
    points = hull * unit - (first * unit + 2 ** (_BITS - 1), upper * unit + 2 ** (_BITS - 1))
    cv2.fillConvexPoly(fine, np.rint(points).astype(np.int32), 255, shift=_BITS)
    small = cv2.resize(fine, (last - first, lower - upper), interpolation=cv2.INTER_AREA)
    np.divide(small, 255.0, out=covered[upper - top : lower - top, first - left : last - left])
    return covered


def _box(kind: str) -> FloatArray:
    signs = np.array(np.meshgrid((-1.0, 1.0), (-1.0, 1.0), (-1.0, 1.0))).reshape(3, -1).T
    return signs * HALF_SIZES[kind]


def _circle(radius: float, z: float) -> FloatArray:
    turns = 2 * math.pi * np.arange(_ROUND) / _ROUND
    return np.column_stack([radius * np.cos(turns), radius * np.sin(turns), np.full(_ROUND, z)])
