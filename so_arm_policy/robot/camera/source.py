"""A camera that may come and go: what `device` names is opened, watched, and opened again when it fails."""

import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.intrinsics import Intrinsics
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.files import ImageFolder, VideoFile
from so_arm_policy.robot.camera.fit import FitOptions, PictureFit
from so_arm_policy.robot.camera.frame import FrameSource
from so_arm_policy.robot.camera.jpeg_pipe import JpegPipe
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.v4l2 import V4l2Camera, devices
from so_arm_policy.robot.camera.watch import FrameWatch

RETRY_S = 1.0
DEFAULT_SIZE = (640, 480)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """rgb: (height, width, 3) uint8 in the camera's size; taken_ns: monotonic, less the latency somebody measured.

    frozen: the camera has repeated this picture so often that it is not what is there now.
    """

    rgb: Image
    taken_ns: int
    by_driver: bool
    frozen: bool


class Camera:
    """A source of pictures that is looked for once a second while it is not there. `read` belongs in one thread.

    watch: what is wrong with its pictures; opened: how often it was; failed: how often it was lost or not there.
    summary, refused: what the present source said of itself, and which settings it did not take.
    """

    def __init__(
        self,
        device: str,
        camera: CameraConfig,
        options: CaptureOptions | None = None,
        lens: Intrinsics | None = None,
        fit: FitOptions | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opening is left to the first `read`: a camera may be plugged in later. Raises ConfigError."""
        self._device, self._camera, self._now_s = device, camera, now_s
        self.options = complete(options or CaptureOptions(), camera, lens)
        self._fit = PictureFit(camera, lens, fit)
        self.intrinsics = self._fit.intrinsics
        self._source: FrameSource | None = None
        self._retry_at = now_s()
        self.watch = FrameWatch(self.options.most_repeats)
        self.opened = self.failed = 0
        self.summary = ""
        self.refused: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the source has a pace of its own; False also while there is none."""
        return self._source is not None and self._source.live

    def read(self) -> Picture | None:
        """Return a picture of the camera's size, or None while waiting to open again. Raises DeviceError."""
        if self._source is None and self._now_s() < self._retry_at:
            return None
        try:
            source = self._source or self._open()
            frame = source.read()
            if source.live:
                self.watch.note(frame)
            return Picture(
                rgb=self._fit(frame.bgr),
                taken_ns=frame.taken_ns - round(self.options.latency_s * 1e9),
                by_driver=frame.by_driver,
                frozen=source.live and self.watch.frozen,
            )
        except DeviceError as error:
            self.close()
            self.failed += 1
            self._retry_at = self._now_s() + RETRY_S
            raise DeviceError(f"camera {self._camera.name!r}: {error}") from error

    def close(self) -> None:
        """Free the device."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open(self) -> FrameSource:
        self._source = source = open_source(self._device, self.options)
        self.opened += 1
        self.summary, self.refused = source.summary, source.refused
        self.watch.begin(source.fps or self.options.fps)
        return source


def complete(options: CaptureOptions, camera: CameraConfig, lens: Intrinsics | None) -> CaptureOptions:
    """Return the options with size and rate filled in. Raises ConfigError for another size than the calibration's."""
    width, height = (lens.width, lens.height) if lens is not None else DEFAULT_SIZE
    if lens is not None and options.width and (options.width, options.height) != (width, height):
        got = f"{options.width}x{options.height}"
        raise ConfigError(f"camera {camera.name!r}: got {got} to ask for, expected {width}x{height} of its calibration")
    return replace(
        options,
        width=options.width or width,
        height=options.height or height,
        fps=options.fps or camera.fps,
    )


def open_source(device: str, options: CaptureOptions) -> FrameSource:
    """Open what `device` names. Raises DeviceError.

    A number (0 is /dev/video0), a device (/dev/video0, /dev/v4l/by-id/...), a folder of images, a named pipe of JPEG
    pictures, or a video file.
    """
    if device.isdecimal():
        device = f"/dev/video{int(device)}"
    path = Path(device)
    try:
        mode = path.stat().st_mode if device else 0
    except OSError:
        mode = 0
    if stat.S_ISCHR(mode) or (not mode and device.startswith("/dev/")):
        return V4l2Camera(device, options)
    if stat.S_ISDIR(mode):
        return ImageFolder(device)
    if stat.S_ISFIFO(mode):
        return JpegPipe(device)
    if not stat.S_ISREG(mode):
        raise DeviceError(
            f"got {device!r}, expected a device (one of {devices()}), a video file, a folder of images or a named pipe"
        )
    return VideoFile(device)
