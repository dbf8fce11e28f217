"""What is asked of a V4L2 driver and what it made of that; there is no device here, only the rules of its controls."""

import math

import cv2
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.v4l2 import configure, driver_time

NS = 1_000_000_000
ASKED = CaptureOptions(width=640, height=480, fps=30.0)


class Driver:
    """Controls as OpenCV shows those of a V4L2 driver: clamped to their range, -1 for what there is not."""

    def __init__(self, ranges, sizes=((640, 480), (1280, 720))):
        self.values = {prop: low for prop, (low, _) in ranges.items()}
        self.ranges, self.sizes, self.order = ranges, sizes, []
        self.values |= {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        self.values |= {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"YUYV"))}
        self.ranges = ranges | {
            cv2.CAP_PROP_FPS: (5.0, 30.0),
            cv2.CAP_PROP_FOURCC: (0.0, 2.0**32),
            cv2.CAP_PROP_BUFFERSIZE: (1.0, 10.0),
            cv2.CAP_PROP_FRAME_WIDTH: (160.0, 1280.0),
            cv2.CAP_PROP_FRAME_HEIGHT: (120.0, 720.0),
        }

    def set(self, prop, value):
        self.order.append(prop)
        if prop not in self.ranges:
            return False
        if prop == cv2.CAP_PROP_EXPOSURE and self.values[cv2.CAP_PROP_AUTO_EXPOSURE] != 1:
            return False  # EACCES: automatic exposure has it
        low, high = self.ranges[prop]
        self.values[prop] = min(max(value, low), high)
        return True

    def get(self, prop):
        return self.values.get(prop, -1.0)


FULL = {
    cv2.CAP_PROP_AUTO_EXPOSURE: (1.0, 3.0),
    cv2.CAP_PROP_EXPOSURE: (3.0, 2047.0),
    cv2.CAP_PROP_AUTO_WB: (0.0, 1.0),
    cv2.CAP_PROP_WB_TEMPERATURE: (2800.0, 6500.0),
    cv2.CAP_PROP_GAIN: (0.0, 255.0),
    cv2.CAP_PROP_AUTOFOCUS: (0.0, 1.0),
    cv2.CAP_PROP_FOCUS: (0.0, 250.0),
}


def options(**more):
    return CaptureOptions(width=640, height=480, fps=30.0, **more)


def test_the_format_comes_first_and_what_is_left_alone_is_left_alone():
    driver = Driver(FULL)
    summary, refused = configure(driver, ASKED)
    assert driver.order[0] == cv2.CAP_PROP_FOURCC
    assert summary == "640x480 MJPG at 30.0 fps"
    assert refused == ()
    assert not set(driver.order) & set(FULL)


def test_fixed_settings_turn_the_automatics_off_and_are_read_back():
    driver = Driver(FULL)
    driver.values[cv2.CAP_PROP_AUTO_EXPOSURE] = 3.0
    driver.values[cv2.CAP_PROP_AUTO_WB] = driver.values[cv2.CAP_PROP_AUTOFOCUS] = 1.0
    summary, refused = configure(driver, options(exposure_ms=8.0, white_balance_k=4600, gain=0, focus=30))
    assert refused == ()
    assert [driver.values[p] for p in FULL] == [1.0, 80.0, 0.0, 4600.0, 0.0, 0.0, 30.0]
    assert "exposure_ms 1, 80" in summary


def test_automatics_can_be_asked_for():
    driver = Driver(FULL)
    assert configure(driver, options(exposure_ms=0.0, white_balance_k=0))[1] == ()
    assert driver.values[cv2.CAP_PROP_AUTO_EXPOSURE] == 3.0
    assert driver.values[cv2.CAP_PROP_AUTO_WB] == 1.0


def test_what_the_driver_clamped_or_has_not_is_said():
    few = {p: r for p, r in FULL.items() if p != cv2.CAP_PROP_GAIN}
    _, refused = configure(
        Driver(few), CaptureOptions(width=1920, height=1080, fps=60.0, gain=10, white_balance_k=9000)
    )
    assert refused == (
        "size: asked for 1920x1080, got 1280x720",
        "fps: asked for 60.0, got 30.0",
        "white_balance_k: asked for 9000 (driver's units), got 6500",
        "gain: asked for 10 (driver's units), got no such setting",
    )


def test_the_driver_s_stamp_is_taken_by_the_clock_that_it_fits():
    monotonic, realtime = 5_000 * NS, 1_800_000_000 * NS
    assert driver_time(4_999_960.125, monotonic, realtime) == monotonic - 39_875_000
    by_wall_clock = driver_time(realtime / 1e6 - 40.0, monotonic, realtime)
    assert abs(by_wall_clock - (monotonic - 40_000_000)) < 1000  # ms as a double


@pytest.mark.parametrize("stamp_ms", [0.0, -1.0, math.nan, math.inf, 1234.5, 5_000_001.0, 4_998_500.0])
def test_a_stamp_that_fits_no_clock_is_none(stamp_ms):
    assert driver_time(stamp_ms, 5_000 * NS, 1_800_000_000 * NS) is None


@pytest.mark.parametrize(
    "change",
    [
        {"width": 640},
        {"pixel_format": "MJPEG"},
        {"exposure_ms": -0.5},
        {"exposure_ms": math.nan},
        {"gain": -2},
        {"fps": math.nan},
        {"latency_s": -0.1},
        {"most_repeats": -1},
    ],
)
def test_options_that_no_camera_has_are_refused(change):
    with pytest.raises(ConfigError, match=r"capture: got .*, expected"):
        CaptureOptions(**change)
