"""A real camera as a node: its pictures come through a pipe and from files that appear and vanish."""

import os
import threading
import time

import cv2
import numpy as np
import pytest
from ros_world import ROBOT, diagnostics_of, now_ns, wait_until

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.intrinsics import Intrinsics
from so_arm_policy.evaluate.bags.images import picture
from so_arm_policy.robot.camera.calibration_file import save_intrinsics
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.camera_node import CameraNode

CAMERA = ROBOT.camera("overhead")
LENS = Intrinsics(
    width=320,
    height=240,
    K=np.array([[300.0, 0.0, 161.0], [0.0, 301.0, 118.0], [0.0, 0.0, 1.0]]),
    distortion=np.array([-0.1, 0.0, 0.0, 0.0, 0.0]),
)


class Talker:
    """Writes JPEG pictures into a pipe, 30 a second, while `value` is not None; each differs but where `stuck`."""

    def __init__(self, path):
        self.path, self.stuck, self.shown, self.stopped = path, False, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        fd = None
        while not self.stopped.wait(1 / 30):
            if fd is None:
                try:
                    fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                except OSError:
                    continue
            self.shown += not self.stuck
            rgb = np.full((240, 320, 3), self.shown % 200 + 20, np.uint8)
            try:
                os.write(fd, cv2.imencode(".jpg", rgb)[1].tobytes())
            except BlockingIOError:
                continue
            except BrokenPipeError:
                os.close(fd)
                fd = None
        if fd is not None:
            os.close(fd)

    def close(self):
        self.stopped.set()
        self.thread.join()


@pytest.fixture
def talk(tmp_path):
    talkers = []

    def begin():
        path = tmp_path / "camera.mjpeg"
        if not path.exists():
            os.mkfifo(path)
        talkers.append(Talker(path))
        return talkers[-1]

    yield begin
    for talker in talkers:
        talker.close()


def arguments(tmp_path, *more):
    save_intrinsics(tmp_path / "lens.yaml", LENS, "overhead")
    given = {"source": "opencv", "device": tmp_path / "camera.mjpeg", "calibration": tmp_path / "lens.yaml"}
    return [part for name, value in given.items() for part in ("-p", f"{name}:={value}")] + list(more)


def test_pictures_of_a_pipe_are_stamped_compressed_calibrated_and_found_again(make_graph, tmp_path, talk):
    graph = make_graph(*arguments(tmp_path))
    node = graph.run(CameraNode())
    images, infos, small = (
        graph.hear(t("overhead")) for t in (topics.image, topics.camera_info, topics.compressed_image)
    )
    graph.spinner.start()
    wait_until(lambda: node.counts["errors: device"] >= 1)  # there is no pipe yet
    wait_until(lambda: node.counts["errors: silent"] >= 1)
    talker = talk()
    began_ns = now_ns()
    wait_until(lambda: len(images) > 10 and small and infos)
    value = convert.camera_image(images[-1], CAMERA)
    assert began_ns < value.stamp_ns < now_ns()
    stamps = [convert.stamp_ns(i.header.stamp) for i in images]
    assert stamps == sorted(set(stamps))
    assert picture(np.frombuffer(small[-1].data, np.uint8), small[-1].format).shape == (120, 160, 3)
    assert small[-1].header.stamp in [i.header.stamp for i in images]
    assert infos[-1].k.tolist() == pytest.approx(LENS.resized(160, 120).K.ravel().tolist())
    assert infos[-1].d.tolist() == LENS.distortion.tolist()
    talker.close()
    wait_until(lambda: node.facts()["failed"] >= 2)
    seen = len(images)
    talk()
    wait_until(lambda: len(images) > seen + 5)
    facts = node.facts()
    assert facts["opened"] >= 2
    assert not facts["stamps_by_driver"]


def test_a_camera_that_hangs_is_said_and_not_published(make_graph, tmp_path, talk):
    graph = make_graph(*arguments(tmp_path, "-p", "capture.most_repeats:=5"))
    talker = talk()
    node = graph.run(CameraNode())
    images = graph.hear(topics.image("overhead"))
    graph.spinner.start()
    wait_until(lambda: len(images) > 3)
    assert node.counts["errors: frozen"] == 0
    talker.stuck = True
    wait_until(lambda: node.counts["errors: frozen"] > 5)
    time.sleep(0.1)  # for what was published before
    seen = len(images)
    wait_until(lambda: node.facts()["repeats_in_a_row"] > 20)
    assert len(images) == seen
    assert "got the same picture" in diagnostics_of(node).message
    talker.stuck = False
    wait_until(lambda: len(images) > seen)


def test_a_camera_that_gives_another_size_than_its_calibration_publishes_nothing(make_graph, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((480, 640, 3), np.uint8))
    graph = make_graph(*arguments(tmp_path, "-p", f"device:={folder}"))
    node = graph.run(CameraNode())
    wait_until(lambda: node.counts["errors: device"] >= 1)
    assert node.counts["images"] == 0
    assert "got pictures of 640x480, expected 320x240" in diagnostics_of(node).message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("crop:=half", "crop: got 'half'"),
        ("capture.exposure_ms:=-0.5", "exposure_ms -0.5"),
        ("capture.pixel_format:=MJPEG", "four letters"),
        ("calibration:=nowhere.yaml", "nowhere.yaml"),
        ("capture.shutter:=1", "capture.shutter"),
    ],
)
def test_parameters_that_cannot_be_are_refused(make_graph, tmp_path, given, message):
    make_graph(*arguments(tmp_path, "-p", given))
    with pytest.raises(ConfigError, match=message):
        CameraNode()
