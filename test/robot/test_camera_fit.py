"""Pictures in the description's size, and a lens that follows what was cropped, resized and rectified."""

import math

import cv2
import numpy as np
import pytest
import yaml

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.intrinsics import Intrinsics, pinhole_of
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.robot.camera.calibration_file import load_intrinsics, save_intrinsics
from so_arm_policy.robot.camera.fit import FitOptions, PictureFit
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import Camera

CAMERA = CameraConfig(name="overhead", width=64, height=48, fps=30.0, fovy_deg=50.0, frame_id="f")
LENS = Intrinsics(
    width=640,
    height=480,
    K=np.array([[480.0, 0.0, 325.0], [0.0, 482.0, 236.0], [0.0, 0.0, 1.0]]),
    distortion=np.array([-0.2, 0.05, 0.001, -0.002, 0.0]),
)
POINTS = np.array([[0.0, 0.0, 1.0], [0.2, -0.1, 1.0], [-0.3, 0.15, 1.1], [0.1, 0.25, 0.9]])


def seen(points, lens):
    """Where points (n, 3) ahead of a lens appear, (n, 2)."""
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.K, lens.distortion)[0].reshape(-1, 2)


def dotted(lens, points=POINTS):
    """A picture of `lens` with a soft white dot where each point appears."""
    rows, columns = np.mgrid[: lens.height, : lens.width]
    picture = np.zeros((lens.height, lens.width))
    for column, row in seen(points, lens):
        picture += 255.0 * np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * 12.0**2))
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def dot(picture, near, reach):
    """Middle of the dot near a place, (column, row)."""
    c, r = np.rint(near).astype(int)
    part = picture[r - reach : r + reach + 1, c - reach : c + reach + 1, 0].astype(float)
    rows, columns = np.mgrid[r - reach : r + reach + 1, c - reach : c + reach + 1]
    return np.array([(part * columns).sum(), (part * rows).sum()]) / part.sum()


def test_pictures_are_brought_to_the_camera_s_size_but_never_distorted():
    red = np.full((96, 128, 3), (0, 0, 255), np.uint8)
    fitted = PictureFit(CAMERA)(red)
    assert fitted.shape == (48, 64, 3)
    assert (fitted == (255, 0, 0)).all()
    with pytest.raises(DeviceError, match="got pictures of 100x48, expected 64x48"):
        PictureFit(CAMERA)(np.zeros((48, 100, 3), np.uint8))


def test_the_middle_of_a_wide_picture_can_be_asked_for():
    wide = np.zeros((48, 96, 3), np.uint8)
    wide[:, 16:80] = 255
    assert (PictureFit(CAMERA, options=FitOptions(crop="centre"))(wide) == 255).all()
    assert (PictureFit(CAMERA, options=FitOptions(crop="16,0,64,48"))(wide) == 255).all()
    with pytest.raises(DeviceError, match="expected X,Y,WIDTH,HEIGHT within 96x48"):
        PictureFit(CAMERA, options=FitOptions(crop="40,0,64,48"))(wide)


@pytest.mark.parametrize("crop", ["", "centre", "100,60,400,300"])
def test_the_lens_follows_the_picture(crop):
    fit = PictureFit(CAMERA, LENS, FitOptions(crop=crop))
    picture = fit(dotted(LENS))
    for place in seen(POINTS, fit.intrinsics)[:2]:
        assert np.linalg.norm(dot(picture, place, 4) - place) < 0.1


def test_a_rectified_picture_is_the_description_s_pinhole():
    fit = PictureFit(CAMERA, LENS, FitOptions(rectify=True))
    picture, ideal = fit(dotted(LENS)), pinhole_of(CAMERA)
    assert (fit.intrinsics.K == ideal.K).all()
    assert not fit.intrinsics.distortion.any()
    for place in seen(POINTS, ideal):
        assert np.linalg.norm(dot(picture, place, 4) - place) < 0.15
    assert np.abs(seen(POINTS, ideal) - seen(POINTS, LENS.resized(64, 48))).max() > 0.8


