import numpy as np
import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.scaling.law import ScalingLaw, fit_law

LAW = ScalingLaw(floor=0.08, a=20.0, b=3.0, alpha=0.45, beta=0.5)
N, D = (grid.ravel() for grid in np.meshgrid([3e4, 1e5, 3e5, 1e6], [50, 200, 800, 3200]))


def test_a_known_law_is_found_again():
    fit = fit_law(N, D, LAW.loss(N, D), resamples=2)
    assert fit.law.alpha == pytest.approx(LAW.alpha, rel=0.02)
    assert fit.law.beta == pytest.approx(LAW.beta, rel=0.02)
    assert fit.law.floor == pytest.approx(LAW.floor, rel=0.05)
    assert np.allclose(fit.law.loss(N, D), LAW.loss(N, D), rtol=2e-3)


def test_noise_widens_the_intervals_which_hold_the_truth():
    rng = np.random.default_rng(0)
    fit = fit_law(N, D, LAW.loss(N, D) * np.exp(rng.normal(0.0, 0.02, len(N))), resamples=15)
    for name in ("alpha", "beta"):
        low, high = fit.interval(name)
        assert low - 0.05 <= getattr(LAW, name) <= high + 0.05  # 15 resamples tell an interval roughly
        assert high - low > 0.01


def test_the_best_size_of_a_budget_beats_its_neighbours():
    flops, each = 1e13, 6e3
    n, d = LAW.best_size(flops, each)
    assert each * n * d == pytest.approx(flops)
    best = LAW.loss(n, d)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert LAW.loss(n * factor, d / factor) > best


@pytest.mark.parametrize(
    ("n", "d", "loss", "message"),
    [
        (N[:5], D[:5], np.ones(5), "got 5, 5, 5 points"),
        (N, D, np.ones(3), "expected as many"),
        (N, D, np.full(16, np.nan), "got losses"),
        (-N, D, np.ones(16), "got parameters"),
        (np.full(16, 1e5), D, np.ones(16), "got 1 sizes and 4 counts"),
    ],
)
def test_points_that_say_nothing_are_refused(n, d, loss, message):
    with pytest.raises(InputError, match=message):
        fit_law(n, d, loss)
