"""Which thing, and where, explains a spot of one colour best: its silhouette is laid over the spot and moved about."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.optimize import minimize

from so_arm_policy.control.perception.silhouette import Stance, coverage, outline
from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.pinhole import Pinhole

MARGIN_PX = 4  # around a spot, looked at too
UNSEEN_COST = 0.15  # of a pixel that a silhouette would need and that something else hides
TURNS = 6  # tried of each stance that looks different when turned
STEPS = (0.003, 0.003, 0.15)  # m, m, rad: size of the first simplex
ROUGHLY, EXACTLY = 24, 50  # evaluations
PROMISING = 2  # stances that are laid over a spot exactly, of all that were roughly


@dataclass(frozen=True, eq=False)
class Spot:
    """One connected spot of a colour in a picture, with its surroundings.

    window: (left, top, right, bottom), pixels; own: what is the spot; unsure: what may belong to it, or hide it, or
    neither. own, unsure: (bottom - top, right - left).
    """

    view: Pinhole
    window: tuple[int, int, int, int]
    own: BoolArray
    unsure: BoolArray

    @cached_property
    def weights(self) -> FloatArray:
        """How much a pixel counts that is covered and should not be, or the other way round."""
        return np.where(self.unsure, UNSEEN_COST, 1.0)

    @cached_property
    def size(self) -> int:
        """Number of its pixels."""
        return int(self.own.sum())

    @property
    def middle(self) -> FloatArray:
        """Mean of its pixels, (2,) column and row."""
        rows, columns = np.nonzero(self.own)
        return np.array([columns.mean() + self.window[0] + 0.5, rows.mean() + self.window[1] + 0.5])


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A stance laid over a spot. x, y: m, world frame; yaw: rad; cost: share of the spot that is not explained."""

    stance: Stance
    x: float
    y: float
    yaw: float
    cost: float


def best_fit(spots: Sequence[Spot], stances: Sequence[Stance], start: Fit | None = None) -> Fit:
    """Return what explains `spots`, the same thing in the pictures of several cameras, best.

    start: where it was before; then only its neighbourhood and its stance are tried.
    """
    if start is not None:
        return _refined(spots, start)
    rough = [_refined(spots, _first(spots, stance), ROUGHLY) for stance in stances]
    promising = sorted(rough, key=lambda fit: fit.cost)[:PROMISING]
    return min((_refined(spots, fit) for fit in promising), key=lambda fit: fit.cost)


def cost(spots: Sequence[Spot], stance: Stance, x: float, y: float, yaw: float) -> float:
    """Return the number of pixels that a pose leaves unexplained, as a share of those of the spots."""
    corners = stance.placed(x, y, yaw)
    wrong = area = 0.0
    for spot in spots:
        hull = outline(corners, spot.view)
        if hull is None:
            return math.inf
        covered = coverage(hull, spot.window)
        wrong += float(np.vdot(np.abs(covered - spot.own), spot.weights))
        wrong += max(0.0, _area(hull) - float(np.add.reduce(covered, axis=None)))  # outside the window
        area += spot.size
    return wrong / max(area, 1.0)


def hidden(spots: Sequence[Spot], fit: Fit) -> float:
    """Return the share of a fitted silhouette that something else may hide, where it is seen best."""
    corners, shares = fit.stance.placed(fit.x, fit.y, fit.yaw), [1.0]
    for spot in spots:
        hull = outline(corners, spot.view)
        if hull is not None:
            covered = coverage(hull, spot.window)
            shares.append(1.0 - float(covered[~spot.unsure].sum()) / max(_area(hull), 1e-9))
    return min(max(min(shares), 0.0), 1.0)


def _first(spots: Sequence[Spot], stance: Stance) -> Fit:
    """Return the best of some turns where the middle of the silhouette is that of the spot."""
    spot = spots[0]
    height = stance.height or float(stance.corners[:, 2].mean())
    x, y, _ = spot.view.on_plane(spot.middle, height).tolist()
    turns = [stance.period * i / TURNS for i in range(TURNS)] if stance.period else [0.0]
    fits = [Fit(stance=stance, x=x, y=y, yaw=yaw, cost=cost(spots, stance, x, y, yaw)) for yaw in turns]
    return min(fits, key=lambda fit: fit.cost)


def _refined(spots: Sequence[Spot], start: Fit, evaluations: int = EXACTLY) -> Fit:
    """Return the best fit near `start`, by the simplex of Nelder and Mead, The Computer Journal 7, 1965."""
    stance, free = start.stance, 3 if start.stance.period else 2
    at = np.array([start.x, start.y, start.yaw])[:free]
    simplex = np.vstack([at, at + np.diag(STEPS)[:free, :free]])

    def unexplained(pose: FloatArray) -> float:
        return cost(spots, stance, pose[0], pose[1], pose[2] if free == 3 else 0.0)

    options = {"initial_simplex": simplex, "maxfev": evaluations, "xatol": 1e-4, "fatol": 1e-3}
    found = minimize(unexplained, at, method="Nelder-Mead", options=options)
    x, y, yaw = (*found.x.tolist(), 0.0)[:3]
    return Fit(stance=stance, x=x, y=y, yaw=yaw, cost=float(found.fun))


def _area(hull: FloatArray) -> float:
    return float(cv2.contourArea(hull.astype(np.float32)))