def test_a_pinhole_that_shows_more_than_the_lens_sees_is_refused():
    wide = CameraConfig(name="overhead", width=64, height=48, fps=30.0, fovy_deg=80.0, frame_id="f")
    with pytest.raises(ConfigError, match="expected 99 %; lower fovy_deg 80"):
        PictureFit(wide, LENS, FitOptions(rectify=True))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="expected its file too"):
        PictureFit(CAMERA, None, FitOptions(rectify=True))
    for options in ({"crop": "half"}, {"crop": "1,2,3"}, {"crop": "-1,0,4,4"}, {"crop": "centre", "rectify": True}):
        with pytest.raises(ConfigError, match="crop: got"):
            FitOptions(**options)
    with pytest.raises(DeviceError, match="got pictures of 320x240, expected 640x480 as the calibration has it"):
        PictureFit(CAMERA, LENS)(np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(ConfigError, match="got 1280x720 to ask for, expected 640x480 of its calibration"):
        Camera("0", CAMERA, CaptureOptions(width=1280, height=720), LENS)


def test_a_camera_asks_for_its_calibration_s_size():
    large = LENS.resized(1280, 960)
    assert Camera("0", CAMERA, None, large).options.width == 1280
    assert Camera("0", CAMERA).options.fps == CAMERA.fps


def test_resizing_and_cropping_back_change_nothing():
    same = LENS.resized(64, 48).resized(640, 480)
    assert np.allclose(same.K, LENS.K, atol=1e-12)
    assert LENS.fovy_deg == pytest.approx(LENS.resized(320, 240).fovy_deg)
    assert (LENS.cropped(0, 0, 640, 480).K == LENS.K).all()


def test_a_calibration_survives_its_file_to_the_bit(tmp_path):
    path = tmp_path / "new" / "overhead.yaml"
    tiny = Intrinsics(width=640, height=480, K=LENS.K, distortion=np.array([1e-5, -3e-17, 0.0, 1e-6, 2e20]))
    save_intrinsics(path, tiny, "overhead", ["24 views"])
    found = load_intrinsics(path)
    assert (found.K == tiny.K).all()
    assert (found.distortion == tiny.distortion).all()
    assert path.read_text().startswith("# 24 views\nimage_width: 640\n")
    assert [p.name for p in path.parent.iterdir()] == ["overhead.yaml"]


# As camera_calibration of ROS 2 Jazzy lays it out.
WRITTEN = """image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [430.15433, 0.0, 306.28137, 0.0, 430.54044, 227.02283, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.337586, 0.111359, -0.000292, 1e-05, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [345.31, 0.0, 303.69, 0.0, 0.0, 396.28, 225.12, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


def test_files_of_camera_calibration_are_read(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(WRITTEN)
    lens = load_intrinsics(path)
    assert (lens.K[0, 0], lens.distortion[3], lens.model) == (430.15433, 1e-5, "plumb_bob")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [math.nan] * 9}}, "finite numbers"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [430.0] * 8}}, "finite numbers"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": [0.0] * 9}}, "expected \\[\\[fx"),
        ({"camera_matrix": {"rows": 3, "cols": 3, "data": ["fast"] * 9}}, "expected numbers"),
        ({"image_width": 200}, "expected it in the picture of 200x480"),
        ({"image_width": 0}, "expected 1..8192"),
        ({"distortion_model": "equidistant"}, "expected one of \\['plumb_bob'"),
        ({"distortion_coefficients": {"rows": 1, "cols": 4, "data": [0.0] * 4}}, "got shape"),
        ({"rectification_matrix": {"rows": 3, "cols": 3, "data": [0.9] * 9}}, "single camera"),
        ({"roi": {}}, "unknown key 'roi'"),
    ],
)
def test_files_that_are_no_calibration_are_refused(tmp_path, change, message):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(WRITTEN), **change}))
    with pytest.raises(ConfigError, match=rf"camera\.yaml.*{message}"):
        load_intrinsics(path)
