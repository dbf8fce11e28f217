"""Cameras of the machine through OpenCV's V4L2.

What OpenCV does here was read in modules/videoio/src/cap_v4l.cpp of 4.x: CAP_PROP_POS_MSEC is the time stamp of the
last buffer that was taken from the driver's queue; controls are in the driver's own units, exposure in 0.1 ms; a grab
waits OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT seconds for a picture, which is read at the first wait.
"""

import os
import time
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.robot.camera.frame import Frame
from so_arm_policy.robot.camera.options import AS_IT_IS, AUTOMATIC, CaptureOptions

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")  # 10 s by default: too long to notice and to end

BUFFERS = 2  # with one, the driver has nowhere to put the picture that comes while the last is decoded
OLDEST_NS = 1_000_000_000
DAMAGED_IN_A_ROW = 10
EXPOSURE_PER_MS = 10.0
MANUAL_EXPOSURE, AUTOMATIC_EXPOSURE = 1, 3  # V4L2_EXPOSURE_MANUAL and V4L2_EXPOSURE_APERTURE_PRIORITY
UNSUPPORTED = -1.0


class Controls(Protocol):
    """What of cv2.VideoCapture settings need."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """Ask for a value."""

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """Return the present value, -1 for what the device has not."""


class V4l2Camera:
    """A V4L2 device, e.g. /dev/video0 or /dev/v4l/by-id/...; `read` waits for the next picture."""

    live = True

    def __init__(self, device: str, options: CaptureOptions) -> None:
        """Open it and ask for size, rate and settings. Raises DeviceError."""
        self._name = device
        if not Path(device).exists():
            raise DeviceError(f"{device}: got no such device, expected one of {devices()}")
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise DeviceError(f"{device}: got a device that does not open, expected a free camera that you may use")
        self.summary, self.refused = configure(self._capture, options)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0.0 < fps <= 1000.0 else 0.0

    def read(self) -> Frame:
        """Return the next picture. Raises DeviceError when the device is gone or silent."""
        try:
            for lost in range(DAMAGED_IN_A_ROW):
                frame = self._next(lost)
                if frame is not None:
                    return frame
        except cv2.error as error:
            raise DeviceError(f"{self._name}: got {error.err} from OpenCV, expected a picture") from error
        raise DeviceError(f"{self._name}: got {DAMAGED_IN_A_ROW} damaged pictures in a row, expected whole ones")

    def _next(self, lost: int) -> Frame | None:
        """Return the next picture, None where it is damaged. Raises DeviceError or cv2.error."""
        if not self._capture.grab():
            raise DeviceError(f"{self._name}: got no picture, expected the camera to go on")
        taken_ns, realtime_ns = time.monotonic_ns(), time.time_ns()
        driver_ns = driver_time(self._capture.get(cv2.CAP_PROP_POS_MSEC), taken_ns, realtime_ns)
        good, bgr = self._capture.retrieve()
        if not good or bgr is None or bgr.ndim != 3:
            return None
        by_driver = driver_ns is not None
        return Frame(
            bgr=np.asarray(bgr, np.uint8),
            taken_ns=driver_ns if driver_ns is not None else taken_ns,
            by_driver=by_driver,
            lost=lost,
        )

    def close(self) -> None:
        """Free the device."""
        self._capture.release()


def devices() -> list[str]:
    """Return the cameras that there are, by the names that survive another port and another order first."""
    return [str(p) for pattern in ("v4l/by-id/*", "video*") for p in sorted(Path("/dev").glob(pattern))]


def driver_time(stamp_ms: float, monotonic_ns: int, realtime_ns: int) -> int | None:
    """Return a buffer's time stamp as monotonic time, ns; None where it cannot be one.

    V4L2 drivers stamp by the monotonic clock, uvcvideo by the wall clock where its parameter `clock` says so. OpenCV
    does not tell which: a stamp belongs to the clock by which it is less than a second old.
    """
    stamp_ns = round(stamp_ms * 1e6) if np.isfinite(stamp_ms) and stamp_ms > 0.0 else None
    if stamp_ns is None:
        return None
    ages = [now_ns - stamp_ns for now_ns in (monotonic_ns, realtime_ns)]
    return next((monotonic_ns - age for age in ages if 0 <= age <= OLDEST_NS), None)


def configure(capture: Controls, options: CaptureOptions) -> tuple[str, tuple[str, ...]]:
    """Ask for everything, read back what the driver made of it; return that, and what is not as asked."""
    if options.pixel_format:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*options.pixel_format))
    capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, options.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, options.height)
    capture.set(cv2.CAP_PROP_FPS, options.fps)
    size = f"{capture.get(cv2.CAP_PROP_FRAME_WIDTH):.0f}x{capture.get(cv2.CAP_PROP_FRAME_HEIGHT):.0f}"
    pixel_format, fps = _letters(capture.get(cv2.CAP_PROP_FOURCC)), capture.get(cv2.CAP_PROP_FPS)
    said, refused = [f"{size} {pixel_format} at {fps:.1f} fps"], []
    for what, asked, got in (
        ("size", f"{options.width}x{options.height}", size),
        ("pixel_format", options.pixel_format or pixel_format, pixel_format),
        ("fps", f"{options.fps:.1f}", f"{fps:.1f}"),
    ):
        if asked != got:
            refused.append(f"{what}: asked for {asked}, got {got}")
    for what, steps in _settings(options):
        for prop, asked_value in steps:
            capture.set(prop, asked_value)
        for prop, asked_value in steps:
            got_value = capture.get(prop)
            if got_value != asked_value:
                got = "no such setting" if got_value == UNSUPPORTED else f"{got_value:g}"
                refused.append(f"{what}: asked for {asked_value:g} (driver's units), got {got}")
        said.append(f"{what} {', '.join(f'{capture.get(prop):g}' for prop, _ in steps)}")
    return ", ".join(said), tuple(refused)


def _settings(options: CaptureOptions) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return OpenCV's properties of what was asked for, in the order in which drivers take them."""
    settings: list[tuple[str, list[tuple[int, float]]]] = []
    if options.exposure_ms == AUTOMATIC:
        settings.append(("exposure_ms", [(cv2.CAP_PROP_AUTO_EXPOSURE, AUTOMATIC_EXPOSURE)]))
    elif options.exposure_ms != AS_IT_IS:
        exposure = float(round(options.exposure_ms * EXPOSURE_PER_MS))
        settings.append(
            ("exposure_ms", [(cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE), (cv2.CAP_PROP_EXPOSURE, exposure)])
        )
    if options.white_balance_k == AUTOMATIC:
        settings.append(("white_balance_k", [(cv2.CAP_PROP_AUTO_WB, 1.0)]))
    elif options.white_balance_k != AS_IT_IS:
        fixed = [(cv2.CAP_PROP_AUTO_WB, 0.0), (cv2.CAP_PROP_WB_TEMPERATURE, float(options.white_balance_k))]
        settings.append(("white_balance_k", fixed))
    if options.gain != AS_IT_IS:
        settings.append(("gain", [(cv2.CAP_PROP_GAIN, float(options.gain))]))
    if options.focus != AS_IT_IS:
        settings.append(("focus", [(cv2.CAP_PROP_AUTOFOCUS, 0.0), (cv2.CAP_PROP_FOCUS, float(options.focus))]))
    return settings


def _letters(fourcc: float) -> str:
    return int(fourcc).to_bytes(4, "little").decode("ascii", "replace") if 0 < fourcc < 2**32 else "?"
