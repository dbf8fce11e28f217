"""Pictures that a known lens takes of a ChArUco board: drawn from the pose and the distortion, pixel by pixel."""

import functools

import cv2
import numpy as np

from so_arm_policy.control.charuco.board import CharucoBoard
from so_arm_policy.core.intrinsics import Intrinsics

BOARD = CharucoBoard()
PX_PER_MM = 8.0
LENS = Intrinsics(
    width=640,
    height=480,
    K=np.array([[610.0, 0.0, 331.0], [0.0, 612.0, 229.0], [0.0, 0.0, 1.0]]),
    distortion=np.array([-0.18, 0.06, 0.0008, -0.0005, 0.0]),
)
FINE = 2


def turned(x, y, z):
    """A rotation about x and y, then z, from degrees."""
    about = [cv2.Rodrigues(np.radians(v))[0] for v in ([x, y, 0.0], [0.0, 0.0, z])]
    return about[1] @ about[0]


@functools.cache
def rays_of(lens):
    """Where the pixels of a picture FINE times as large look, (n, 3)."""
    fine = lens.resized(FINE * lens.width, FINE * lens.height)
    columns, rows = np.meshgrid(np.arange(fine.width), np.arange(fine.height))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(np.float64)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-7)
    rays = cv2.undistortPointsIter(pixels, fine.K, fine.distortion, np.eye(3), np.eye(3), criteria)[:, 0]
    return np.column_stack([rays, np.ones(len(rays))])


def picture(R, t, lens=LENS, board=BOARD, noise=2.0, seed=0):
    """What `lens` sees of the board at R (3, 3), t (3,) m in its frame: (height, width) uint8, on a grey table."""
    page = cv2.GaussianBlur(board.drawn(PX_PER_MM), (0, 0), 2.0)
    page = cv2.copyMakeBorder(page, *4 * [int(5 * PX_PER_MM)], cv2.BORDER_CONSTANT, value=255)
    onto = np.linalg.inv(np.column_stack([R[:, :2], t]))  # from rays to metres on the board
    local = rays_of(lens) @ onto.T
    metres = local[:, :2] / local[:, 2:]
    at = (1e3 * metres + 5.0) * PX_PER_MM - 0.5
    shape = (FINE * lens.height, FINE * lens.width)
    x, y = (at[:, i].reshape(shape).astype(np.float32) for i in range(2))
    seen = cv2.remap(page, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, 120)
    gray = cv2.resize(seen, (lens.width, lens.height), interpolation=cv2.INTER_AREA).astype(np.float64) * 0.85 + 15.0
    gray += np.random.default_rng(seed).normal(0.0, noise, gray.shape)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def pose(x, y, z, column=0.5, row=0.5, away=0.45, lens=LENS, board=BOARD):
    """R (3, 3), t (3,) m of a board turned by x, y, z degrees, its middle at shares of the picture, so far away."""
    R = turned(x, y, z)
    middle = np.append(np.array(board.size_mm) / 2e3, 0.0)
    ray = np.linalg.inv(lens.K) @ [column * lens.width, row * lens.height, 1.0]
    return R, away * ray - R @ middle


# Turns, place in the picture, distance: all corners of it, leaning all ways.
VIEWS = [
    (0, 0, 0, 0.5, 0.5, 0.40),
    (25, 0, 5, 0.3, 0.35, 0.45),
    (-25, 0, -5, 0.7, 0.65, 0.45),
    (0, 28, 10, 0.3, 0.65, 0.45),
    (0, -28, -10, 0.7, 0.35, 0.45),
    (20, 20, 30, 0.5, 0.3, 0.42),
    (-20, 20, -30, 0.5, 0.7, 0.42),
    (30, -10, 90, 0.35, 0.5, 0.42),
    (-30, -10, 45, 0.65, 0.5, 0.42),
    (10, 30, 0, 0.25, 0.3, 0.5),
    (-10, -30, 0, 0.75, 0.7, 0.5),
    (25, 10, 180, 0.75, 0.3, 0.5),
    (-25, 15, 170, 0.25, 0.7, 0.5),
]
