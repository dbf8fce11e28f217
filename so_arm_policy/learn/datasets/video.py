"""Pictures as mp4 files: encoded with PyAV in memory, decoded picture by picture where they are asked for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video import VideoStream
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import Image
from so_arm_policy.learn.datasets.arrow_files import WriteError

# Encoder and what makes it quick. Both are read by LeRobot's decoders.
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "ultrafast", "forced-idr": "1"}),
    "av1": ("libsvtav1", {"preset": "12"}),
}
AHEAD = 8  # decode on, rather than seek, to a picture at most this many pictures ahead


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """How pictures are encoded.

    yuv444p keeps the colours of every pixel; yuv420p, LeRobot's own choice, keeps one colour for four pixels, which
    costs small pictures much (docs/data.md has the figures). crf: 0 (no loss) to 51; a key frame at least every
    `keyframe_every` pictures, so that any picture is found by decoding few others.
    """

    codec: str = "h264"
    pixel_format: str = "yuv444p"
    crf: int = 16
    keyframe_every: int = 2

    def __post_init__(self) -> None:
        """Refuse what no encoder here offers."""
        if self.codec not in CODECS:
            raise ConfigError(f"video: got codec {self.codec!r}, expected one of {sorted(CODECS)}")
        formats = ["yuv420p", "yuv444p"] if self.codec == "h264" else ["yuv420p"]
        if self.pixel_format not in formats:
            raise ConfigError(f"video: got {self.codec} with {self.pixel_format!r}, expected one of {formats}")
        if not (0 <= self.crf <= 51 and self.keyframe_every > 0):
            raise ConfigError(
                f"video: got crf {self.crf}, keyframe_every {self.keyframe_every}, expected 0..51 and > 0"
            )


class VideoEncoder:
    """Makes one mp4 of one camera's pictures, picture i at i / fps seconds."""

    def __init__(self, size: tuple[int, int], fps: int, config: VideoConfig, held: bool = False) -> None:
        """size: height and width in pixels; held: most pictures repeat the one before, key frames only at new ones."""
        self.size, self.count = size, 0
        self._buffer, self._held = io.BytesIO(), held
        encoder, options = CODECS[config.codec]
        options = options | {"crf": str(config.crf), "g": str(9999 if held else config.keyframe_every)}
        self._container = av.open(self._buffer, "w", format="mp4")
        self._fps = fps
        self._stream = cast(VideoStream, self._container.add_stream(encoder, rate=Fraction(fps), options=options))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = config.pixel_format
        self._stream.codec_context.thread_count = 1

    def add(self, rgb: Image, repeat: int = 1) -> None:
        """Append (height, width, 3) uint8, shown `repeat` times. Raises WriteError when the encoder refuses."""
        for i in range(repeat):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = self.count, Fraction(1, self._fps)
            if self._held and i == 0:
                frame.pict_type = PictureType.I
            self._encode(frame)
            self.count += 1

    def finish(self) -> memoryview:
        """Return the whole mp4."""
        self._encode(None)
        self._container.close()
        return self._buffer.getbuffer()

    def _encode(self, frame: VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            height, width = self.size
            raise WriteError(f"video of {width}x{height}: got {error}, expected the encoder to take it") from error


class VideoFile:
    """One mp4, opened when first needed; pictures by their time."""

    def __init__(self, path: Path, fps: float) -> None:
        """fps: pictures a second; a picture within half of 1 / fps of a time is the one of that time."""
        self.path, self._fps = path, fps
        self._container: InputContainer | None = None
        self._frames: Any = None
        self._last: VideoFrame | None = None
        self._rgb = VideoReformatter()  # kept: making one takes longer than a small picture's conversion

    def check(self, size: tuple[int, int], pictures: int) -> None:
        """Raise InputError unless it opens, is of `size` (height, width) and holds at least so many pictures."""
        stream = self._open().streams.video[0]
        if (stream.height, stream.width) != size:
            got = f"{stream.width}x{stream.height}"
            raise InputError(f"{self.path}: got pictures of {got}, expected {size[1]}x{size[0]} as in meta/info.json")
        if 0 < stream.frames < pictures:
            raise InputError(f"{self.path}: got {stream.frames} pictures, expected {pictures}: truncated?")

    def pictures(self, times: Sequence[float]) -> npt.NDArray[np.uint8]:
        """Return the pictures at `times` (k,) s, as (k, height, width, 3). Ascending times are decoded fastest.

        Raises InputError that names the file when one cannot be decoded.
        """
        found: dict[float, Image] = {}
        for time in sorted(set(times)):
            found[time] = np.asarray(self._rgb.reformat(self._at(time), format="rgb24").to_ndarray(), dtype=np.uint8)
        return np.stack([found[time] for time in times])

    def close(self) -> None:
        """Close the file; it opens again when needed."""
        if self._container is not None:
            self._container.close()
        self._container, self._frames, self._last = None, None, None

    def __enter__(self) -> "VideoFile":
        """Give the file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _open(self) -> InputContainer:
        if self._container is None:
            try:
                self._container = av.open(str(self.path))
                self._container.streams.video[0].codec_context.thread_count = 1
            except (OSError, av.FFmpegError, IndexError) as error:
                self._container = None
                raise InputError(f"{self.path}: got {error}, expected a whole video") from error
        return self._container

    def _at(self, time: float) -> VideoFrame:
        container, half = self._open(), 0.5 / self._fps
        stream = container.streams.video[0]
        assert stream.time_base is not None
        last = None if self._last is None else self._last.time
        try:
            if last is None or time < last - half or time > last + AHEAD / self._fps:
                container.seek(int((time + half / 2) / stream.time_base), stream=stream)
                self._frames, self._last = container.decode(stream), None
            while self._last is None or self._last.time is None or self._last.time < time - half:
                self._last = next(self._frames)
        except (StopIteration, OSError, av.FFmpegError) as error:
            self.close()
            got = "its end" if isinstance(error, StopIteration) else str(error)
            raise InputError(f"{self.path}: got {got} at {time:.3f} s, expected a picture: truncated?") from error
        if self._last.time > time + half:
            raise InputError(f"{self.path}: got a picture of {self._last.time:.4f} s, expected one of {time:.4f} s")
        return self._last
