"""Where a camera stands, from the command line."""

import cv2
import numpy as np
import pytest
import yaml

from so_arm_policy.cli import main
from so_arm_policy.control.calibration import CameraPose
from so_arm_policy.control.tags import dictionary_of
from so_arm_policy.core.intrinsics import Intrinsics, pinhole_of
from so_arm_policy.core.pinhole import Pinhole, look_at
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.evaluate.locate_camera_command import stand_of
from so_arm_policy.robot.camera.calibration_file import save_intrinsics

POSITION, TARGET, ROLL = np.array([0.5, 0.12, 0.42]), np.array([0.2, 0.0, 0.0]), 0.3
CAMERA = CameraConfig(name="overhead", width=640, height=480, fps=30.0, fovy_deg=42.0, frame_id="f")
VIEW = Pinhole(CAMERA, POSITION, look_at(POSITION, TARGET, ROLL))
SIZE_M, PITCH_M, PAGE_PX = 0.04, 0.06, 2400  # of a page of 0.2 m
BOARD = {
    "family": "apriltag_36h11",
    "size_m": SIZE_M,
    "tags": {i: [PITCH_M * (i % 3), -PITCH_M * (i // 3)] for i in range(6)},
    "xyz": [0.14, 0.03, 0.0],
}


def page():
    """Return a page with the tags, whose upper left corner is 4 cm left of and above the board's origin."""
    drawn = np.full((PAGE_PX, PAGE_PX), 255, dtype=np.uint8)
    scale = PAGE_PX / 0.2
    for tag, (x, y) in BOARD["tags"].items():
        size = round(SIZE_M * scale)
        square = cv2.aruco.generateImageMarker(dictionary_of(BOARD["family"]), tag, size)
        left, top = round((x + 0.04 - SIZE_M / 2) * scale), round((0.04 - y - SIZE_M / 2) * scale)
        drawn[top : top + size, left : left + size] = square
    return drawn


@pytest.fixture
def files(tmp_path):
    corners = np.array([[-0.04, 0.04], [0.16, 0.04], [0.16, -0.16], [-0.04, -0.16]])
    world = np.column_stack([corners + BOARD["xyz"][:2], np.zeros(4)])
    fine = 4
    source = np.array([[0, 0], [PAGE_PX, 0], [PAGE_PX, PAGE_PX], [0, PAGE_PX]], dtype=np.float32)
    H = cv2.getPerspectiveTransform(source, (fine * VIEW.pixels(world)).astype(np.float32))
    size = (fine * CAMERA.width, fine * CAMERA.height)
    large = cv2.warpPerspective(page(), H, size, flags=cv2.INTER_AREA, borderValue=180)
    picture = cv2.resize(large, (CAMERA.width, CAMERA.height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "picture.png"), picture)
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(BOARD))
    return tmp_path


def test_the_stand_that_is_printed_is_where_the_camera_is(files, capsys):
    assert main(["locate-camera", str(files / "picture.png"), "--board", str(files / "board.yaml")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("tags 0, 1, 2, 3, 4, 5: corners 0.")
    stand = yaml.safe_load(printed[-1])["stand"]
    assert np.allclose(stand["position"], POSITION, atol=0.002)
    found = look_at(stand["position"], stand["target"], np.radians(stand["roll_deg"]))
    assert np.abs(found - VIEW.R_world_optical).max() < 0.01


def test_the_lens_of_a_real_camera_is_taken_out_before(files, capsys):
    straight = pinhole_of(CAMERA)
    K = straight.K + np.array([[14.0, 0.0, 9.0], [0.0, 14.0, -7.0], [0.0, 0.0, 0.0]])
    lens = Intrinsics(width=640, height=480, K=K, distortion=np.array([-0.15, 0.03, 0.0, 0.0, 0.0]))
    columns, rows = np.meshgrid(np.arange(640.0), np.arange(480.0))
    taken = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    seen = cv2.undistortPoints(taken, lens.K, lens.distortion, None, straight.K).reshape(480, 640, 2)
    bent = cv2.remap(cv2.imread(str(files / "picture.png")), seen.astype(np.float32), None, cv2.INTER_CUBIC)
    cv2.imwrite(str(files / "bent.png"), bent)
    save_intrinsics(files / "lens.yaml", lens, "overhead")
    given = ["locate-camera", str(files / "bent.png"), "--board", str(files / "board.yaml")]
    assert main([*given, "--lens", str(files / "lens.yaml")]) == 0
    stand = yaml.safe_load(capsys.readouterr().out.splitlines()[-1])["stand"]
    assert np.allclose(stand["position"], POSITION, atol=0.003)
    assert main(given) == 0  # as a pinhole, it is elsewhere
    bent_stand = yaml.safe_load(capsys.readouterr().out.splitlines()[-1])["stand"]
    assert np.linalg.norm(np.subtract(bent_stand["position"], POSITION)) > 0.006


@pytest.mark.parametrize("target", [(0.2, 0.0, 0.0), (0.2, 0.3, 0.6), (0.49, 0.12, 0.1)])
@pytest.mark.parametrize("roll", [0.0, 2.0, -3.0])
def test_a_stand_says_the_same_as_the_pose(target, roll):
    R = look_at(POSITION, target, roll)
    stand = stand_of(CameraPose(position=POSITION, R_base_camera=R, error_px=0.0, position_sd_m=0.0, tags=(1,)))
    assert np.allclose(look_at(stand.position, stand.target, np.radians(stand.roll_deg)), R)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tags": {40: [0.0, 0.0]}}, "expected some of [40]"),
        ({"size": 3}, "unknown key 'size'"),
        ({"family": "qr"}, "got family 'qr'"),
    ],
)
def test_another_board_is_named(files, capsys, change, message):
    (files / "board.yaml").write_text(yaml.safe_dump({**BOARD, **change}))
    assert main(["locate-camera", str(files / "picture.png"), "--board", str(files / "board.yaml")]) == 2
    assert message in capsys.readouterr().err


def test_pictures_of_another_shape_and_none_at_all_are_named(files, capsys):
    cv2.imwrite(str(files / "tall.png"), np.zeros((400, 300, 3), dtype=np.uint8))
    for name, message in (
        ("tall.png", "got 300x400, expected the shape of camera 'overhead'"),
        ("no.png", "got no file"),
    ):
        assert main(["locate-camera", str(files / name), "--board", str(files / "board.yaml")]) == 2
        assert message in capsys.readouterr().err
