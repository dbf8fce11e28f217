"""Pictures in bags: raw Image messages made small, and large again. PNG loses nothing, JPEG is smaller and quicker."""

from collections.abc import Mapping

import cv2
import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.types import decoded, encoded, message

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
SUFFIX = "/compressed"  # of the topic of compressed pictures, as image_transport has it
CODECS = ("png", "jpeg", "raw")
CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1, "8UC1": 1, "8UC3": 3}
# Quick settings: a picture of 160 x 120 is a third larger than with the best.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
LARGEST_PIXELS = 8192 * 8192


def doubled(kinds: Mapping[str, str]) -> set[str]:
    """Return the topics, of a bag with types `kinds`, whose pictures are in it raw as well: cameras offer both."""
    return {topic for topic in kinds if topic.endswith(SUFFIX) and kinds.get(topic.removesuffix(SUFFIX)) == IMAGE}


def compressed(data: bytes, codec: str) -> bytes | None:
    """Return the CompressedImage for an Image, both in CDR; None for an encoding that only raw will do for.

    codec: "png" or "jpeg". Raises InputError for data that is no Image.
    """
    image = decoded(data, IMAGE)
    channels = CHANNELS.get(image.encoding)
    if channels is None:
        return None
    row = image.width * channels
    if image.step < row or len(image.data) != image.step * image.height or not image.height * row:
        raise InputError(f"image: got {image.width}x{image.height}, step {image.step}, {len(image.data)} bytes")
    pixels = image.data.reshape(image.height, image.step)[:, :row].reshape(image.height, image.width, channels)
    if image.encoding == "rgb8":
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    settings = PNG if codec == "png" else JPEG
    _, packed = cv2.imencode(f".{codec}", np.ascontiguousarray(pixels), settings)
    inside = "bgr8" if channels == 3 else "mono8"
    text = f"{image.encoding}; {codec} compressed {inside}"
    return encoded(message(COMPRESSED, header=image.header, format=text, data=packed.reshape(-1)), COMPRESSED)


def decompressed(data: bytes) -> bytes:
    """Return the Image, rgb8 or what it was before, for a CompressedImage, both in CDR. Raises InputError."""
    packed = decoded(data, COMPRESSED)
    rgb = picture(packed.data, packed.format)
    before = str(packed.format).partition(";")[0].strip()
    pixels = rgb[:, :, ::-1] if before == "bgr8" else rgb
    height, width, _ = rgb.shape
    image = message(
        IMAGE,
        header=packed.header,
        height=height,
        width=width,
        encoding="bgr8" if before == "bgr8" else "rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(pixels).reshape(-1),
    )
    return encoded(image, IMAGE)


def picture(data: np.ndarray, form: str) -> np.ndarray:
    """Return the picture (height, width, 3) rgb, uint8, in compressed `data`. Raises InputError."""
    try:
        # Colours as they are in the file, whatever it says of its orientation: a camera's pictures are not turned.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.asarray(data, dtype=np.uint8), flags) if len(data) else None
    except cv2.error as error:
        raise InputError(f"compressed image: got {error.code} from OpenCV, expected a picture in {form!r}") from error
    if bgr is None or bgr.shape[0] * bgr.shape[1] > LARGEST_PIXELS:
        raise InputError(f"compressed image: got {len(data)} bytes, expected a picture in {form!r}")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
