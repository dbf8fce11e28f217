"""A lens, and a camera's place on the hand, from the command line: from pictures that a known camera takes."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).parents[1] / "control"))  # pytest's importlib mode leaves helper modules unfound

from charuco_world import BOARD, LENS, VIEWS, picture, pose, turned

from so_arm_policy.cli import main
from so_arm_policy.core.robot import CameraMount
from so_arm_policy.evaluate.board_print import DPI, PX_PER_MM
from so_arm_policy.evaluate.calibrate_camera_command import rpy_deg
from so_arm_policy.robot.camera.calibration_file import load_intrinsics, save_intrinsics
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.model import build_model, camera_in

ROBOT = load_robot("so101")


def drawn(number):
    return picture(*pose(*VIEWS[number]), seed=number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("views")
    for i in range(len(VIEWS)):
        cv2.imwrite(str(made / f"{i:02d}.png"), drawn(i))
    return made


def test_a_folder_of_pictures_becomes_a_calibration(folder, tmp_path, capsys):
    out = tmp_path / "overhead.yaml"
    assert main(["calibrate-camera", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "13 views of 640x480" in printed
    assert "focal length 6" in printed
    lens = load_intrinsics(out)
    assert np.abs(lens.K - LENS.K).max() < 1.5
    assert f"fovy_deg: {lens.fovy_deg:.2f} for the robot's description, which has 42" in printed
    assert main(["calibrate-camera", str(folder), "--out", str(out)]) == 2
    assert "which is there, expected a new file" in capsys.readouterr().err


def test_a_video_gives_its_still_and_new_views_and_says_what_is_missing(tmp_path, capsys):
    video, out, keep = tmp_path / "board.avi", tmp_path / "lens.yaml", tmp_path / "kept"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (640, 480))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 95)
    for i in (0, 5, 6):
        for _ in range(3):
            writer.write(cv2.cvtColor(drawn(i), cv2.COLOR_GRAY2BGR))
    writer.release()
    assert main(["calibrate-camera", str(video), "--out", str(out), "--keep", str(keep)]) == 2
    told = capsys.readouterr()
    assert "view 3: " in told.out
    assert "view 4: " not in told.out
    assert "still needed: 7 more views of the board" in told.out
    assert "got 3 with the board, expected also 7 more views" in told.err
    assert not out.exists()
    assert len(list(keep.iterdir())) == 3


@pytest.mark.parametrize("name", ["board.png", "board.pdf"])
def test_the_board_is_printed_in_its_size(tmp_path, capsys, name):
    path = tmp_path / name
    assert main(["calibrate-camera", "--board", str(path), "--square-mm", "20", "--marker-mm", "14"]) == 0
    assert "212 x 154 mm" in capsys.readouterr().out
    if name.endswith("png"):
        with PillowImage.open(path) as page:
            assert page.info["dpi"] == pytest.approx((DPI, DPI), rel=1e-3)
            assert page.size == (212 * PX_PER_MM, 154 * PX_PER_MM)
            view = replace(BOARD, square_mm=20.0, marker_mm=14.0).find(np.asarray(page))
        spread = np.ptp(view.pixels, axis=0) / PX_PER_MM
        assert np.abs(spread - [160.0, 100.0]).max() < 0.1
    else:
        size = [float(v) for v in path.read_bytes().split(b"/MediaBox [")[1].split(b"]")[0].split()]
        assert np.array(size[2:]) * 25.4 / 72 == pytest.approx([212.0, 154.0], abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got neither a source nor --board"),
        (["--board", "board.jpg"], "expected a name that ends in .png or .pdf"),
        (["{folder}"], "--out: got none"),
        (["{empty}", "--out", "{new}"], "got 1 pictures without the board"),
        (["{folder}", "--out", "{new}", "--columns", "9"], "of another board, expected one of 9x7 squares"),
        (["{folder}", "--out", "{new}", "--camera", "tail"], "got camera 'tail'"),
        (["/dev/video63", "--out", "{new}"], "got no such device"),
        (["0", "--out", "{new}", "--size", "large"], "--size: got 'large'"),
        (["{folder}", "--joints", "q.csv"], "got no --lens"),
    ],
)
def test_what_cannot_be_is_refused(folder, tmp_path, capsys, arguments, message):
    empty, new = tmp_path / "empty", tmp_path / "new.yaml"
    empty.mkdir()
    cv2.imwrite(str(empty / "a.png"), np.full((480, 640), 128, np.uint8))
    given = [a.format(folder=folder, empty=empty, new=new) for a in arguments]
    assert main(["calibrate-camera", *given]) == 2
    assert message in capsys.readouterr().err
    assert not new.exists()


MOUNT = CameraMount(xyz=(0.004, 0.051, -0.062), rpy_deg=(24.0, -3.0, 2.0))


def with_mount(mount):
    cameras = tuple(replace(c, mount=mount) if c.name == "wrist" else c for c in ROBOT.cameras)
    return replace(ROBOT, cameras=cameras)


def camera_at(model, q):
    """The wrist camera's place and turn at joints q."""
    data = mujoco.MjData(model)
    for name, value in zip(ROBOT.joint_names, q, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    found = camera_in(data, ROBOT.camera("wrist"))
    hand = data.site("gripperframe")
    return found, hand.xpos.copy(), hand.xmat.reshape(3, 3).copy()


def test_a_mount_is_the_camera_s_frame_in_the_hand_s(tmp_path):
    found, tip, R_world_hand = camera_at(build_model(with_mount(MOUNT)), ROBOT.home)
    assert np.allclose(R_world_hand.T @ (found.position - tip), MOUNT.xyz, atol=1e-9)
    assert np.allclose(rpy_deg(R_world_hand.T @ found.R_world_optical), MOUNT.rpy_deg, atol=1e-6)


@pytest.fixture(scope="module")
def hand_pictures(tmp_path_factory):
    """Pictures of a board on the table as the wrist camera, mounted as MOUNT says, takes them, and the joints."""
    made = tmp_path_factory.mktemp("hand")
    model, rng = build_model(with_mount(MOUNT)), np.random.default_rng(2)
    home, _, _ = camera_at(model, ROBOT.home)
    ray = home.R_world_optical[:, 2]
    middle = home.position - ray * home.position[2] / ray[2]
    R_board = turned(180.0, 0.0, 90.0)
    at = middle - R_board @ [0.035, 0.0245, 0.0]
    small = replace(BOARD, square_mm=7.0, marker_mm=5.0)
    rows = []
    while len(rows) < 10:
        q = ROBOT.home + rng.uniform(-1, 1, 6) * [0.3, 0.5, 0.5, 0.8, 1.5, 0.0]
        view, _, _ = camera_at(model, q)
        R, t = view.R_world_optical.T @ R_board, view.R_world_optical.T @ (at - view.position)
        ends = cv2.projectPoints(small.corners, cv2.Rodrigues(R)[0], t, LENS.K, LENS.distortion)[0].reshape(-1, 2)
        if t[2] <= 0.05 or R[2, 2] < 0.3 or not ((ends > 10) & (ends < [630, 470])).all(axis=1).mean() > 0.6:
            continue
        name = f"{len(rows):02d}.png"
        cv2.imwrite(str(made / name), picture(R, t, board=small, seed=len(rows)))
        rows.append([name, *q])
    with (made / "joints.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["picture", *ROBOT.joint_names], *rows])
    save_intrinsics(made / "lens.yaml", LENS, "wrist")
    return made


def hand_eye_arguments(made, joints="joints.csv"):
    given = ["calibrate-camera", str(made), "--camera", "wrist", "--square-mm", "7", "--marker-mm", "5"]
    return [*given, "--joints", str(made / joints), "--lens", str(made / "lens.yaml")]


def test_the_wrist_camera_s_place_comes_back_ready_for_the_description(hand_pictures, capsys):
    assert main(hand_eye_arguments(hand_pictures)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("10 views: joints and pictures differ by 1.")
    mount = CameraMount(**yaml.safe_load(printed[-1])["mount"])
    # A board of 7 x 5 cm, mostly seen in part.
    assert 1e3 * np.linalg.norm(np.subtract(mount.xyz, MOUNT.xyz)) < 3.0
    assert np.abs(np.subtract(mount.rpy_deg, MOUNT.rpy_deg)).max() < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "got none for 09.png"),
        (lambda rows: [*rows, rows[1]], "expected a column 'picture' with each picture once"),
        (lambda rows: [row[:-1] for row in rows], "expected ['gripper'] too"),
        (lambda rows: [rows[0], [rows[1][0], *6 * ["nan"]], *rows[2:]], "expected finite numbers"),
        (lambda rows: [rows[0], [rows[1][0], *6 * ["much"]], *rows[2:]], "expected numbers, rad"),
        (
            lambda rows: [rows[0], *([a[0], *b[1:]] for a, b in zip(rows[1:], rows[:0:-1], strict=True))],
            "did the board",
        ),
    ],
)
def test_tables_of_joints_that_cannot_be_are_refused(hand_pictures, capsys, change, message):
    with (hand_pictures / "joints.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (hand_pictures / "wrong.csv").open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    assert main(hand_eye_arguments(hand_pictures, "wrong.csv")) == 2
    assert message in capsys.readouterr().err
