"""Where a camera stands: from one picture of a flat board of ArUco or AprilTag tags whose place is known.

Camera frames are optical frames of REP-103: x to the right of the picture, y down, z forward. The middle of the first
pixel is at (0, 0). Pictures are a pinhole's, without distortion. Board frame: looking at the board as it is read, x to
the right, y up, z out of it towards the eye. Corners in one plane may be explained by two poses (Collins and Bartoli,
"Infinitesimal plane-based pose estimation", 2014): both are refined by least squares, and where the worse one explains
the picture nearly as well, none is returned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from so_arm_policy.control.tags import dictionary_of, find_tags
from so_arm_policy.core.arrays import FloatArray, frozen, vector
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.values import Image

MAX_ERROR_PX = 1.0
# Of each coordinate of a corner where grey values have noise of 8 of 255; never taken as less.
CORNER_SD_PX = 0.05
# Another pose must be that much worse, as a ratio and in pixels: corners are not found to less.
AMBIGUITY_RATIO = 2.0
AMBIGUITY_PX = 0.1
# Poses that are refined to less than this from each other are one.
SAME_POSE_RAD = 0.01
ROTATION_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class TagBoard:
    """Tags of one size in one plane, and where the board is.

    tags: id -> middle of the tag in the board frame, (2,) m; size_m: edge of the black square; position: origin of the
    board frame, (3,) m, and R_base_board (3, 3), both in the base frame. A wrong size_m, position or R_base_board is
    seen in no picture: it makes the camera's pose wrong by as much.
    """

    family: str
    size_m: float
    tags: Mapping[int, FloatArray]
    position: FloatArray
    R_base_board: FloatArray

    def __post_init__(self) -> None:
        """Refuse tags that the family has not, overlapping ones, and what is no pose."""
        if not 0.0 < self.size_m <= 1.0:
            raise ConfigError(f"board: got size_m {self.size_m}, expected 0 < size_m <= 1")
        known = len(dictionary_of(self.family).bytesList)
        if not self.tags or not all(0 <= tag < known for tag in self.tags):
            raise ConfigError(f"board: got tags {sorted(self.tags)}, expected some of 0..{known - 1}")
        tags = {tag: vector(self.tags[tag], 2, f"board: tag {tag}") for tag in sorted(self.tags)}
        middles = list(tags.values())
        for i, middle in enumerate(middles):
            if any(np.abs(middle - other).max() <= self.size_m for other in middles[:i]):
                raise ConfigError(f"board: got middles {np.array(middles).tolist()}, expected more than size_m apart")
        R_base_board = frozen(self.R_base_board, (3, 3), "board: R_base_board")
        off = np.abs(R_base_board @ R_base_board.T - np.eye(3)).max()
        if not (off <= ROTATION_TOLERANCE and np.linalg.det(R_base_board) > 0.0):
            raise ConfigError(f"board: got R_base_board {R_base_board.tolist()}, expected a rotation")
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "position", vector(self.position, 3, "board: position"))
        object.__setattr__(self, "R_base_board", R_base_board)

    def corners(self, tag: int) -> FloatArray:
        """Corners of a tag in the board frame, (4, 3) m: from its upper left one clockwise, as cv2.aruco has them."""
        square = self.size_m / 2 * np.array([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        return np.column_stack([square + self.tags[tag], np.zeros(4)])


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraPose:
    """Where a camera stands, in the base frame.

    position: of its pinhole, (3,) m; R_base_camera: (3, 3), its columns are the axes of the optical frame. error_px:
    root mean square distance between the corners that were seen and those that this pose explains; tags: those seen.
    position_sd_m: standard deviation of the position, along its worst direction, from that of corners. It is large
    where error_px cannot tell: for a small board seen from straight above.
    """

    position: FloatArray
    R_base_camera: FloatArray
    error_px: float
    position_sd_m: float
    tags: tuple[int, ...]


def camera_matrix(camera: CameraConfig) -> FloatArray:
    """Return K of a pinhole with square pixels and its axis in the middle of the picture, (3, 3) pixels."""
    focal = camera.height / 2 / math.tan(math.radians(camera.fovy_deg) / 2)
    return frozen(
        [[focal, 0.0, (camera.width - 1) / 2], [0.0, focal, (camera.height - 1) / 2], [0.0, 0.0, 1.0]], (3, 3)
    )


def camera_pose(rgb: Image, camera: CameraConfig, board: TagBoard, max_error_px: float = MAX_ERROR_PX) -> CameraPose:
    """Return where the camera that took `rgb`, (height, width, 3) uint8, stands. Tags of others are passed over.

    Raises InputError: another size of picture, no tag of the board, one twice, two poses that explain the picture, or
    corners further than `max_error_px` (root mean square) from where they should be.
    """
    if rgb.shape != (camera.height, camera.width, 3) or rgb.dtype != np.uint8:
        want = (camera.height, camera.width, 3)
        raise InputError(f"camera {camera.name!r}: got picture {rgb.shape} {rgb.dtype}, expected {want} uint8")
    seen = _find(rgb, board)
    points = np.concatenate([board.corners(tag) for tag in seen])
    pixels = np.concatenate(list(seen.values()))
    (error, R_camera_board, t), *others = _poses(points, pixels, camera_matrix(camera))
    others = [other for other in others if _angle(other[1] @ R_camera_board.T) > SAME_POSE_RAD]
    if not error <= max_error_px:
        raise InputError(
            f"board: got corners {error:.2f} pixels off with tags {list(seen)}, expected at most {max_error_px}; are "
            "the tags' places, the field of view and the distortion right?"
        )
    if others and not others[0][0] >= max(AMBIGUITY_RATIO * error, error + AMBIGUITY_PX):
        raise InputError(
            f"board: got two poses that explain tags {list(seen)}, {error:.2f} and {others[0][0]:.2f} pixels off, "
            "expected one; move the camera closer or to the side, or use a larger board"
        )
    R_base_camera = board.R_base_board @ R_camera_board.T
    return CameraPose(
        position=vector(board.position - R_base_camera @ t, 3, "position"),
        R_base_camera=frozen(R_base_camera, (3, 3), "R_base_camera"),
        error_px=error,
        position_sd_m=_position_sd(points, R_camera_board, t, camera_matrix(camera), max(error, CORNER_SD_PX)),
        tags=tuple(seen),
    )


def _find(rgb: Image, board: TagBoard) -> dict[int, FloatArray]:
    """Return the corners of each tag of the board that is seen, (4, 2) pixels, in the order of ids."""
    found = find_tags(rgb, board.family)
    ids = [tag for tag, _ in found]
    ours = {tag: corners for tag, corners in found if tag in board.tags}
    if not ours:
        got = f"tags {ids}" if ids else "a picture without any tag"
        raise InputError(f"board: got {got}, expected some of {list(board.tags)} of {board.family}")
    double = [tag for tag in ours if ids.count(tag) > 1]
    if double:
        raise InputError(f"board: got tags {double} more than once in one picture, expected one of each")
    return ours


def _poses(points: FloatArray, pixels: FloatArray, K: FloatArray) -> list[tuple[float, FloatArray, FloatArray]]:
    """Return the poses that may explain points (n, 3) m seen at pixels (n, 2), best first.

    Each is its error, pixels, R_camera_board (3, 3) and the board's origin in the camera frame, (3,) m.
    """
    # IPPE starts from a homography of the points about their middle.
    _, turns, shifts, _ = cv2.solvePnPGeneric(points, pixels, K, None, flags=cv2.SOLVEPNP_IPPE)
    poses = []
    for turn, shift in zip(turns, shifts, strict=True):
        turn, shift = cv2.solvePnPRefineLM(points, pixels, K, None, turn, shift)
        explained, _ = cv2.projectPoints(points, turn, shift, K, None)
        error = float(np.sqrt(np.mean(np.sum((explained.reshape(-1, 2) - pixels) ** 2, axis=1))))
        poses.append((error, np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(shift, np.float64).ravel()))
    return sorted(poses, key=lambda pose: pose[0])


def _angle(R: FloatArray) -> float:
    """Return by how much a rotation (3, 3) turns, rad."""
    return float(np.linalg.norm(cv2.Rodrigues(R)[0]))


def _position_sd(points: FloatArray, R_camera_board: FloatArray, t: FloatArray, K: FloatArray, sd_px: float) -> float:
    """Return the camera position's standard deviation in its worst direction, m, to first order."""
    turn = cv2.Rodrigues(R_camera_board)[0]
    jacobian = np.asarray(cv2.projectPoints(points, turn, t, K, None)[1], np.float64)[:, :6]
    covariance = sd_px**2 * np.linalg.inv(jacobian.T @ jacobian)  # of turn, a rotation vector, and t

    def position(change: FloatArray) -> FloatArray:
        return -np.asarray(cv2.Rodrigues(turn.ravel() + change[:3])[0], np.float64).T @ (t + change[3:])

    step = 1e-6
    slopes = np.column_stack([(position(step * e) - position(-step * e)) / (2 * step) for e in np.eye(6)])
    return float(np.sqrt(np.linalg.eigvalsh(slopes @ covariance @ slopes.T)[-1]))
