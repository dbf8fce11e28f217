"""Calibration: thresholds that further successful runs rarely pass, kept in the bundle."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.calibration import LEAST, Course, calibrate, lasting_peak, watch, watch_all
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.evaluate.statistics import conformal_quantile
from so_arm_policy.policy.appearance import STATISTICS
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.monitors import keep_monitors
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.tasks.reach import Reach

D = 32
CAMERAS = 2


def course(seed: int, success: bool = True, task: str = "reach", scale: float = 1.0, ticks: int = 120) -> Course:
    """One episode with features of a scene, which differ from those of other scenes."""
    rng, eyes = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    scene = rng.standard_normal(D)
    seen = scene + 0.3 * rng.standard_normal((ticks // 12, D))
    looks = eyes.standard_normal((CAMERAS, STATISTICS))
    looks = scale * (looks + 0.3 * eyes.standard_normal((ticks // 12, CAMERAS, STATISTICS)))
    return Course(
        task=task,
        seed=seed,
        success=success,
        seen=(scale * seen).astype(np.float32),
        looks=looks,
        context=np.arange(ticks) // 12,
        disagreement_rad=np.abs(rng.standard_normal(ticks)) * 0.01 * scale,
    )


def test_conformal_quantiles() -> None:
    assert conformal_quantile([1.0, 2.0, 3.0], 0.25) == 3.0
    assert conformal_quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert conformal_quantile(list(range(19)), 0.05) == 18
    assert conformal_quantile(list(range(39)), 0.05) == 37
    with pytest.raises(ConfigError, match=r"got 18 scores, expected at least 19 for alpha 0\.05"):
        conformal_quantile(list(range(18)), 0.05)
    for alpha in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="got alpha"):
            conformal_quantile([1.0], alpha)


def test_a_further_score_passes_the_quantile_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(0)
    passed = [rng.standard_cauchy() > conformal_quantile(rng.standard_cauchy(39).tolist(), 0.1) for _ in range(4000)]
    assert np.mean(passed) == pytest.approx(0.1, abs=0.02)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=60), st.integers(1, 40))
def test_the_lasting_peak_is_what_the_score_reaches_for_so_long(scores, ticks: int) -> None:
    peak = lasting_peak(np.array(scores), ticks)
    longest = run = 0
    for score in scores:
        run = run + 1 if score >= peak else 0
        longest = max(longest, run)
    assert longest >= min(ticks, len(scores))
    run = longest = 0
    for score in scores:
        run = run + 1 if score > peak else 0
        longest = max(longest, run)
    assert longest < min(ticks, len(scores))


def test_successful_runs_like_those_calibrated_with_rarely_pass() -> None:
    found = calibrate([course(seed) for seed in range(200)], 0.1, 0.3)
    assert (found.fitted, found.held_out) == (100, 100)
    further = [course(seed) for seed in range(1000, 1200)]
    familiar, monitors = found.monitors.familiar, found.monitors
    novel = [
        lasting_peak(np.array([familiar.distance(x) for x in c.seen])[c.context], 36) > monitors.novelty_threshold
        for c in further
    ]
    strange_pictures = [
        lasting_peak(np.array([monitors.picture_novelty(x) for x in c.looks])[c.context], 36) > 1.0 for c in further
    ]
    disagree = [lasting_peak(c.disagreement_rad, 36) > monitors.disagreement_rad for c in further]
    assert np.mean(novel) < 0.2
    assert np.mean(strange_pictures) < 0.2
    assert np.mean(disagree) < 0.2
    strange = [course(seed, scale=3.0) for seed in range(1000, 1020)]
    assert all(min(familiar.distance(x) for x in c.seen) > monitors.novelty_threshold for c in strange)
    assert all(min(monitors.picture_novelty(x) for x in c.looks) > 1.0 for c in strange)


def test_only_successes_count_and_each_task_is_in_both_halves() -> None:
    good = [course(seed, task=task) for task in ("reach", "sort") for seed in range(20)]
    bad = [course(seed + 100, success=False, scale=50.0) for seed in range(20)]
    found, same = calibrate(good + bad, 0.1, 0.3), calibrate(good, 0.1, 0.3)
    assert (found.novelty, found.looks) == (same.novelty, same.looks)
    assert (found.fitted, found.held_out) == (20, 20)


def test_the_promise_is_kept_for_each_task_that_has_enough_episodes() -> None:
    """Half of the episodes are of a task in which the policy disagrees more: not all false alarms may be its."""
    easy = [course(seed) for seed in range(80)]
    hard = [
        replace(course(seed), task="sort", disagreement_rad=5.0 * course(seed).disagreement_rad) for seed in range(80)
    ]
    both, alone = calibrate(easy + hard, 0.05, 0.1), calibrate(hard, 0.05, 0.1)
    assert both.monitors.disagreement_rad == alone.monitors.disagreement_rad
    few = calibrate(easy + hard[:10], 0.05, 0.1)
    assert few.held_out == 45
    assert few.monitors.disagreement_rad < alone.monitors.disagreement_rad


def test_too_few_successes_are_an_error_that_says_how_many_are_needed() -> None:
    with pytest.raises(ConfigError, match="got 0 successful of 30 episodes"):
        calibrate([course(seed, success=False) for seed in range(30)], 0.05, 0.3)
    with pytest.raises(ConfigError, match="got 15 scores, expected at least 19"):
        calibrate([course(seed) for seed in range(30)], 0.05, 0.3)


def test_a_policy_that_never_disagrees_has_a_threshold_above_rounding() -> None:
    still = [replace(course(seed), disagreement_rad=np.zeros(120)) for seed in range(60)]
    assert calibrate(still, 0.1, 0.3).monitors.disagreement_rad == LEAST


def test_what_is_watched_repeats_and_does_not_depend_on_what_was_before(bundle: Bundle) -> None:
    seeds = range(95_000, 95_002)
    alone = [c for part in watch_all(str(bundle.path), ("reach",), seeds) for c in part]
    assert [c.seed for c in alone] == list(seeds)
    for c in alone:
        assert c.seen.shape == (len(c.seen), D)
        assert c.looks.shape == (len(c.seen), CAMERAS, STATISTICS)
        assert 0 <= c.context.min() <= c.context.max() < len(c.seen)
        assert c.context.shape == c.disagreement_rad.shape
    again = watch(str(bundle.path), "reach", seeds[1:])
    for a, b in zip(alone[1:], again, strict=True):
        assert (a.seen == b.seen).all()
        assert (a.looks == b.looks).all()
        assert (a.disagreement_rad == b.disagreement_rad).all()


def test_the_rollout_is_told_what_the_monitors_say_and_changes_only_when_that_is_asked_for(
    bundle: Bundle, robot: RobotConfig, tmp_path: Path
) -> None:
    """With monitors that doubt everything: warnings change nothing, slowing does, and both are counted."""
    folder = tmp_path / "doubting"
    shutil.copytree(bundle.path, folder)
    shown = watch(str(folder), "reach", [3])
    found = calibrate([replace(c, success=True) for c in shown for _ in range(40)], 0.1, 0.3)
    keep_monitors(folder, replace(found.monitors, novelty_threshold=1e-3, disagreement_rad=1e3), {})
    task, doubting = Reach(time_limit_s=1.5), load_bundle(folder)

    def run(of: Bundle, answer: str):
        safety = SupervisorConfig(sources=("system1",), on_novelty=answer, doubt_speed=0.02)
        return Rollout(task, robot, PolicyAgent(of, robot), safety).run(task.sample(3))

    plain, warned, slowed = run(bundle, "warn"), run(doubting, "warn"), run(doubting, "slow")
    assert (warned.digest, warned.rules, plain.doubts) == (plain.digest, plain.rules, {})
    assert warned.doubts["policy.novelty"] > 100
    assert slowed.digest != plain.digest
    assert slowed.rules["policy.novelty"] > 10


def test_the_command_calibrates_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "reach_flow"
    shutil.copytree(find_shipped("bundles", "reach_flow"), folder)
    before = read_manifest(folder)
    assert main(["calibrate", str(folder), "--seeds", "95000:95006", "--alpha", "0.4", "--jobs", "1"]) == 0
    assert "set the thresholds (alpha 0.4)" in capsys.readouterr().out
    loaded = load_bundle(folder)
    assert loaded.manifest.id == before.id
    assert loaded.monitors() is not None
    notes = loaded.manifest.training["monitors"]
    assert notes["command"] == "so-arm calibrate reach_flow --seeds 95000:95006 --alpha 0.4"
    assert notes["episodes"] == {"reach": 6}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seeds", "1000:1040"], "--seeds: got '1000:1040', expected some of 90000..99999"),
        (["--tasks", "sort"], r"--tasks: got \['sort'\], expected different ones of \['reach'\]"),
        (["--alpha", "1.5"], "--alpha: got 1.5"),
        (["--jobs", "0"], "got 0 jobs"),
        (["--seeds", "95000:95001"], "got 0 successful of 1 episodes"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_and_changes_nothing(
    bundle: Bundle, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p.name: p.read_bytes() for p in bundle.path.iterdir()}
    assert main(["calibrate", str(bundle.path), "--jobs", "1", *words]) == 2
    assert re.search(complaint, capsys.readouterr().err)
    assert {p.name: p.read_bytes() for p in bundle.path.iterdir()} == before
