"""The pose of a camera comes back from pictures that it would take of a board: drawn from the pose by OpenCV."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from so_arm_policy.control.calibration import MAX_ERROR_PX, TagBoard, camera_matrix, camera_pose
from so_arm_policy.control.tags import FAMILIES, dictionary_of, find_tags
from so_arm_policy.core.errors import ConfigError, InputError, ShapeError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.model import standing_camera

STAND = load_robot("so101").camera("overhead").stand
OVERHEAD_POSITION, OVERHEAD_TARGET = STAND.position, STAND.target
CAMERA = CameraConfig(
    name="overhead", width=640, height=480, fps=30.0, fovy_deg=42.0, frame_id="overhead_optical_frame", stand=STAND
)
# The drawn picture is larger by FINE and then averaged: its edges are as smooth as a lens makes them.
FINE = 4
PAGE_PX_PER_CELL = 60
STRAIGHT_DOWN = ((0.2, 0.03, 0.6), (0.2, 0.031, 0.0))
POSES = {
    "overhead of the simulator": (OVERHEAD_POSITION, OVERHEAD_TARGET),
    "straight down": STRAIGHT_DOWN,
    "from the left, close": ((-0.1, 0.3, 0.4), (0.2, 0.0, 0.0)),
    "from the right, low": ((0.6, -0.3, 0.3), (0.18, 0.05, 0.0)),
    "far": ((0.5, 0.4, 0.7), (0.2, 0.0, 0.0)),
}


def turned(x, y, z):
    return cv2.Rodrigues(np.array([0.0, 0.0, z]))[0] @ cv2.Rodrigues(np.array([x, y, 0.0]))[0]


def some_board(family="apriltag_36h11", ids=(4, 1, 17, 8, 12, 3), size_m=0.04, **changes):
    """Three tags in a row, and rows below."""
    pitch = size_m * 1.4
    tags = {tag: np.array([i % 3 * pitch, -(i // 3) * pitch]) for i, tag in enumerate(ids)}
    pose = {"position": np.array([0.16, 0.03, 0.003]), "R_base_board": turned(0.0, 0.0, 0.4)}
    return TagBoard(**({"family": family, "size_m": size_m, "tags": tags} | pose | changes))


def looking(position, target):
    """Rotation of an optical frame at `position` that sees `target`: x right, y down, z forward; base z is up."""
    forward = np.subtract(target, position) / np.linalg.norm(np.subtract(target, position))
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(forward, right), forward])


def page(board):
    """The printed board, and the homography from its pixels to metres in the board frame."""
    cells = dictionary_of(board.family).markerSize + 2
    px_per_m = PAGE_PX_PER_CELL * cells / board.size_m
    tag_px = PAGE_PX_PER_CELL * cells
    corners = {tag: np.rint((middle * [1, -1] - board.size_m / 2) * px_per_m) for tag, middle in board.tags.items()}
    first = np.min(list(corners.values()), axis=0) - tag_px // 4
    columns, rows = (np.max(list(corners.values()), axis=0) - first + tag_px * 5 // 4).astype(int)
    printed = np.full((rows, columns), 255, np.uint8)
    for tag, corner in corners.items():
        column, row = (corner - first).astype(int)
        marker = cv2.aruco.generateImageMarker(dictionary_of(board.family), tag, tag_px)
        printed[row : row + tag_px, column : column + tag_px] = marker
    x, y = (first + 0.5) / px_per_m
    return printed, np.array([[1 / px_per_m, 0, x], [0, -1 / px_per_m, -y], [0, 0, 1.0]])


def picture(board, position, R_base_camera, noise=2.0, blur=0.6, seed=0):
    """What CAMERA sees of the board on a grey table, (480, 640, 3)."""
    printed, metres = page(board)
    R = R_base_camera.T @ board.R_base_board
    t = R_base_camera.T @ (board.position - np.asarray(position))
    finer = np.array([[FINE, 0, (FINE - 1) / 2], [0, FINE, (FINE - 1) / 2], [0, 0, 1.0]])
    H = finer @ camera_matrix(CAMERA) @ np.column_stack([R[:, :2], t]) @ metres
    # The page has more pixels than the picture: without blur, thin parts of it would fall between them.
    printed = cv2.GaussianBlur(printed, (0, 0), PAGE_PX_PER_CELL / 20)
    size = (CAMERA.width * FINE, CAMERA.height * FINE)
    fine = cv2.warpPerspective(printed, H, size, flags=cv2.INTER_LINEAR, borderValue=130)
    gray = cv2.resize(fine, (CAMERA.width, CAMERA.height), interpolation=cv2.INTER_AREA).astype(np.float64)
    gray = cv2.GaussianBlur(gray, (0, 0), blur) * 0.8 + 20.0
    gray += np.random.default_rng(seed).normal(0.0, noise, gray.shape)
    return np.repeat(np.clip(np.rint(gray), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def off(found, position, R_base_camera):
    """Distance, mm, and angle, degrees, between poses."""
    turn = cv2.Rodrigues(found.R_base_camera.T @ R_base_camera)[0]
    return 1e3 * np.linalg.norm(found.position - position), math.degrees(np.linalg.norm(turn))


@pytest.mark.parametrize(("position", "target"), POSES.values(), ids=POSES)
@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
def test_the_pose_comes_back_to_a_millimetre_and_a_tenth_of_a_degree(position, target, noise):
    R = looking(position, target)
    board = some_board()
    found = camera_pose(picture(board, position, R, noise), CAMERA, board)
    distance_mm, angle_deg = off(found, position, R)
    # From straight above, moving to the side and turning back look nearly the same.
    weaker = 4.0 if (position, target) == STRAIGHT_DOWN else 1.0
    assert distance_mm < weaker
    assert angle_deg < 0.1 * weaker
    assert distance_mm < 4e3 * found.position_sd_m
    assert found.error_px < 0.1
    assert found.tags == tuple(sorted(board.tags))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_found_on_a_board_that_leans_on_something(family):
    board = some_board(family, position=np.array([0.12, 0.05, 0.15]), R_base_board=turned(0.7, -0.3, 1.2))
    position = (0.45, 0.1, 0.45)
    R = looking(position, (0.15, 0.1, 0.12))
    distance_mm, angle_deg = off(camera_pose(picture(board, position, R), CAMERA, board), position, R)
    assert distance_mm < 1.0
    assert angle_deg < 0.1


def test_what_the_picture_cannot_tell_is_said():
    board = some_board()
    down, aside, close = (
        camera_pose(picture(board, position, looking(position, target)), CAMERA, board).position_sd_m
        for position, target in (STRAIGHT_DOWN, POSES["overhead of the simulator"], POSES["from the left, close"])
    )
    assert down > 4 * aside > 4 * close > 0.0


def test_one_large_tag_seen_from_the_side_is_enough():
    board = some_board(ids=(5,), size_m=0.1)
    R = looking(OVERHEAD_POSITION, OVERHEAD_TARGET)
    found = camera_pose(picture(board, OVERHEAD_POSITION, R), CAMERA, board)
    assert off(found, OVERHEAD_POSITION, R)[0] < 2.0
    assert found.tags == (5,)


def test_corners_are_found_to_a_twentieth_of_a_pixel_without_bias():
    board, errors = some_board(), []
    for position, target in POSES.values():
        R = looking(position, target)
        for tag, corners in find_tags(picture(board, position, R, noise=0.0), board.family):
            seen = (board.corners(tag) @ board.R_base_board.T + board.position - position) @ R @ camera_matrix(CAMERA).T
            exact = seen[:, :2] / seen[:, 2:]
            outwards = exact - exact.mean(axis=0)
            outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
            errors.append(np.column_stack([corners - exact, np.sum((corners - exact) * outwards, axis=1)]))
    assert len(errors) == len(POSES) * len(board.tags)
    along_x, along_y, larger = np.concatenate(errors).T
    assert max(np.abs(e.mean()) for e in (along_x, along_y, larger)) < 0.02
    assert np.hypot(along_x, along_y).max() < 0.15
    assert max(along_x.std(), along_y.std()) < 0.05


def test_the_picture_is_that_of_the_simulators_camera():
    """K and the optical frame of REP-103 agree with MuJoCo's camera, whose y is up and which looks along -z."""
    points = np.array([[0.2, 0.0, 0.0], [0.25, 0.1, 0.02], [0.1, -0.12, 0.1]])
    seen = (points - OVERHEAD_POSITION) @ looking(OVERHEAD_POSITION, OVERHEAD_TARGET) @ camera_matrix(CAMERA).T
    share = standing_camera(CAMERA).shares(points)
    np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], share * [CAMERA.width, CAMERA.height] - 0.5, atol=1e-9)


