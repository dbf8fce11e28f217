"""A known lens comes back from pictures that it would take of a board; what cannot give one is refused."""

import functools
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves helper modules unfound

from charuco_world import BOARD, LENS, VIEWS, picture, pose

from so_arm_policy.control.charuco.board import CharucoBoard
from so_arm_policy.control.charuco.coverage import is_new, is_still, missing, tilt_of
from so_arm_policy.control.charuco.lens import fit_lens, folds_at
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.intrinsics import Intrinsics


@functools.cache
def view(number, noise=2.0):
    return BOARD.find(picture(*pose(*VIEWS[number]), noise=noise, seed=number), f"view {number}")


def views(noise=2.0):
    return [view(i, noise) for i in range(len(VIEWS))]


def flat(number):
    """A view without any leaning, somewhere in the picture."""
    column, row = 0.28 + 0.11 * (number % 5), 0.3 + 0.2 * (number // 5)
    return BOARD.find(picture(*pose(0, 0, 7 * number, column, row, 0.45), seed=number), f"flat {number}")


def test_corners_are_found_to_a_twentieth_of_a_pixel_and_without_bias():
    off = []
    for i in range(len(VIEWS)):
        found, (R, t) = view(i), pose(*VIEWS[i])
        exact = cv2.projectPoints(found.points, cv2.Rodrigues(R)[0], t, LENS.K, LENS.distortion)[0].reshape(-1, 2)
        off.append(found.pixels - exact)
    off = np.concatenate(off)
    assert len(off) > 0.95 * len(VIEWS) * len(BOARD.corners)
    assert np.abs(off.mean(axis=0)).max() < 0.01
    assert np.sqrt((off**2).mean()) < 0.06


@pytest.mark.parametrize("noise", [2.0, 8.0])
def test_the_lens_comes_back_within_two_thousandths_and_within_what_is_said(noise):
    fit = fit_lens(views(noise))
    focal = np.array([fit.lens.K[0, 0], fit.lens.K[1, 1]])
    off = np.abs(focal - [610.0, 612.0])
    assert (off < 0.002 * focal).all()
    assert (off < 4 * fit.focal_sd_px).all()
    assert (fit.focal_sd_px < 0.002 * focal).all()
    assert np.abs(fit.lens.K[:2, 2] - LENS.K[:2, 2]).max() < 1.5
    assert fit.rms_px < 0.15
    assert fit.worst_px >= fit.rms_px
    assert (fit.views, fit.left_out) == (len(VIEWS), ())
    # What matters is where things appear: within a quarter of a pixel, to the corners of the picture.
    rays = np.array([[x, y, 1.0] for x in (-0.5, 0.0, 0.5) for y in (-0.35, 0.0, 0.35)])
    seen = [cv2.projectPoints(rays, np.zeros(3), np.zeros(3), a.K, a.distortion)[0] for a in (fit.lens, LENS)]
    moved = (seen[0] - seen[1]).reshape(-1, 2)
    assert np.abs(moved - moved[4]).max() < 0.5  # how the camera is turned is no matter of the lens


def test_a_blurred_view_is_left_out_by_name():
    R, t = pose(*VIEWS[4])
    spoilt = view(4)
    shaken = spoilt.pixels + np.random.default_rng(0).normal(0.0, 3.0, spoilt.pixels.shape)
    fit = fit_lens([*views(), replace(spoilt, pixels=shaken, name="shaken")])
    assert fit.left_out == ("shaken",)
    assert abs(fit.lens.K[0, 0] - 610.0) < 1.2


def test_pictures_that_say_too_little_are_refused_with_what_is_missing():
    with pytest.raises(InputError, match="got 4 with the board, expected also 6 more views of the board; the board in"):
        fit_lens([view(i) for i in (0, 5, 6, 7)])
    with pytest.raises(InputError, match="expected also 10 views of the board"):
        fit_lens([])
    left = [replace(v, pixels=v.pixels * [0.5, 1.0], name=v.name) for v in views()]
    with pytest.raises(InputError, match="upper right, right, lower right.*left and right edges"):
        fit_lens(left)
    with pytest.raises(InputError, match="one size"):
        fit_lens([*views(), replace(view(0), size=(320, 240))])


def test_a_board_that_never_leans_tells_no_focal_length():
    with pytest.raises(
        InputError, match=r"leaning forwards or backwards by 20 degrees; .*leaning to the left or right"
    ):
        fit_lens([flat(i) for i in range(15)])


def test_views_that_contradict_each_other_are_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(InputError, match=r"lens: got corners \d.* pixels off .*expected at most 1\.0"):
        fit_lens([replace(v, pixels=v.pixels + rng.normal(0.0, 3.0, v.pixels.shape)) for v in views()])


def test_leaning_is_told_about_both_axes():
    for i, (x, y, *_) in enumerate(VIEWS):
        if VIEWS[i][2] == 0:
            assert np.abs(np.abs(tilt_of(view(i), LENS.K)) - np.abs([x, y])).max() < 4.0
    assert missing(views()) == []


def test_only_still_and_new_views_count():
    R, t = pose(*VIEWS[0])
    near = BOARD.find(picture(R, t + [0.002, 0.0, 0.0]), "near")
    assert not is_new(near, [view(0)])
    assert not is_still(near, view(0))
    again = BOARD.find(picture(R, t, seed=99), "again")
    assert is_still(again, view(0))
    assert not is_still(again, None)
    assert is_new(view(3), [view(0), view(1)])


def test_pictures_without_a_board_give_none():
    assert BOARD.find(np.full((480, 640), 128, np.uint8)) is None
    R, t = pose(0, 0, 0, column=1.45)
    assert BOARD.find(picture(R, t)) is None


@pytest.mark.parametrize(
    "other",
    [
        CharucoBoard(columns=8, rows=6, square_mm=30.0, marker_mm=22.0),
        CharucoBoard(columns=7, rows=10),
        CharucoBoard(columns=9, rows=7),
    ],
)
def test_another_board_is_named(other):
    shown = picture(*pose(10, 10, 0, board=other), board=other)
    assert other.find(shown) is not None
    with pytest.raises(InputError, match=r"photo: got tags \[0, 1, .* of another board, expected one of 10x7 squares"):
        BOARD.find(shown, "photo")


def test_a_board_of_other_tags_is_no_board():
    other = CharucoBoard(family="aruco_6x6_50")
    assert BOARD.find(picture(*pose(0, 0, 0, board=other), board=other)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"columns": 2},
        {"rows": 51},
        {"columns": 20, "rows": 20},
        {"marker_mm": 25.0},
        {"marker_mm": float("nan")},
        {"square_mm": float("nan")},
        {"family": "qr"},
    ],
)
def test_boards_that_cannot_be_are_refused(change):
    with pytest.raises(ConfigError, match=r"got .*, expected"):
        CharucoBoard(**change)


def test_a_distortion_that_turns_back_within_the_picture_is_found():
    assert folds_at(LENS) is None
    K, r = LENS.K, np.linspace(0, 1, 1000)
    bent = Intrinsics(width=640, height=480, K=K, distortion=np.array([-0.9, 0.0, 0.0, 0.0, 0.0]))
    assert folds_at(bent) == pytest.approx(611.0 * (r - 0.9 * r**3).max(), rel=1e-3)
