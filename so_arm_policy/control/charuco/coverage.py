"""Whether pictures of a board say enough of a lens: where in the picture the board was, and how it leant."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from so_arm_policy.control.charuco.board import BoardView
from so_arm_policy.core.arrays import FloatArray

LEAST_VIEWS = 10
GRID = (
    ("upper left", "upper middle", "upper right"),
    ("left", "middle", "right"),
    (
        "lower left",
        "lower middle",
        "lower right",
    ),
)
LEAST_IN_CELL = 12  # corners
LEAST_SPAN = 0.8  # of the picture's width and height, between the outermost corners
TILT_DEG = 20.0
LEAST_TILTED = 2  # views that lean so far, about each of the picture's axes
NEW_SHARE = 0.05  # of the picture's width: so far the board must have moved to be another view


def tilt_of(view: BoardView, K: FloatArray | None = None) -> FloatArray:
    """Return how far the board leans about the picture's horizontal and its vertical axis, (2,) degrees.

    K: (3, 3) of the lens; by default one with a field of view of 53 degrees: enough to tell leaning from lying flat.
    """
    width, height = view.size
    if K is None:
        focal = float(max(width, height))
        K = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
    good, turn, _ = cv2.solvePnP(view.points, view.pixels, K, None, flags=cv2.SOLVEPNP_IPPE)
    if not good:
        return np.zeros(2)
    normal = np.asarray(cv2.Rodrigues(turn)[0], np.float64)[:, 2]
    return np.degrees(np.arctan2(normal[[1, 0]], abs(normal[2])))


def is_new(view: BoardView, kept: Sequence[BoardView]) -> bool:
    """Return whether the board lies otherwise than in every view kept."""
    return all(_moved(view, other) > NEW_SHARE * view.size[0] for other in kept)


def _moved(a: BoardView, b: BoardView) -> float:
    """Return how far the corners of both views moved, pixels (root mean square); infinity without common ones."""
    _, in_a, in_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    if not len(in_a):
        return math.inf
    return float(np.sqrt(np.mean(np.sum((a.pixels[in_a] - b.pixels[in_b]) ** 2, axis=1))))


def is_still(view: BoardView, before: BoardView | None, most_px: float = 1.0) -> bool:
    """Return whether the board stands still since the picture before: a moving one is blurred."""
    return before is not None and _moved(view, before) <= most_px


def missing(views: Sequence[BoardView]) -> list[str]:
    """Return what is still to be shown, for people; empty when it is enough."""
    if not views:
        return [f"{LEAST_VIEWS} views of the board"]
    wanted = []
    if len(views) < LEAST_VIEWS:
        wanted.append(f"{LEAST_VIEWS - len(views)} more views of the board")
    size = np.array(views[0].size)
    share = np.concatenate([view.pixels for view in views]) / size
    cells = np.clip((share * 3).astype(int), 0, 2)
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    empty = [GRID[row][column] for row in range(3) for column in range(3) if counts[row, column] < LEAST_IN_CELL]
    if empty:
        wanted.append(f"the board in the picture's {', '.join(empty)}")
    for axis, what in enumerate(("left and right", "upper and lower")):
        span = float(np.ptp(share[:, axis]))
        if not span >= LEAST_SPAN:
            wanted.append(f"the board nearer to the {what} edges (corners span {100 * span:.0f} %)")
    tilts = np.abs([tilt_of(view) for view in views])
    for axis, what in enumerate(("forwards or backwards", "to the left or right")):
        tilted = int((tilts[:, axis] >= TILT_DEG).sum())
        if tilted < LEAST_TILTED:
            wanted.append(f"{LEAST_TILTED - tilted} more views of the board leaning {what} by {TILT_DEG:.0f} degrees")
    return wanted