def test_moving_board_and_camera_together_changes_nothing_else():
    board, (position, target) = some_board(), POSES["far"]
    rgb = picture(board, position, looking(position, target))
    found = camera_pose(rgb, CAMERA, board)
    R, t = turned(0.3, -0.2, 2.0), np.array([0.4, -1.0, 0.3])
    moved = replace(board, position=R @ board.position + t, R_base_board=R @ board.R_base_board)
    again = camera_pose(rgb, CAMERA, moved)
    np.testing.assert_allclose(again.position, R @ found.position + t, atol=1e-9)
    np.testing.assert_allclose(again.R_base_camera, R @ found.R_base_camera, atol=1e-9)
    assert again.error_px == found.error_px


def overhead(board, **how):
    return picture(board, OVERHEAD_POSITION, looking(OVERHEAD_POSITION, OVERHEAD_TARGET), **how)


def test_covered_tags_and_tags_of_others_are_passed_over():
    board = some_board()
    rgb = overhead(board)
    R = looking(OVERHEAD_POSITION, OVERHEAD_TARGET)
    fewer = replace(board, tags={tag: board.tags[tag] for tag in (4, 1, 17, 3)} | {30: np.array([0.5, 0.5])})
    found = camera_pose(rgb, CAMERA, fewer)
    assert found.tags == (1, 3, 4, 17)
    assert off(found, OVERHEAD_POSITION, R)[0] < 1.5


