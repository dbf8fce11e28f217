"""A board as a page to print: PNG or PDF that says how large it is."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from so_arm_policy.control.charuco.board import CharucoBoard
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.values import Image

DPI = 508  # 20 pixels to the millimetre
PX_PER_MM = 20
MARGIN_MM = 6
FOOT_MM = 8  # for what is written below the board
FORMATS = {".png": "PNG", ".pdf": "PDF"}


def page_of(board: CharucoBoard) -> Image:
    """Return the page, (height, width) uint8: the board in white margins, and below it what it is."""
    drawn = board.drawn(PX_PER_MM)
    side, foot = MARGIN_MM * PX_PER_MM, FOOT_MM * PX_PER_MM
    page = cv2.copyMakeBorder(drawn, side, foot, side, side, cv2.BORDER_CONSTANT, value=255)
    text = (
        f"ChArUco {board.columns}x{board.rows} {board.family}, squares {board.square_mm:g} mm, tags "
        f"{board.marker_mm:g} mm: print at 100 %, measure, glue onto something flat"
    )
    scale = 0.9 * drawn.shape[1] / cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)[0][0]
    at = (side, page.shape[0] - foot // 3)
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, min(scale, 3.0), 0, 3, cv2.LINE_AA)
    return np.asarray(page, np.uint8)


def write_board(path: Path, board: CharucoBoard) -> tuple[float, float]:
    """Write the page; return its width and height, mm. Raises ConfigError."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"--board: got {path}, expected a name that ends in {' or '.join(FORMATS)}")
    page = page_of(board)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = PillowImage.fromarray(page)
        if kind == "PDF":
            picture.save(partial, format=kind, resolution=float(DPI))
        else:
            picture.save(partial, format=kind, dpi=(DPI, DPI))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: got {error}, expected a file that can be written") from error
    return page.shape[1] / PX_PER_MM, page.shape[0] / PX_PER_MM
