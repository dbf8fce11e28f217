"""A lens from views of a board: Zhang, "A flexible new technique for camera calibration", 2000, as OpenCV has it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from so_arm_policy.control.charuco.board import BoardView
from so_arm_policy.control.charuco.coverage import missing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.intrinsics import Intrinsics

MOST_RMS_PX = 1.0
MOST_FOCAL_SD = 0.01  # as a share of the focal length
# A view that is so much worse than most is blurred or bent: it is left out, once.
OUTLIER_RATIO, OUTLIER_PX = 3.0, 0.5
MOST_OUTLIERS = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class LensFit:
    """A lens and how sure it is. rms_px: of all corners; worst, worst_px: name and error of the worst view.

    focal_sd_px: standard deviation of fx and fy from OpenCV, (2,); middle_sd_px: of the middle, (2,). left_out: views
    that did not fit. corners: how many were used.
    """

    lens: Intrinsics
    rms_px: float
    worst: str
    worst_px: float
    focal_sd_px: FloatArray
    middle_sd_px: FloatArray
    views: int
    corners: int
    left_out: tuple[str, ...]


def fit_lens(views: Sequence[BoardView]) -> LensFit:
    """Return the lens that explains the views. Raises InputError that says why where they do not give a good one."""
    sizes = {view.size for view in views}
    if len(sizes) > 1:
        raise InputError(f"views: got pictures of sizes {sorted(sizes)}, expected one size")
    _refuse_what_is_missing(views)
    fit, errors = _fit(views, ())
    limit = max(OUTLIER_RATIO * float(np.median(errors)), OUTLIER_PX)
    good = [view for view, error in zip(views, errors, strict=True) if error <= limit]
    if len(good) < len(views):
        left_out = tuple(view.name for view, error in zip(views, errors, strict=True) if error > limit)
        if len(left_out) > MOST_OUTLIERS * len(views):
            raise InputError(
                f"views: got {len(left_out)} of {len(views)} that do not fit the others ({', '.join(left_out)}), "
                "expected a board that is flat, and pictures without blur"
            )
        _refuse_what_is_missing(good)
        fit, _ = _fit(good, left_out)
    _refuse(fit)
    return fit


def _refuse_what_is_missing(views: Sequence[BoardView]) -> None:
    wanted = missing(views)
    if wanted:
        raise InputError(f"views: got {len(views)} with the board, expected also {'; '.join(wanted)}")


def _fit(views: Sequence[BoardView], left_out: tuple[str, ...]) -> tuple[LensFit, FloatArray]:
    points = [view.points.astype(np.float32) for view in views]
    pixels = [view.pixels.astype(np.float32) for view in views]
    width, height = views[0].size
    # k3 and the others of it only explain noise, unless the lens is very wide.
    flags = cv2.CALIB_FIX_K3
    try:
        rms, K, distortion, _, _, deviations, _, per_view = cv2.calibrateCameraExtended(
            points, pixels, (width, height), np.eye(3), np.zeros(5), flags=flags
        )
    except cv2.error as error:
        raise InputError(f"views: got {error.err} from OpenCV, expected views that explain a lens") from error
    errors, sd = np.asarray(per_view, np.float64).ravel(), np.asarray(deviations, np.float64).ravel()
    worst = int(np.argmax(errors))
    try:
        lens = Intrinsics(
            width=width, height=height, K=np.asarray(K), distortion=np.asarray(distortion, np.float64).ravel()[:5]
        )
    except ConfigError as error:
        raise InputError(f"views: {error}") from error
    fit = LensFit(
        lens=lens,
        rms_px=float(rms),
        worst=views[worst].name,
        worst_px=float(errors[worst]),
        focal_sd_px=sd[:2],
        middle_sd_px=sd[2:4],
        views=len(views),
        corners=sum(len(view.ids) for view in views),
        left_out=left_out,
    )
    return fit, errors


def _refuse(fit: LensFit) -> None:
    """Raises InputError."""
    lens = fit.lens
    if not fit.rms_px <= MOST_RMS_PX:
        raise InputError(
            f"lens: got corners {fit.rms_px:.2f} pixels off (worst {fit.worst}: {fit.worst_px:.2f}), expected at most "
            f"{MOST_RMS_PX}; is the board flat, and the lens no fisheye?"
        )
    focal = np.array([lens.K[0, 0], lens.K[1, 1]])
    if not (fit.focal_sd_px <= MOST_FOCAL_SD * focal).all():
        got = f"focal length {focal.round(1).tolist()} within {fit.focal_sd_px.round(1).tolist()} pixels"
        raise InputError(
            f"lens: got {got}, expected within {100 * MOST_FOCAL_SD:.0f} %: show the board leaning further"
        )
    folded = folds_at(lens)
    if folded is not None:
        raise InputError(
            f"lens: got a distortion that folds the picture {folded:.0f} pixels from its middle, expected none: "
            "show the board nearer to the edges"
        )


def folds_at(lens: Intrinsics) -> float | None:
    """Return how far from the middle, pixels, the distortion turns back within the picture; None: nowhere."""
    k1, k2, _, _, k3 = lens.distortion[:5]
    fx, fy, cx, cy = lens.K[0, 0], lens.K[1, 1], lens.K[0, 2], lens.K[1, 2]
    reach = math.hypot(max(cx, lens.width - cx) / fx, max(cy, lens.height - cy) / fy)
    r = np.linspace(0.0, 3.0 * reach, 3000)
    bent = r * (1.0 + k1 * r**2 + k2 * r**4 + k3 * r**6)
    slope = 1.0 + 3 * k1 * r**2 + 5 * k2 * r**4 + 7 * k3 * r**6
    turns = np.flatnonzero(slope <= 0.0)
    if not len(turns) or bent[turns[0]] > reach:
        return None
    return float(bent[turns[0]] * (fx + fy) / 2)
