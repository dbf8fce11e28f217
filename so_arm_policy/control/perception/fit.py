"""Which thing, and where, explains a spot of one colour best: its silhouette is laid over the spot and moved about."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import minimize

from so_arm_policy.control.perception.silhouette import Outline, Stance, coverage, outline
from so_arm_policy.control.perception.spots import Spot
from so_arm_policy.core.arrays import FloatArray

TURNS = 6  # tried of each stance that looks different when turned
STEPS = (0.003, 0.003, 0.15)  # m, m, rad: size of the first simplex
ROUGHLY, EXACTLY = 24, 50  # evaluations
LESS_SEEN = 0.2  # share of a thing: a camera that sees so much less of it than another one is not asked
PROMISING = 2  # stances that are laid over a spot exactly, of all that were roughly


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A stance laid over a spot. x, y: m, world frame; yaw: rad; cost: share of the spot that is not explained."""

    stance: Stance
    x: float
    y: float
    yaw: float
    cost: float


def rough_fits(spot: Spot, stances: Sequence[Stance]) -> list[Fit]:
    """Return about what explains one spot best, for each of `stances`."""
    return [_refined([spot], _first(spot, stance), ROUGHLY) for stance in stances]


def best_fit(spots: Sequence[Spot], rough: Sequence[Sequence[Fit]]) -> Fit:
    """Return what explains `spots`, the same thing in the pictures of several cameras, best.

    rough: of each spot; see rough_fits. Only cameras that see most of it are asked: one that stands a few millimetres
    off would draw what another one shows half of aside. Each says by itself which stance it is, all together where.
    """
    seen = [1.0 - hidden([spot], min(fits, key=lambda fit: fit.cost)) for spot, fits in zip(spots, rough, strict=True)]
    clear = [i for i in range(len(spots)) if seen[i] >= max(seen) - LESS_SEEN]
    spots, rough = [spots[i] for i in clear], [rough[i] for i in clear]
    promising = sorted(range(len(rough[0])), key=lambda n: _mean_cost(spots, [fits[n] for fits in rough]))[:PROMISING]
    exact = [[_refined([spot], fits[n]) for spot, fits in zip(spots, rough, strict=True)] for n in promising]
    alone = min(exact, key=lambda fits: _mean_cost(spots, fits))
    if len(spots) == 1:
        return alone[0]
    starts = (replace(fit, cost=cost(spots, fit.stance, fit.x, fit.y, fit.yaw)) for fit in alone)
    together = _refined(spots, min(starts, key=lambda fit: fit.cost))
    return replace(together, cost=_mean_cost(spots, alone))


def cost(spots: Sequence[Spot], stance: Stance, x: float, y: float, yaw: float) -> float:
    """Return the number of pixels that a pose leaves unexplained, as a share of those of the spots.

    A pixel that something else may hide counts little.
    """
    corners = stance.placed(x, y, yaw)
    wrong = size = 0.0
    for spot in spots:
        hull = outline(corners, spot.view)
        if hull is None:
            return math.inf
        covered = coverage(hull, spot.window)
        wrong += spot.size + float(np.vdot(covered, spot.gains)) + _area_outside(hull, covered)
        size += spot.size
    return wrong / max(size, 1.0)


def hidden(spots: Sequence[Spot], fit: Fit) -> float:
    """Return the share of a fitted silhouette that something else may hide, where it is seen best."""
    corners, shares = fit.stance.placed(fit.x, fit.y, fit.yaw), [1.0]
    for spot in spots:
        hull = outline(corners, spot.view)
        if hull is not None:
            covered = coverage(hull, spot.window)
            shares.append(1.0 - float(covered[~spot.unsure].sum()) / max(_area(hull), 1e-9))
    return min(max(min(shares), 0.0), 1.0)


def _mean_cost(spots: Sequence[Spot], fits: Sequence[Fit]) -> float:
    """Return the cost of a fit of the same stance for each spot, as a share of the pixels of all."""
    wrong = sum(fit.cost * spot.size for spot, fit in zip(spots, fits, strict=True))
    return wrong / sum(spot.size for spot in spots) + fits[0].stance.unlikely


def _first(spot: Spot, stance: Stance) -> Fit:
    """Return the best of some turns where the middle of the silhouette is that of the spot."""
    height = stance.height or float(stance.corners[:, 2].mean())
    x, y, _ = spot.view.on_plane(spot.middle, height).tolist()
    turns = [stance.period * i / TURNS for i in range(TURNS)] if stance.period else [0.0]
    fits = [Fit(stance=stance, x=x, y=y, yaw=yaw, cost=cost([spot], stance, x, y, yaw)) for yaw in turns]
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


def _area(hull: Outline) -> float:
    return float(cv2.contourArea(hull))


def _area_outside(hull: Outline, covered: FloatArray) -> float:
    """Return how much of a hull lies outside of the window that it covers so much of, pixels."""
    return max(0.0, _area(hull) - float(np.add.reduce(covered, axis=None)))