def refused(message, rgb, board, camera=CAMERA, **how):
    with pytest.raises(InputError, match=message):
        camera_pose(rgb, camera, board, **how)


def test_pictures_that_show_no_tag_or_other_tags_are_refused():
    board = some_board()
    refused("got a picture without any tag, expected some of", np.full((480, 640, 3), 128, np.uint8), board)
    refused(r"got tags \[30, 31, 32\], expected some of \[1, 3, 4", overhead(some_board(ids=(30, 31, 32))), board)
    refused("without any tag", overhead(some_board("aruco_6x6_50")), board)
    # In a mirror tags cannot be read.
    refused("without any tag", np.ascontiguousarray(overhead(board)[:, ::-1]), board)


def test_a_tag_that_is_seen_twice_is_refused():
    board = some_board(ids=(4,))
    rgb = overhead(board)
    both = rgb.copy()
    row, column = np.argwhere(rgb[..., 0] < 60).mean(axis=0).astype(int)
    patch = rgb[row - 60 : row + 60, column - 60 : column + 60]
    both[300:420, 40:160] = patch
    both[300:420, 400:520] = patch
    refused(r"got tags \[4\] more than once", both, board)


def test_corners_that_do_not_fit_the_board_are_refused():
    board = some_board()
    rgb = overhead(board)
    swapped = replace(board, tags=board.tags | {4: board.tags[3], 3: board.tags[4]})
    refused(f"pixels off with tags .* expected at most {MAX_ERROR_PX}", rgb, swapped)
    shifted = replace(board, tags=board.tags | {4: board.tags[4] + [-0.004, 0.004]})
    refused("pixels off", rgb, shifted)
    refused("pixels off", rgb, board, max_error_px=0.001)
    refused("pixels off", rgb, board, max_error_px=math.nan)
    wide = replace(CAMERA, fovy_deg=70.0)
    refused("pixels off", rgb, board, camera=wide)


def test_a_small_tag_far_away_that_two_poses_explain_is_refused():
    board = some_board(ids=(5,), size_m=0.03, R_base_board=turned(0.12, 0.0, 0.0))
    position = np.array([0.16, 0.031, 0.7])
    refused("got two poses that explain", picture(board, position, looking(position, (0.16, 0.032, 0.0))), board)


def test_a_picture_of_another_size_is_refused():
    refused("got picture", np.zeros((120, 160, 3), np.uint8), some_board())
    refused("got picture", np.zeros((480, 640), np.uint8), some_board())
    refused("got picture", np.zeros((480, 640, 3)), some_board())


def test_tags_too_small_to_be_measured_are_refused():
    board = some_board(size_m=0.012)
    with pytest.raises(InputError, match="cells of 1.* pixels, expected at least 2"):
        find_tags(overhead(board, blur=0.3, noise=0.0), board.family)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"family": "qr"}, ConfigError),
        ({"size_m": 0.0}, ConfigError),
        ({"size_m": math.nan}, ConfigError),
        ({"tags": {}}, ConfigError),
        ({"tags": {587: np.zeros(2)}}, ConfigError),
        ({"tags": {-1: np.zeros(2)}}, ConfigError),
        ({"tags": {1: np.zeros(2), 2: np.array([0.03, 0.03])}}, ConfigError),
        ({"tags": {1: np.zeros(3)}}, ShapeError),
        ({"position": np.array([0.0, math.nan, 0.0])}, ShapeError),
        ({"R_base_board": np.diag([1.0, 1.0, -1.0])}, ConfigError),
        ({"R_base_board": 1.01 * np.eye(3)}, ConfigError),
        ({"R_base_board": np.full((3, 3), math.nan)}, ShapeError),
    ],
)
def test_boards_that_cannot_be_are_refused(changes, error):
    with pytest.raises(error, match="got"):
        some_board(**changes)


def test_results_cannot_be_written_to():
    board = some_board()
    found = camera_pose(overhead(board), CAMERA, board)
    for array in (found.position, found.R_base_camera, board.position, camera_matrix(CAMERA), *board.tags.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
