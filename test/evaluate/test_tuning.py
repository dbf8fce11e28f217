"""`so-arm tune pid`: the relay finds what the plant is, the search never ends worse than it began."""

import math

import numpy as np
import pytest

from so_arm_policy.cli import main
from so_arm_policy.control.cartesian_pid import CartesianPidConfig
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.tuning import FIRST_SEED, RANGES, Cost, Lag, Trial, Tuning, first_gains, relay, search


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(Tuning(episodes=2, tries=6))


def test_a_relay_finds_slower_motors_slower(robot: RobotConfig) -> None:
    quick, slow = relay(robot, 0.02, 1), relay(robot, 0.08, 1)
    assert quick.gain > slow.gain
    assert quick.period_s < slow.period_s
    assert 0.05 < quick.period_s < 1.0
    kp = [first_gains(cycle).kp for cycle in (quick, slow)]
    assert kp[0] == pytest.approx(quick.gain / 3.2)
    assert kp[0] > kp[1] > 1.0


def test_gains_cost_what_their_motion_is_like(trial: Trial) -> None:
    usual, slow = trial.cost(CartesianPidConfig()), trial.cost(CartesianPidConfig(kp=1.5, speed_limit=0.1))
    assert usual == trial.cost(CartesianPidConfig())
    assert usual.successes == 2
    assert usual.time_s < slow.time_s
    assert usual.total < slow.total
    assert trial.episodes == 6


def test_a_search_ends_no_worse_than_it_began_and_within_its_ranges(trial: Trial) -> None:
    costs: list[float] = []
    start = CartesianPidConfig(kp=3.0)
    best = search(trial, start, 6, lambda gains, cost: costs.append(cost.total))
    assert len(costs) == 6
    assert trial.cost(best).total == min(costs) <= costs[0]
    for name, (low, high) in RANGES.items():
        assert low <= getattr(best, name) <= high
    assert best.ki == start.ki


def test_the_total_adds_up_and_everything_bad_adds() -> None:
    good = Cost(successes=1, time_s=1.0, overshoot_m=0.0, roughness=10.0, clamps=0.0, ticks=1)
    assert good.total == pytest.approx(2.0)
    worse = Cost(successes=1, time_s=1.0, overshoot_m=0.01, roughness=10.0, clamps=2.0, ticks=1)
    assert worse.total == pytest.approx(good.total + 1.0 + 0.2)


def test_motors_lag_by_their_time_constant() -> None:
    lag, none = Lag(0.1), Lag(0.0)
    assert not lag.follow(np.zeros(2)).any()
    none.follow(np.zeros(2))
    for _ in range(12):  # a tenth of a second
        q = lag.follow(np.ones(2))
        np.testing.assert_array_equal(none.follow(np.ones(2)), np.ones(2))
    np.testing.assert_allclose(q, 1.0 - math.exp(-1.0))


@pytest.mark.parametrize("change", [{"episodes": 1}, {"tries": 0}, {"lag_s": -0.1}, {"lag_s": float("nan")}])
def test_searches_that_are_none_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="tuning: got"):
        Tuning(**change)


def test_the_command_prints_its_budget_and_gains_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "pid", "--episodes", "2", "--tries", "2"]) == 0
    printed = capsys.readouterr().out
    assert f"seeds {FIRST_SEED} on" in printed
    assert "spent: 6 episodes" in printed
    assert "kp" in repr(eval(printed.splitlines()[-1], {"CartesianPidConfig": CartesianPidConfig}))
    assert main(["tune", "pid", "--tries", "0"]) == 2
