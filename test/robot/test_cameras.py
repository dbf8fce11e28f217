"""Files as sources of pictures, and a camera that comes and goes."""

import cv2
import numpy as np
import pytest

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.robot.camera.files import ImageFolder
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import RETRY_S, Camera, open_source

CAMERA = CameraConfig(name="overhead", width=64, height=48, fps=30.0, fovy_deg=60.0, frame_id="f")
RED = (255, 0, 0)
ASKED = CaptureOptions(width=64, height=48, fps=30.0)


def picture(rgb=RED, width=64, height=48):
    return np.full((height, width, 3), rgb, np.uint8)


def write(path, rgb):
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])


def write_video(path, pictures):
    height, width, _ = pictures[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (width, height))
    assert writer.isOpened()
    for rgb in pictures:
        writer.write(np.ascontiguousarray(rgb[:, :, ::-1]))
    writer.release()


def test_a_folder_gives_its_images_in_order_over_and_over_in_rgb(tmp_path):
    for name, rgb in (("b.png", (0, 255, 0)), ("a.png", RED), ("c.txt", None)):
        write(tmp_path / name, picture(rgb)) if rgb else (tmp_path / name).write_text("no image")
    source = open_source(str(tmp_path), ASKED)
    got = [tuple(source.read().bgr[0, 0, ::-1]) for _ in range(3)]
    assert got == [RED, (0, 255, 0), RED]


def test_a_video_is_read_and_begins_again_after_its_end(tmp_path):
    write_video(tmp_path / "clip.avi", [picture((20 * i, 0, 0)) for i in range(4)])
    source = open_source(str(tmp_path / "clip.avi"), ASKED)
    reds = [int(source.read().bgr[..., 2].mean()) for _ in range(8)]
    assert reds[:4] == reds[4:]
    assert reds[0] < reds[1] < reds[2] < reds[3]


@pytest.mark.parametrize("content", [b"", b"not a video at all", bytes(4096)])
def test_a_file_that_is_no_video_is_named(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"clip\.mp4: got"):
        open_source(str(path), ASKED).read()


def test_a_damaged_image_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(DeviceError, match=r"broken\.png"):
        ImageFolder(str(tmp_path)).read()


@pytest.mark.parametrize("device", ["/dev/video_that_is_not_there", "no/such/file.mp4", "", "63", "/dev/null"])
def test_what_is_no_camera_is_named_with_what_was_expected(device):
    with pytest.raises(DeviceError, match=r"'overhead': .*got .*, expected"):
        Camera(device, CAMERA).read()


def test_a_number_is_a_device():
    with pytest.raises(DeviceError, match="/dev/video63: got no such device"):
        open_source("63", ASKED)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="folder without images"):
        open_source(str(tmp_path), ASKED)


def test_a_camera_that_fails_is_opened_again_after_a_while(tmp_path):
    now, folder = [0.0], tmp_path / "later"
    camera = Camera(str(folder), CAMERA, now_s=lambda: now[0])
    with pytest.raises(DeviceError):
        camera.read()
    assert camera.read() is None
    folder.mkdir()
    write(folder / "a.png", picture())
    now[0] += RETRY_S
    assert (camera.read().rgb == RED).all()
    (folder / "a.png").unlink()
    with pytest.raises(DeviceError, match=r"a\.png"):
        camera.read()
    write(folder / "a.png", picture())
    assert camera.read() is None
    now[0] += RETRY_S
    assert camera.read() is not None
    assert (camera.opened, camera.failed) == (2, 2)
    camera.close()
