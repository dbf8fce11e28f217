"""What of a window a hull covers: the same whatever else the window shows, also across its edges and outside."""

import cv2
import numpy as np
import pytest

from so_arm_policy.control.perception.silhouette import LARGE_PX, coverage

ALL = (0, 0, 160, 120)


def some_hull(seed, low, high):
    points = np.random.default_rng(seed).uniform(low, high, (7, 2)).astype(np.float32)
    return cv2.convexHull(points)[:, 0]


def around(hull, margin):
    left, top, width, height = cv2.boundingRect(hull)
    return left - margin, top - margin, left + width + margin, top + height + margin


@pytest.mark.parametrize("seed", range(20))
def test_a_larger_window_shows_the_same_and_nothing_around_it(seed):
    hull = some_hull(seed, (40, 40), (80, 70))
    wide = coverage(hull, around(hull, 3))
    assert wide.size <= LARGE_PX, "both are drawn as finely"
    inner = wide[2:-2, 2:-2]
    assert np.array_equal(inner, coverage(hull, around(hull, 1)))
    assert np.count_nonzero(wide) == np.count_nonzero(inner)
    assert abs(wide.sum() - cv2.contourArea(hull)) < 0.2 * cv2.arcLength(hull, closed=True)


@pytest.mark.parametrize("seed", range(20))
def test_a_hull_across_the_edges_of_a_window_is_cut_there(seed):
    hull = some_hull(seed, (-30, -30), (190, 150))
    left, top, right, bottom = around(hull, 3)
    whole = coverage(hull, (left, top, right, bottom))
    cut = coverage(hull, ALL)
    among = np.zeros((max(bottom, 120) - min(top, 0), max(right, 160) - min(left, 0)))
    x, y = min(left, 0), min(top, 0)
    among[top - y : bottom - y, left - x : right - x] = whole
    differ = np.abs(among[-y : 120 - y, -x : 160 - x] - cut)  # OpenCV cuts a line before it draws it
    assert differ.max() <= 0.5
    assert (differ > 0.0).mean() < 0.01
    assert cut.sum() > 1000.0


@pytest.mark.parametrize("by", [(200, 0), (-200, 0), (0, 200), (0, -200)])
def test_a_hull_outside_of_a_window_covers_nothing_of_it(by):
    hull = some_hull(3, (20, 20), (140, 100)) + np.array(by, dtype=np.float32)
    assert not coverage(hull, ALL).any()
