"""One picture as a source gave it, and what every source of pictures can do."""

from dataclasses import dataclass
from typing import Protocol

from so_arm_policy.core.values import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """bgr: (height, width, 3) uint8 of any size; taken_ns: when, monotonic.

    by_driver: whether the driver said when; otherwise it is the time right after the picture came. lost: pictures that
    came damaged or were overtaken since the one before.
    """

    bgr: Image
    taken_ns: int
    by_driver: bool = False
    lost: int = 0


class FrameSource(Protocol):
    """Gives one picture after the other.

    live: whether the source has its own pace, and time passes between its pictures: a device or a stream, not a file.
    fps: pictures a second that it promises, 0 where it does not. summary: what it said of itself when it was opened;
    refused: settings that it did not take as asked.
    """

    live: bool
    fps: float
    summary: str
    refused: tuple[str, ...]

    def read(self) -> Frame:
        """Return the next picture; of a live source, wait for it, though not for ever. Raises DeviceError."""

    def close(self) -> None:
        """Free the device."""
