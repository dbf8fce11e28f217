"""How pictures look in numbers, and what is unlike those that were seen before."""

import cv2
import numpy as np
import pytest

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.policy.appearance import GRID, STATISTICS, appearance, fit_appearance


def picture(seed: int, gain: float = 1.0, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """A table with blocks that lie elsewhere in each picture, under light that varies a little."""
    rng = np.random.default_rng(seed)
    scene = np.full((96, 128, 3), 110.0)
    scene += 25.0 * np.sin(np.arange(128) / 5.0)[None, :, None]  # the grain of wood
    for color in ((200, 40, 40), (40, 160, 60), (50, 60, 190), (30, 30, 30)):
        y, x = rng.integers(0, 70), rng.integers(0, 100)
        scene[y : y + 20, x : x + 22] = color
    return np.clip(scene * gain * rng.uniform(0.8, 1.2) * np.array(tint), 0, 255).astype(np.uint8)


def numbers(pictures: list[np.ndarray]) -> np.ndarray:
    return np.array([[appearance(p)] for p in pictures])


@pytest.fixture(scope="module")
def familiar():
    return fit_appearance(numbers([picture(seed) for seed in range(200)]))


def most_of(familiar, pictures):
    return max(familiar.distances(seen)[0] for seen in numbers(pictures))


def test_statistics_are_finite_for_every_picture_and_differ_by_the_light() -> None:
    for flat in (0, 255):
        assert np.isfinite(appearance(np.full((96, 128, 3), flat, np.uint8))).all()
    assert appearance(np.zeros((GRID[1], GRID[0], 3), np.uint8)).shape == (STATISTICS,)
    bright, half = appearance(np.full((96, 128, 3), 200, np.uint8)), appearance(np.full((96, 128, 3), 100, np.uint8))
    np.testing.assert_allclose((bright - half)[:5], np.log((200 / 255 + 0.02) / (100 / 255 + 0.02)))
    np.testing.assert_allclose((bright - half)[5:], 0.0, atol=1e-6)


def test_what_was_fitted_is_within_one_and_further_pictures_of_it_are_near(familiar) -> None:
    fitted = [familiar.distances(seen)[0] for seen in numbers([picture(seed) for seed in range(200)])]
    assert 0.5 < np.sqrt(np.mean(np.square(fitted))) <= 1.0  # less where statistics say nearly the same
    assert most_of(familiar, [picture(seed) for seed in range(1000, 1100)]) < 1.5 * max(fitted)


def noisy(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, 40.0, (96, 128, 3))
    return np.clip(picture(seed) + noise, 0, 255).astype(np.uint8)


def covered(seed: int) -> np.ndarray:
    half = picture(seed)
    half[24:72, 32:96] = 90
    return half


STRANGE = {
    "dark": lambda seed: picture(seed, gain=0.25),
    "bright": lambda seed: picture(seed, gain=2.5),
    "tinted": lambda seed: picture(seed, tint=(1.5, 1.0, 0.5)),
    "black": lambda seed: np.zeros((96, 128, 3), np.uint8),
    "noisy": noisy,
    "blurred": lambda seed: cv2.blur(picture(seed), (9, 9)),
    "covered": covered,
}


@pytest.mark.parametrize("what", STRANGE)
def test_pictures_that_look_otherwise_are_further_away_than_all_that_were_seen(familiar, what: str) -> None:
    seen = most_of(familiar, [picture(seed) for seed in range(1000, 1100)])
    assert min(familiar.distances(one)[0] for one in numbers([STRANGE[what](s) for s in range(2000, 2020)])) > seen


def test_each_camera_has_its_own_distance() -> None:
    both = np.array([[appearance(picture(s)), appearance(picture(s + 500))] for s in range(100)])
    familiar = fit_appearance(both)
    good, black = appearance(picture(900)), appearance(np.zeros((96, 128, 3), np.uint8))
    alone = [fit_appearance(both[:, k : k + 1]).distances(seen[None])[0] for k, seen in ((0, good), (1, black))]
    np.testing.assert_allclose(familiar.distances(np.array([good, black])), alone)
    assert alone[0] < alone[1] / 2


def test_pictures_that_are_all_the_same_give_a_usable_fit() -> None:
    same = fit_appearance(numbers([picture(0)] * 5))
    assert same.distances(numbers([picture(0)])[0]) == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(same.distances(numbers([picture(1)])[0]))


@pytest.mark.parametrize("bad", [np.ones((5, 13)), np.ones((1, 2, 13)), np.full((5, 2, 13), np.nan)])
def test_samples_that_say_nothing_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="appearance: got"):
        fit_appearance(bad)
