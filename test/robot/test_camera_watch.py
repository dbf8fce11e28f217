"""Dropped, repeated and backward pictures, counted from what a source gave."""

import itertools

import numpy as np
import pytest

from so_arm_policy.robot.camera.frame import Frame
from so_arm_policy.robot.camera.watch import FrameWatch

PERIOD_NS = 1_000_000_000 // 30
NUMBERS = itertools.count()


def frame(at_periods, bgr=None, lost=0):
    if bgr is None:
        bgr = np.full((2, 2, 3), next(NUMBERS) % 251, np.uint8)
    return Frame(bgr=bgr, taken_ns=1_000_000_000 + round(at_periods * PERIOD_NS), by_driver=True, lost=lost)


def watched(times, **more):
    watch = FrameWatch(more.pop("most_repeats", 3))
    watch.begin(30.0)
    for t in times:
        watch.note(frame(t, **more))
    return watch


def test_a_steady_stream_with_jitter_has_nothing_wrong():
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, 3000)
    watch = watched(np.arange(3000) + jitter)
    assert (watch.taken, watch.dropped, watch.repeated, watch.backwards) == (3000, 0, 0, 0)


@pytest.mark.parametrize("rate", [29.97, 30.03])
def test_a_clock_that_differs_by_a_thousandth_drops_nothing(rate):
    assert watched(np.arange(5000) * 30.0 / rate).dropped == 0


def test_missing_pictures_are_counted_one_by_one():
    rng = np.random.default_rng(1)
    gone = rng.choice(np.arange(1, 999), 60, replace=False)
    times = np.setdiff1d(np.arange(1000), gone) + rng.uniform(-0.02, 0.02, 940)
    assert watched(times).dropped == 60


def test_a_camera_at_half_the_rate_lacks_every_second_picture():
    assert watched(np.arange(0, 200, 2)).dropped == 99


def test_damaged_pictures_are_counted_once():
    watch = FrameWatch(0)
    watch.begin(30.0)
    watch.note(frame(0))
    watch.note(frame(3, lost=2))
    assert watch.dropped == 2


def test_a_new_stream_owes_nothing_for_the_time_without_one():
    watch = watched([0, 1, 2])
    watch.begin(30.0)
    watch.note(frame(500))
    watch.note(frame(501))
    assert watch.dropped == 0


def test_stamps_that_stand_or_go_back_are_counted():
    assert watched([0, 1, 1, 0.5, 2]).backwards == 2


def test_identical_pictures_are_a_fault_from_so_many_on():
    watch, same = FrameWatch(3), np.full((2, 2, 3), 7, np.uint8)
    watch.begin(30.0)
    frozen = []
    for i in range(5):
        watch.note(frame(i, same.copy()))
        frozen.append(watch.frozen)
    assert frozen == [False, False, False, True, True]
    other = same.copy()
    other[1, 1, 2] += 1
    watch.note(frame(5, other))
    assert not watch.frozen
    assert watch.repeated == 4


def test_a_dark_lens_may_be_allowed():
    assert not watched(range(100), bgr=np.zeros((2, 2, 3), np.uint8), most_repeats=0).frozen
