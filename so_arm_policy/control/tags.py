"""Corners of ArUco and AprilTag tags in a picture, to a small part of a pixel.

cv2.aruco finds and reads the tags (Garrido-Jurado et al., "Automatic generation and detection of highly reliable
fiducial markers under occlusion", 2014). Its own refinements are not used: on rendered tags with cells of 5 pixels
CORNER_REFINE_SUBPIX puts corners 0.3 pixels inwards, CORNER_REFINE_APRILTAG 0.4 to the right and down. Here each edge
is a line through the places where the brightness across it steps, and corners are where lines meet.
"""

import cv2
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import Image

FAMILIES = {
    "apriltag_16h5": cv2.aruco.DICT_APRILTAG_16h5,
    "apriltag_25h9": cv2.aruco.DICT_APRILTAG_25h9,
    "apriltag_36h11": cv2.aruco.DICT_APRILTAG_36h11,
    "aruco_4x4_50": cv2.aruco.DICT_4X4_50,
    "aruco_5x5_50": cv2.aruco.DICT_5X5_50,
    "aruco_6x6_50": cv2.aruco.DICT_6X6_50,
}
SMALLEST_CELL_PX = 2.0
_PROFILES, _SAMPLES, _ROUNDS = 40, 25, 4
# Near its ends an edge is rounded by the picture's blur.
_ENDS = 0.12
_MOST_REACH_PX = 3.0


def dictionary_of(family: str) -> cv2.aruco.Dictionary:
    """Return the patterns of a family. Raises ConfigError that lists the families."""
    if family not in FAMILIES:
        raise ConfigError(f"tags: got family {family!r}, expected one of {sorted(FAMILIES)}")
    return cv2.aruco.getPredefinedDictionary(FAMILIES[family])


def find_tags(rgb: Image, family: str) -> list[tuple[int, FloatArray]]:
    """Return id and corners (4, 2) of each tag in a picture (height, width, 3) uint8, by id.

    Corners are column and row in pixels, the middle of the first pixel is (0, 0); from the tag's upper left one
    clockwise. Raises InputError for tags too small to be measured.
    """
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    dictionary = dictionary_of(family)
    corners, ids, _ = cv2.aruco.ArucoDetector(dictionary, cv2.aruco.DetectorParameters()).detectMarkers(gray)
    found = [] if ids is None else [int(tag) for tag in ids.ravel()]
    cells = dictionary.markerSize + 2
    pairs = zip(found, corners, strict=True)
    return sorted(
        ((tag, _measured(gray, np.asarray(quad, np.float64).reshape(4, 2), cells, tag)) for tag, quad in pairs),
        key=lambda pair: pair[0],
    )


def _measured(gray: Image, quad: FloatArray, cells: int, tag: int) -> FloatArray:
    """Return the corners of a tag that is `cells` wide, from corners (4, 2) that are right to about a pixel."""
    cell_px = float(np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1).min()) / cells
    if not cell_px >= SMALLEST_CELL_PX:
        raise InputError(f"tag {tag}: got cells of {cell_px:.1f} pixels, expected at least {SMALLEST_CELL_PX}")
    reach = min(_MOST_REACH_PX, cell_px / 2)
    for _ in range(_ROUNDS):
        lines = [_edge(gray, quad[i], quad[(i + 1) % 4], reach) for i in range(4)]
        meets = np.array([np.cross(lines[i - 1], lines[i]) for i in range(4)])
        quad = meets[:, :2] / meets[:, 2:]
    return quad


def _edge(gray: Image, start: FloatArray, end: FloatArray, reach: float) -> FloatArray:
    """Return the line (a, b, c), a x + b y + c = 0, of the edge near start-end (2,); `reach` pixels are looked at."""
    along = (end - start) / np.linalg.norm(end - start)
    outwards = np.array([along[1], -along[0]])  # corners are clockwise in the picture, whose y is down
    feet = start + np.linspace(_ENDS, 1.0 - _ENDS, _PROFILES)[:, None] * (end - start)
    offsets = np.linspace(-reach, reach, _SAMPLES)
    at = (feet[:, None, :] + offsets[None, :, None] * outwards).astype(np.float32)
    profiles = cv2.remap(gray.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    dark, bright = profiles[:, 0].mean(), profiles[:, -1].mean()
    # The brightness that a sharp step at s would gather between -reach and reach is that of all samples.
    share = np.clip((profiles.mean(axis=1) - dark) / max(float(bright - dark), 1.0), 0.0, 1.0)
    points = feet + (reach * (1.0 - 2.0 * share))[:, None] * outwards
    middle = points.mean(axis=0)
    direction = np.linalg.svd(points - middle)[2][0]
    normal = np.array([direction[1], -direction[0]])
    return np.array([*normal, -normal @ middle])
