"""Where on a hand its camera sits, from pictures of a board that stays where it is while the hand moves.

Park and Martin, "Robot sensor calibration: solving AX = XB on the Euclidean group", 1994, gives where to start. Then
the camera's pose on the hand and the board's in the world are moved until the hand is where its joints say, as well as
it can be in all pictures. Not until the corners are where pictures have them: joints of such arms are off by far more
than corners, and half a degree of them then put the camera several times further off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from so_arm_policy.control.charuco.board import BoardView
from so_arm_policy.core.arrays import FloatArray, frozen, vector
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.intrinsics import Intrinsics

LEAST_VIEWS = 8
LEAST_TURN_DEG = 20.0  # about each of two axes
MOST_OFF_MM, MOST_OFF_DEG = 10.0, 3.0  # of the hand, root mean square
ARM_M = 0.3  # an error of a joint turns the hand by as much as it moves it over such a length


Pose = tuple[FloatArray, FloatArray]  # R (3, 3), t (3,) m


@dataclass(frozen=True, kw_only=True, eq=False)
class HandView:
    """One picture of the board, and where the hand was: R_world_hand (3, 3), tip (3,) m."""

    view: BoardView
    R_world_hand: FloatArray
    tip: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class HandEye:
    """A camera's pose in the hand's frame: position (3,) m, R_hand_camera (3, 3), an optical frame (REP-103).

    error_m, error_rad: between where the joints and where the pictures have the hand, root mean square; worst: the
    picture in which that is largest. position_sd_m, angle_sd_rad: standard deviations, in the worst direction, as far
    as that can tell: errors of joints that are the same in all pictures are not in there. turn_deg: how far the hand
    turned about a second axis.
    """

    position: FloatArray
    R_hand_camera: FloatArray
    error_m: float
    error_rad: float
    worst: str
    position_sd_m: float
    angle_sd_rad: float
    turn_deg: float


def hand_eye(views: Sequence[HandView], lens: Intrinsics) -> HandEye:
    """Return where the camera of `lens` sits. Raises InputError where views are too few, too alike or contradict."""
    if len(views) < LEAST_VIEWS:
        raise InputError(f"hand-eye: got {len(views)} views of the board, expected at least {LEAST_VIEWS}")
    turn_deg = _turn_deg([v.R_world_hand for v in views])
    if not turn_deg >= LEAST_TURN_DEG:
        raise InputError(
            f"hand-eye: got a hand that turns about one axis only ({turn_deg:.0f} degrees about any other), expected "
            f"{LEAST_TURN_DEG:.0f} degrees about two: lean and roll the wrist between pictures"
        )
    for v in views:
        if v.view.size != (lens.width, lens.height):
            got, want = "{}x{}".format(*v.view.size), f"{lens.width}x{lens.height}"
            raise InputError(f"{v.view.name}: got a picture of {got}, expected {want} of the lens")
    boards = [_board(v.view, lens) for v in views]
    result = least_squares(_residuals, _start(views, boards), args=(views, boards), method="lm", x_scale="jac")
    offs = result.fun.reshape(-1, 2, 3)
    moved, turned = np.linalg.norm(offs, axis=2).T / [[1.0], [ARM_M]]
    error_m, error_rad = (float(np.sqrt(np.mean(part**2))) for part in (moved, turned))
    worst = views[int(np.argmax(np.linalg.norm(offs, axis=(1, 2))))].view.name
    if not (1e3 * error_m <= MOST_OFF_MM and math.degrees(error_rad) <= MOST_OFF_DEG):
        raise InputError(
            f"hand-eye: got a hand {1e3 * error_m:.1f} mm and {math.degrees(error_rad):.1f} degrees from where its "
            f"joints say, worst in {worst}, expected at most {MOST_OFF_MM:g} mm and {MOST_OFF_DEG:g} degrees; did the "
            "board move, and are the joints those of each picture?"
        )
    covariance = np.linalg.pinv(result.jac.T @ result.jac) * float(np.sum(result.fun**2)) / (len(result.fun) - 12)
    return HandEye(
        position=vector(result.x[3:6], 3, "position"),
        R_hand_camera=frozen(_rotation(result.x[:3]), (3, 3), "R_hand_camera"),
        error_m=error_m,
        error_rad=error_rad,
        worst=worst,
        position_sd_m=math.sqrt(float(np.linalg.eigvalsh(covariance[3:6, 3:6])[-1])),
        angle_sd_rad=math.sqrt(float(np.linalg.eigvalsh(covariance[:3, :3])[-1])),
        turn_deg=turn_deg,
    )


def _turn_deg(rotations: Sequence[FloatArray]) -> float:
    """Return the second largest extent of the rotations, seen from the one in their midst, degrees."""
    middle = _nearest_rotation(np.sum(rotations, axis=0))
    turns = np.array([cv2.Rodrigues(R @ middle.T)[0].ravel() for R in rotations])
    _, _, axes = np.linalg.svd(turns - turns.mean(axis=0), full_matrices=False)
    return float(np.degrees(np.ptp(turns @ axes[1])))


def _nearest_rotation(M: FloatArray) -> FloatArray:
    U, _, V = np.linalg.svd(M)
    return np.asarray(U @ np.diag([1.0, 1.0, np.linalg.det(U @ V)]) @ V)


def _start(views: Sequence[HandView], boards: Sequence[Pose]) -> FloatArray:
    """Return a first guess: turn and place of the camera in the hand, and of the board in the world, (12,)."""
    R_hand_camera, t = cv2.calibrateHandEye(
        [v.R_world_hand for v in views],
        [v.tip for v in views],
        [R for R, _ in boards],
        [t for _, t in boards],
        method=cv2.CALIB_HAND_EYE_PARK,
    )
    position = np.asarray(t, np.float64).ravel()
    if not (np.isfinite(R_hand_camera).all() and np.isfinite(position).all()):
        raise InputError("hand-eye: got views that no pose explains, expected joints and pictures that belong together")
    R_world_camera = [v.R_world_hand @ R_hand_camera for v in views]
    at = [v.tip + v.R_world_hand @ position for v in views]
    placed = [place + R @ t for place, R, (_, t) in zip(at, R_world_camera, boards, strict=True)]
    turned = [R @ B for R, (B, _) in zip(R_world_camera, boards, strict=True)]
    R_world_board = _nearest_rotation(np.sum(turned, axis=0))
    turns = [cv2.Rodrigues(R)[0].ravel() for R in (np.asarray(R_hand_camera, np.float64), R_world_board)]
    return np.concatenate([turns[0], position, turns[1], np.median(placed, axis=0)])


def _board(view: BoardView, lens: Intrinsics) -> Pose:
    """Return the board in the camera's frame: R (3, 3) and t (3,) m."""
    good, turn, t = cv2.solvePnP(view.points, view.pixels, lens.K, lens.distortion, flags=cv2.SOLVEPNP_IPPE)
    if not good:
        raise InputError(f"{view.name}: got corners that no pose of the board explains, expected some that one does")
    turn, t = cv2.solvePnPRefineLM(view.points, view.pixels, lens.K, lens.distortion, turn, t)
    return _rotation(np.asarray(turn, np.float64).ravel()), np.asarray(t, np.float64).ravel()


def _residuals(x: FloatArray, views: Sequence[HandView], boards: Sequence[Pose]) -> FloatArray:
    """Return how far the hand is from where its joints say: moved and, over ARM_M, turned, m, flattened from (n, 2, 3).

    x: as of `_start`.
    """
    R_hand_camera, position, R_world_board, board = _rotation(x[:3]), x[3:6], _rotation(x[6:9]), x[9:12]
    offs = []
    for v, (R_camera_board, t) in zip(views, boards, strict=True):
        R_world_camera = R_world_board @ R_camera_board.T
        R_world_hand = R_world_camera @ R_hand_camera.T
        tip = board - R_world_camera @ t - R_world_hand @ position
        turn = np.asarray(cv2.Rodrigues(R_world_hand @ v.R_world_hand.T)[0], np.float64).ravel()
        offs.append(np.concatenate([tip - v.tip, ARM_M * turn]))
    return np.concatenate(offs)


def _rotation(turn: FloatArray) -> FloatArray:
    return np.asarray(cv2.Rodrigues(turn)[0], np.float64)
