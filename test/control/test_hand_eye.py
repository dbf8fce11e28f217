"""A camera's known place on a hand comes back from pictures of a board on the table."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from charuco_world import BOARD, LENS, picture, turned

from so_arm_policy.control.charuco.board import BoardView
from so_arm_policy.control.charuco.hand_eye import HandView, hand_eye
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.pinhole import look_at

R_HAND_CAMERA, POSITION = turned(-30.0, 4.0, 178.0), np.array([0.012, 0.06, -0.05])
R_WORLD_BOARD = turned(180.0, 0.0, 20.0)  # flat, read from above
BOARD_AT = np.array([0.12, 0.09, 0.0])
MIDDLE = BOARD_AT + R_WORLD_BOARD @ [0.125, 0.0875, 0.0]


def hand_at(camera_at, roll_deg, aim=(0.0, 0.0, 0.0)):
    """The hand's pose with its camera there, turned to the board."""
    R = look_at(camera_at, MIDDLE + aim, np.radians(roll_deg)) @ R_HAND_CAMERA.T
    return R, np.asarray(camera_at) - R @ POSITION


def shown(R_world_hand, tip, name, joints_off=0.0, seed=0, drawn=False):
    """What the camera sees of the board; joints_off: error of what the arm says, rad.

    drawn: in a picture; otherwise its corners, as far off as those in pictures are (test_charuco.py).
    """
    R_camera_world = (R_world_hand @ R_HAND_CAMERA).T
    R, t = R_camera_world @ R_WORLD_BOARD, R_camera_world @ (BOARD_AT - tip - R_world_hand @ POSITION)
    rng = np.random.default_rng(seed)
    if drawn:
        view = BOARD.find(picture(R, t, seed=seed), name)
    else:
        pixels = cv2.projectPoints(BOARD.corners, cv2.Rodrigues(R)[0], t, LENS.K, LENS.distortion)[0].reshape(-1, 2)
        pixels = pixels + rng.normal(0.0, 0.05, pixels.shape)
        inside = ((pixels > 0) & (pixels < [LENS.width, LENS.height])).all(axis=1)
        ids = np.flatnonzero(inside)
        view = BoardView(ids=ids, points=BOARD.corners[ids], pixels=pixels[ids], size=(640, 480), name=name)
    said = cv2.Rodrigues(rng.normal(0.0, joints_off, 3))[0] @ R_world_hand
    return HandView(view=view, R_world_hand=said, tip=tip + rng.normal(0.0, 0.3 * joints_off, 3))


PLACES = [
    (MIDDLE + [x, y, z], roll)
    for x, y, z, roll in (
        (0.01, -0.18, 0.38, 0.0),
        (0.15, 0.1, 0.4, 25.0),
        (-0.16, 0.08, 0.38, -30.0),
        (0.02, 0.22, 0.36, 60.0),
        (0.22, -0.02, 0.34, -70.0),
        (-0.2, -0.1, 0.35, 100.0),
        (0.1, -0.15, 0.45, 180.0),
        (-0.05, 0.05, 0.45, -140.0),
        (0.18, 0.15, 0.34, 10.0),
        (-0.12, 0.18, 0.36, 40.0),
    )
]


def all_views(joints_off=0.0, seed=0, **how):
    return [shown(*hand_at(*place), f"view {i}", joints_off, 100 * seed + i, **how) for i, place in enumerate(PLACES)]


def off(found):
    """Distance, mm, and angle, degrees, from the truth."""
    angle = np.degrees(np.linalg.norm(cv2.Rodrigues(found.R_hand_camera.T @ R_HAND_CAMERA)[0]))
    return 1e3 * np.linalg.norm(found.position - POSITION), angle


def test_the_place_comes_back_to_a_third_of_a_millimetre_and_a_twentieth_of_a_degree():
    found = hand_eye(all_views(drawn=True), LENS)
    distance_mm, angle_deg = off(found)
    assert distance_mm < 0.3
    assert angle_deg < 0.05
    assert found.error_m < 3e-4
    assert found.error_rad < 1e-3
    assert distance_mm < 4e3 * found.position_sd_m


@pytest.mark.parametrize("seed", range(6))
def test_joints_that_are_off_by_half_a_degree_cost_a_few_millimetres_and_are_seen(seed):
    found = hand_eye(all_views(0.0087, seed), LENS)
    distance_mm, angle_deg = off(found)
    assert distance_mm < 7.0
    assert angle_deg < 1.0
    assert distance_mm < 4e3 * found.position_sd_m
    assert 0.004 < found.error_rad < 0.02
    assert 0.002 < found.error_m < 0.01


def test_too_few_views_and_a_hand_that_turns_about_one_axis_are_refused():
    with pytest.raises(InputError, match="got 7 views of the board, expected at least 8"):
        hand_eye(all_views()[:7], LENS)
    rolling = [shown(*hand_at(MIDDLE + [0.0, -0.01, 0.4], 20.0 * i), f"view {i}", seed=i) for i in range(10)]
    with pytest.raises(InputError, match="turns about one axis only"):
        hand_eye(rolling, LENS)


def test_a_board_that_moved_and_joints_of_other_pictures_are_refused():
    views = all_views()
    swapped = [
        replace(v, R_world_hand=w.R_world_hand, tip=w.tip) for v, w in zip(views, views[1:] + views[:1], strict=True)
    ]
    with pytest.raises(InputError, match=r"expected at most 10 mm and 3 degrees; did the board move"):
        hand_eye(swapped, LENS)


def test_pictures_of_another_size_than_the_lens_are_refused():
    with pytest.raises(InputError, match="view 0: got a picture of 640x480, expected 320x240"):
        hand_eye(all_views(), LENS.resized(320, 240))
