"""A live source without hardware: JPEG pictures through a named pipe, whose writer comes, goes and misbehaves."""

import os
import threading
import time

import cv2
import numpy as np
import pytest

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.robot.camera import jpeg_pipe
from so_arm_policy.robot.camera.jpeg_pipe import JpegPipe
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import RETRY_S, Camera

CAMERA = CameraConfig(name="overhead", width=64, height=48, fps=30.0, fovy_deg=60.0, frame_id="f")


def jpeg(value):
    picture = np.full((48, 64, 3), value, np.uint8)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def value(bgr):
    return round(float(bgr.mean()))


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "camera.mjpeg"
    os.mkfifo(path)
    return path


@pytest.fixture
def camera(pipe):
    made = Camera(str(pipe), CAMERA, CaptureOptions(most_repeats=3))
    yield made
    made.close()


class Writer:
    """The other end; opening it needs somebody who reads."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def say(self, data):
        assert os.write(self.fd, data) == len(data)

    def close(self):
        os.close(self.fd)


def begin(camera, pipe, first=10):
    """The camera reads from a writer that has said one picture."""
    got = []
    thread = threading.Thread(target=lambda: got.append(camera.read()))
    thread.start()
    for _ in range(1000):
        try:
            writer = Writer(pipe)
            break
        except OSError:
            time.sleep(0.005)
    writer.say(jpeg(first))
    thread.join()
    assert value(got[0].rgb) == first
    return writer


def test_pictures_come_through_in_order_with_the_time_at_which_they_came(camera, pipe):
    writer = begin(camera, pipe)
    before_ns = time.monotonic_ns()
    for v in (50, 90, 130):
        writer.say(jpeg(v))
        picture = camera.read()
        assert value(picture.rgb) == v
        assert before_ns < picture.taken_ns < time.monotonic_ns()
        before_ns = picture.taken_ns
    assert camera.live
    assert not picture.by_driver
    assert camera.watch.taken == 4


def test_what_a_person_measured_as_latency_is_taken_off_and_nothing_else(pipe):
    for latency_s in (0.0, 0.25):
        camera = Camera(str(pipe), CAMERA, CaptureOptions(latency_s=latency_s))
        writer = begin(camera, pipe)
        writer.say(jpeg(50))
        before_ns = time.monotonic_ns()
        picture = camera.read()
        assert before_ns <= picture.taken_ns + round(latency_s * 1e9) <= time.monotonic_ns()
        writer.close()
        camera.close()


def test_the_newest_picture_counts_and_those_it_overtook_are_lost(camera, pipe):
    writer = begin(camera, pipe)
    writer.say(jpeg(50) + jpeg(90) + jpeg(130))
    assert value(camera.read().rgb) == 130
    assert camera.watch.dropped >= 2


def test_a_damaged_picture_is_counted_and_passed_over(camera, pipe):
    writer = begin(camera, pipe)
    whole = jpeg(90)
    writer.say(b"\xff\xd8\xff" + b"not a picture" + b"\xff\xd9" + whole)
    assert value(camera.read().rgb) == 90
    assert camera.watch.dropped >= 1


def test_a_picture_in_pieces_is_put_together(camera, pipe):
    writer = begin(camera, pipe)
    data = jpeg(90)
    writer.say(data[:100])
    threading.Timer(0.05, lambda: writer.say(data[100:])).start()
    assert value(camera.read().rgb) == 90


def test_a_camera_that_repeats_one_picture_is_frozen_until_another_comes(camera, pipe):
    writer = begin(camera, pipe, 50)
    said = []
    for _ in range(4):
        writer.say(jpeg(50))
        said.append(camera.read().frozen)
    assert said == [False, False, True, True]
    assert camera.watch.repeated == 4
    writer.say(jpeg(51))
    assert not camera.read().frozen
    assert camera.watch.in_a_row == 0


def test_a_writer_that_goes_is_noticed_and_one_that_comes_back_is_found(pipe):
    now = [0.0]
    camera = Camera(str(pipe), CAMERA, now_s=lambda: now[0])
    writer = begin(camera, pipe)
    writer.close()
    with pytest.raises(DeviceError, match="nobody writes to any more"):
        camera.read()
    assert camera.read() is None
    now[0] += RETRY_S
    pipe.unlink()
    with pytest.raises(DeviceError, match="expected a device"):
        camera.read()
    os.mkfifo(pipe)
    now[0] += RETRY_S
    begin(camera, pipe, 77).close()
    assert (camera.opened, camera.failed) == (2, 2)
    camera.close()


@pytest.mark.parametrize("noise", [b"", b"\xff\xd8\xff" + bytes(3000)])
def test_silence_ends_with_an_error_and_not_with_waiting(pipe, monkeypatch, noise):
    monkeypatch.setattr(jpeg_pipe, "PATIENCE_S", 0.2)
    source = JpegPipe(str(pipe))
    writer = Writer(pipe)
    writer.say(noise)
    with pytest.raises(DeviceError, match=r"got no picture within 0\.2 s"):
        source.read()
    source.close()


def test_a_writer_without_an_end_does_not_keep_the_reader(pipe, monkeypatch):
    monkeypatch.setattr(jpeg_pipe, "PATIENCE_S", 0.3)
    monkeypatch.setattr(jpeg_pipe, "LARGEST_BYTES", 100_000)
    source, ended = JpegPipe(str(pipe)), threading.Event()
    fd = os.open(pipe, os.O_WRONLY)

    def flood():
        while not ended.is_set():
            try:
                os.write(fd, bytes(4096))
            except BrokenPipeError:
                return

    thread = threading.Thread(target=flood)
    thread.start()
    with pytest.raises(DeviceError, match="got no picture within"):
        source.read()
    assert len(source._held) <= 100_000 + jpeg_pipe.CHUNK
    ended.set()
    source.close()
    thread.join()
    os.close(fd)
