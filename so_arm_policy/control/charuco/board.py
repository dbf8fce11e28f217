"""A ChArUco board: a chessboard whose white squares hold ArUco tags, so that every corner seen is known by its number.

Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial markers under occlusion", 2014.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from so_arm_policy.control.tags import dictionary_of
from so_arm_policy.core.arrays import FloatArray, IntArray, frozen
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import Image

LEAST_CORNERS = 8
LEAST_TAGS = 2
# Of tags against a board of that layout, as a share of their edges. Lenses bend by less, another layout by far more.
MOST_OFF = 0.35


@dataclass(frozen=True, kw_only=True, eq=False)
class BoardView:
    """Corners of the board in one picture. ids: (n,) their numbers; points: (n, 3) m on the board; pixels: (n, 2).

    size: width and height of the picture; name: which picture it was.
    """

    ids: IntArray
    points: FloatArray
    pixels: FloatArray
    size: tuple[int, int]
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class CharucoBoard:
    """columns, rows: of squares; square_mm, marker_mm: edges of squares and of the tags in them, measured on paper."""

    columns: int = 10
    rows: int = 7
    square_mm: float = 25.0
    marker_mm: float = 18.0
    family: str = "aruco_4x4_50"

    def __post_init__(self) -> None:
        """Refuse boards that cannot be. Raises ConfigError."""
        if not (3 <= self.columns <= 50 and 3 <= self.rows <= 50):
            raise ConfigError(f"board: got {self.columns}x{self.rows} squares, expected 3..50 each way")
        if not 0.0 < self.marker_mm < self.square_mm <= 500.0:
            got = f"square_mm {self.square_mm}, marker_mm {self.marker_mm}"
            raise ConfigError(f"board: got {got}, expected 0 < marker_mm < square_mm <= 500")
        tags, known = self.columns * self.rows // 2, len(dictionary_of(self.family).bytesList)
        if tags > known:
            raise ConfigError(f"board: got {tags} tags, expected at most the {known} of {self.family}")

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height, mm."""
        return self.columns * self.square_mm, self.rows * self.square_mm

    @cached_property
    def _cv(self) -> cv2.aruco.CharucoBoard:
        size, dictionary = (self.columns, self.rows), dictionary_of(self.family)
        return cv2.aruco.CharucoBoard(size, self.square_mm / 1e3, self.marker_mm / 1e3, dictionary)

    @cached_property
    def corners(self) -> FloatArray:
        """Inner corners, (n, 3) m: x to the right, y down as the board is read, z away from the reader."""
        return frozen(np.asarray(self._cv.getChessboardCorners()), (None, 3), "board corners")

    def drawn(self, pixels_per_mm: float) -> Image:
        """Return the board to print, (height, width) uint8, without margins."""
        width, height = (round(mm * pixels_per_mm) for mm in self.size_mm)
        return np.asarray(self._cv.generateImage((width, height), marginSize=0, borderBits=1), np.uint8)

    def find(self, picture: Image, name: str = "") -> BoardView | None:
        """Return the corners seen in a picture (height, width[, 3]) uint8, None where there are too few.

        Raises InputError where another board is seen.
        """
        gray = picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        corners, ids, tags, tag_ids = self._detector.detectBoard(gray)
        self._check(tags, tag_ids, name)
        if ids is None or len(ids) < LEAST_CORNERS:
            return None
        found = np.asarray(ids, np.int64).ravel()
        points = self.corners[found]
        if min(np.ptp(points[:, 0]), np.ptp(points[:, 1])) <= 0.0:
            return None  # all on one line
        pixels = np.asarray(corners, np.float64).reshape(-1, 2)
        height, width = gray.shape[:2]
        return BoardView(ids=found, points=points, pixels=pixels, size=(width, height), name=name)

    @cached_property
    def _detector(self) -> cv2.aruco.CharucoDetector:
        parameters = cv2.aruco.CharucoParameters()
        parameters.checkMarkers = False  # a board that does not fit is named below, instead of passed over
        return cv2.aruco.CharucoDetector(self._cv, parameters)

    def _check(self, tags: "Sequence[cv2.typing.MatLike] | None", ids: "cv2.typing.MatLike | None", name: str) -> None:
        """Refuse tags that do not lie as on this board. Raises InputError."""
        if tags is None or ids is None:
            return
        of_board = {
            int(i): np.asarray(p)[:, :2] for i, p in zip(self._cv.getIds(), self._cv.getObjPoints(), strict=True)
        }
        numbers = [int(i) for i in np.asarray(ids).ravel()]
        seen = [
            (of_board[i], np.asarray(tag).reshape(4, 2)) for i, tag in zip(numbers, tags, strict=True) if i in of_board
        ]
        strangers = len(numbers) - len(seen)
        if len(seen) < LEAST_TAGS and not strangers:
            return
        H = None
        if len(seen) >= LEAST_TAGS:
            points, pixels = (np.concatenate(part).astype(np.float64) for part in zip(*seen, strict=True))
            H, _ = cv2.findHomography(points, pixels)
        if H is not None and strangers <= len(seen):
            explained = cv2.perspectiveTransform(points[:, None], H)[:, 0]
            edge = np.median([np.linalg.norm(tag - np.roll(tag, 1, axis=0), axis=1).mean() for _, tag in seen])
            if np.sqrt(np.mean(np.sum((explained - pixels) ** 2, axis=1))) <= MOST_OFF * edge:
                return
        raise InputError(
            f"{name or 'picture'}: got tags {sorted(numbers)} of another board, expected one of "
            f"{self.columns}x{self.rows} squares of {self.family}"
        )
