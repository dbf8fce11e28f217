"""Which pixels show which colour, after the light has been taken out with the table as a grey card."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.values import Image

# Middle of each colour's hue, degrees. Black has none.
HUES = {"red": 0.0, "orange": 25.0, "yellow": 51.0, "green": 128.0, "cyan": 184.0, "blue": 229.0, "purple": 284.0}
BLACK, CHINA = "black", "china"
LABELS = (*HUES, BLACK, CHINA)
NOTHING = -1  # the table, or no colour of ours
FIELD_STEP = 4  # every so many pixels are enough to know the light by
FIELD_ROUNDS = (0.5, 0.25, 0.1)  # how near to the light so far, as a share of it, what may be table has to be
NEAR_TABLE = 0.10  # of its brightness: what is farther off is not the table
MOST_TINT = 0.3
DIMMEST = 0.05

_MIDDLES = np.array(list(HUES.values()))

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class ColorConfig:
    """table_rgb: colour of the bare table, 0..1. least_saturation: of paint. most_china_saturation: of bowl and plate.

    darkest: what is darker, as a share of full brightness under the table's light, is black. hue_width_deg: how far a
    hue may be from the middle of its colour.
    """

    table_rgb: tuple[float, float, float] = (0.62, 0.60, 0.56)
    least_saturation: float = 0.5
    most_china_saturation: float = 0.35
    darkest: float = 0.16
    hue_width_deg: float = 20.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0..1. Raises ConfigError."""
        shares = (*self.table_rgb, self.least_saturation, self.most_china_saturation, self.darkest)
        if not all(0.0 < share < 1.0 for share in shares):
            raise ConfigError(f"colours: got {shares}, expected 0 < share < 1")
        if not 0.0 < self.hue_width_deg <= 60.0:
            raise ConfigError(f"colours: got hue_width_deg {self.hue_width_deg}, expected 0 < hue_width_deg <= 60")


def labels(rgb: Image, hidden: BoolArray, config: ColorConfig) -> Labels:
    """Return the number in LABELS of what each pixel shows, NOTHING for the table: (height, width).

    hidden: (height, width), pixels to leave out.
    """
    even, table = flattened(rgb, hidden, config)
    red, green, blue = np.moveaxis(even, -1, 0)
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = (high - low) / np.maximum(high, 1e-6)
    out = np.full(rgb.shape[:2], NOTHING, dtype=np.int8)
    vivid = saturation >= config.least_saturation
    hue = cv2.cvtColor(even.astype(np.float32, order="C"), cv2.COLOR_RGB2HSV)[vivid, 0]
    off = np.abs((hue[:, None] - _MIDDLES + 180.0) % 360.0 - 180.0)
    out[vivid] = np.where(off.min(axis=-1) <= config.hue_width_deg, off.argmin(axis=-1), NOTHING)
    out[~table & (saturation <= config.most_china_saturation)] = LABELS.index(CHINA)
    out[high < config.darkest] = LABELS.index(BLACK)
    out[hidden] = NOTHING
    return out


def flattened(rgb: Image, hidden: BoolArray, config: ColorConfig) -> tuple[FloatArray, BoolArray]:
    """Return the picture as it would be in even white light, (height, width, 3), 1 = full; and what is bare table."""
    card = np.array(config.table_rgb)[:, None, None]
    # One plane for each channel: numpy is many times slower with a last axis of three.
    seen = np.moveaxis(rgb, -1, 0).astype(np.float64, order="C") / 255.0 / card
    ratio = seen / _light_on_table(seen, ~hidden)
    even = np.clip(ratio * card, 0.0, 2.0)
    return np.moveaxis(even, 0, -1), np.abs(ratio - 1.0).max(axis=0) < NEAR_TABLE


def _light_on_table(seen: FloatArray, usable: BoolArray) -> FloatArray:
    """Return the light, (3, height, width), as a quadratic of row and column: the usual one where no table is seen.

    seen: what the light would be if all was table. Fitted to what may be table, round by round ever more closely.
    """
    terms = _terms(*usable.shape)
    few, part = terms[:, ::FIELD_STEP, ::FIELD_STEP], seen[:, ::FIELD_STEP, ::FIELD_STEP]
    most = part.max(axis=0)
    grey = usable[::FIELD_STEP, ::FIELD_STEP] & (most - part.min(axis=0) < MOST_TINT * most)
    few, part = few[:, grey], part[:, grey]
    weights: FloatArray = np.zeros((3, len(terms)))
    weights[:, 0] = np.median(part, axis=1) if grey.any() else 1.0
    for within in FIELD_ROUNDS:
        near = np.abs(part / np.maximum(weights @ few, DIMMEST) - 1.0).max(axis=0) < within
        if near.sum() < 10 * len(terms):
            break
        weights = np.asarray(np.linalg.lstsq(few[:, near].T, part[:, near].T, rcond=None)[0].T, dtype=np.float64)
    return np.maximum((weights @ terms.reshape(len(terms), -1)).reshape(seen.shape), DIMMEST)


@cache
def _terms(height: int, width: int) -> FloatArray:
    """Return the terms of a quadratic of row and column, (6, height, width)."""
    row, column = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(row), row, column, row * row, row * column, column * column])
    terms.setflags(write=False)
    return terms
