"""A policy's monitors: what they measure, and that a damaged file of them is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from following import NS, TICK, context_at, follow, sample_at
from tiny_bundle import finish, rehash

from so_arm_policy.core.errors import BundleError, ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage, Chunk
from so_arm_policy.policy import monitors
from so_arm_policy.policy.appearance import STATISTICS, appearance, fit_appearance
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.disagreement import LAG_NS, disagreement_rad
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.monitors import Monitors, keep_monitors, read_monitors
from so_arm_policy.policy.novelty import MOST_AXES, features, fit
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2

D = 1 * 4 * 8  # heads, tokens, head_size of the tiny bundle
DT_NS = 33_333_333
CAMERAS = 2


def samples(count: int = 400, seed: int = 0) -> np.ndarray:
    """Features that mostly vary along two directions."""
    rng = np.random.default_rng(seed)
    along = rng.standard_normal((2, D))
    return (1.0 + rng.standard_normal((count, 2)) @ along + 0.05 * rng.standard_normal((count, D))).astype(np.float32)


def made(**changes: object) -> Monitors:
    looks = fit_appearance(np.random.default_rng(1).standard_normal((40, CAMERAS, STATISTICS)))
    plain = Monitors(
        fit(samples()), novelty_threshold=1.5, disagreement_rad=0.02, looks=looks, looks_thresholds=np.full(2, 2.0)
    )
    return replace(plain, **changes)


def chunk_of(positions: np.ndarray, start_ns: int = NS) -> Chunk:
    return Chunk(
        sequence=0,
        observation_stamp_ns=start_ns,
        context_stamp_ns=start_ns,
        start_ns=start_ns,
        dt_ns=DT_NS,
        positions=positions,
    )


def test_what_was_fitted_is_at_distance_one_and_what_is_unlike_it_further() -> None:
    familiar = fit(samples())
    inside = [familiar.distance(x) for x in samples()]
    assert np.sqrt(np.mean(np.square(inside))) == pytest.approx(1.0, abs=1e-3)
    beside = familiar.mean + np.float32(0.5) * np.eye(D, dtype=np.float32)[0]
    assert familiar.distance(beside) > 1.3 * max(inside)
    along = familiar.mean + familiar.axes[0] * familiar.spread[0]
    assert familiar.distance(along) == pytest.approx(1.0 / np.sqrt(D), rel=1e-3)


def test_the_distance_is_that_of_mahalanobis_with_the_shrunk_covariance() -> None:
    familiar = fit(samples())
    axes, k = familiar.axes.astype(float), len(familiar.spread)
    left = np.eye(D) - axes.T @ axes
    covariance = axes.T @ np.diag(familiar.spread.astype(float) ** 2) @ axes + float(familiar.rest) ** 2 * left
    assert k == 2
    assert np.linalg.cond(covariance) < 1e6
    for x in samples(5, seed=9):
        away = x.astype(float) - familiar.mean
        expected = np.sqrt(away @ np.linalg.solve(covariance, away) / D)
        assert familiar.distance(x) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("count", [2, 3, D, 1000])
def test_any_number_of_samples_gives_a_usable_fit(count: int) -> None:
    familiar = fit(samples(count))
    assert len(familiar.spread) <= min(MOST_AXES, D - 1)
    assert (familiar.spread > 0).all()
    assert familiar.rest > 0
    assert np.isfinite(familiar.distance(samples(1, seed=5)[0]))


@pytest.mark.parametrize("bad", [np.ones((5, D)), np.ones((1, D)), np.full((5, D), np.nan), np.ones(D)])
def test_samples_that_say_nothing_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="novelty: got"):
        fit(bad.astype(np.float32))


def test_features_are_the_values_of_the_first_layer() -> None:
    keys_values = np.random.default_rng(0).standard_normal((2, 2, 1, 4, 8)).astype(np.float32)
    assert features(keys_values).shape == (D,)
    assert (features(keys_values) == keys_values[0, 1].ravel()).all()


def test_a_chunk_that_goes_on_as_before_agrees_with_it() -> None:
    rows = np.arange(16)[:, None] * np.linspace(0.01, 0.02, 6)
    for shift_ns in (0, TICK, LAG_NS, 5 * DT_NS):
        later = rows + shift_ns / DT_NS * rows[1]
        assert disagreement_rad(later, NS + shift_ns, 2, chunk_of(rows)) == pytest.approx(0.0, abs=1e-12)
        assert disagreement_rad(later + 0.03, NS + shift_ns, 2, chunk_of(rows)) == pytest.approx(0.03)


def test_what_is_committed_and_what_does_not_overlap_is_not_compared() -> None:
    rows = np.zeros((16, 6))
    other = rows.copy()
    other[:4] = 1.0
    assert disagreement_rad(other, NS, 4, chunk_of(rows)) == 0.0
    assert disagreement_rad(other, NS, 2, chunk_of(rows)) == pytest.approx(np.sqrt(2 / 14))
    far = np.ones((16, 6))
    assert disagreement_rad(far, NS + 12 * DT_NS, 2, chunk_of(rows)) == 1.0
    assert disagreement_rad(far, NS + 13 * DT_NS, 2, chunk_of(rows)) == 0.0
    assert disagreement_rad(far, NS + 40 * DT_NS, 2, chunk_of(rows)) == 0.0
    assert disagreement_rad(far, NS - 40 * DT_NS, 2, chunk_of(rows)) == 0.0


def test_shares_are_those_of_a_message(folder: Path) -> None:
    """What a float32 field carries is what the in-process rollout judges by."""
    keep_monitors(folder, made(), {})
    found = load_bundle(folder).monitors()
    assert found is not None
    context = context_at(NS, 0.3)
    assert found.novelty(context) == float(np.float32(found.novelty(context)))
    assert found.novelty(context) == pytest.approx(made().familiar.distance(features(context.keys_values)) / 1.5)
    enormous = context_at(NS, 1e30)
    assert found.novelty(enormous) == monitors.MOST


def test_calibrating_keeps_the_bundle_and_its_id(folder: Path) -> None:
    before = read_manifest(folder)
    assert load_bundle(folder).monitors() is None
    for threshold in (1.5, 2.5):
        manifest = keep_monitors(folder, made(novelty_threshold=threshold), {"alpha": 0.05})
        assert (manifest.id, manifest.scores) == (before.id, before.scores)
        assert set(manifest.files) == {*before.files, "monitors.npz"}
        assert manifest.training["monitors"] == {"alpha": 0.05}
        bundle = load_bundle(folder)
        assert bundle.monitors().novelty_threshold == threshold
    assert not list(folder.glob(".*"))


def test_a_bundle_finished_anew_has_no_monitors_until_it_is_calibrated_again(folder: Path) -> None:
    keep_monitors(folder, made(), {})
    finish(folder, replace(read_manifest(folder), id="another"))
    assert load_bundle(folder).monitors() is None
    assert "monitors" not in read_manifest(folder).training
    with pytest.raises(BundleError, match="got monitors of bundle 'tiny', expected those of 'another'"):
        keep_monitors(folder, made(), {}, bundle_id="tiny")


def test_what_could_not_be_loaded_is_not_written(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(BundleError, match="disagreement_rad 0.0, expected more than 0"):
        keep_monitors(folder, made(disagreement_rad=0.0), {})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_calibration_that_ends_in_the_middle_leaves_a_bundle_that_loads(folder: Path, monkeypatch) -> None:
    keep_monitors(folder, made(), {})
    writes = []

    def fails(*args: object) -> None:
        writes.append(args)
        if len(writes) == 2:
            raise KeyboardInterrupt
        original(*args)

    original = monitors.write_manifest
    monkeypatch.setattr(monitors, "write_manifest", fails)
    with pytest.raises(KeyboardInterrupt):
        keep_monitors(folder, made(novelty_threshold=9.0), {})
    assert load_bundle(folder).monitors() is None


def damaged(folder: Path, **changes: object) -> None:
    arrays = {**np.load(folder / "monitors.npz"), **changes}
    np.savez(folder / "monitors.npz", **{name: a for name, a in arrays.items() if a is not None})
    rehash(folder)


DAMAGE = {
    "expected also \\['axes'\\]": {"axes": None},
    "got mean float64": {"mean": np.zeros(D)},
    "got mean float32 \\(3,\\), expected float32 \\(32,\\)": {"mean": np.zeros(3, np.float32)},
    "got axes float32 \\(1, 32\\)": {"axes": np.zeros((1, D), np.float32)},
    "got mean with values that are not finite": {"mean": np.full(D, np.nan, np.float32)},
    "got spread \\[0.0, 0.0\\], expected more than 0": {"spread": np.zeros(2, np.float32)},
    "got spread float32 \\(\\)": {"spread": np.float32(1.0), "axes": np.zeros((0, D), np.float32)},
    "got rest -1.0": {"rest": np.float32(-1.0)},
    "got novelty_threshold 0.0": {"novelty_threshold": np.float64(0.0)},
    "got novelty_threshold float32": {"novelty_threshold": np.float32(1.0)},
    "got disagreement_rad with values that are not finite": {"disagreement_rad": np.float64(np.inf)},
    "got format 3, expected 2": {"format": np.int64(3)},
    "expected also \\['looks_whiten'\\]": {"looks_whiten": None},
    "got looks_mean float64 \\(13,\\), expected float64 \\(2, 13\\)": {"looks_mean": np.zeros(STATISTICS)},
    "got looks_whiten with values that are not finite": {
        "looks_whiten": np.full((CAMERAS, STATISTICS, STATISTICS), np.nan)
    },
    "got looks_thresholds \\[1.0, 0.0\\], expected": {"looks_thresholds": np.array([1.0, 0.0])},
    "expected a complete npz file": {"mean": np.array([{}], dtype=object)},
}


@pytest.mark.parametrize("error", DAMAGE)
def test_damaged_monitors_with_the_right_hash_are_refused(folder: Path, error: str) -> None:
    keep_monitors(folder, made(), {})
    damaged(folder, **DAMAGE[error])
    with pytest.raises(BundleError, match=f"monitors.npz: .*{error}"):
        load_bundle(folder)


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_truncated_monitors_and_changed_ones(folder: Path, keep: int) -> None:
    keep_monitors(folder, made(), {})
    path = folder / "monitors.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="monitors.npz: got sha256"):
        load_bundle(folder)
    rehash(folder)
    with pytest.raises(BundleError, match=r"monitors\.npz: got .*, expected a complete npz file"):
        load_bundle(folder)


def test_monitors_too_large_are_not_unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(folder)
    monkeypatch.setattr(monitors, "MAX_BYTES", 100)
    with pytest.raises(BundleError, match=r"got \d+ bytes of arrays, expected at most 100"):
        read_monitors(made().to_bytes(), manifest)


def test_what_was_calibrated_before_pictures_were_looked_at_holds_still(folder: Path) -> None:
    keep_monitors(folder, made(looks=None), {})
    with np.load(folder / "monitors.npz") as archive:
        assert archive["format"] == 1
    found = load_bundle(folder).monitors()
    assert found.novelty(context_at(NS, 0.3)) == made().novelty(context_at(NS, 0.3))
    assert found.picture_novelty(np.full((CAMERAS, STATISTICS), 50.0)) == 0.0


def test_chunks_of_a_bundle_without_monitors_are_not_measured(system1: System1, robot: RobotConfig) -> None:
    assert not system1.monitored
    for k in range(30):
        follow(system1, NS + k * TICK, robot.home, level=1.0 if k < 20 else -3.0)
        assert (system1.chunk.novelty, system1.chunk.disagreement) == (0.0, 0.0)


@pytest.fixture
def system1(shared_bundle, robot: RobotConfig) -> System1:
    return System1(shared_bundle, robot)


@pytest.fixture
def watched(folder: Path, robot: RobotConfig) -> System1:
    """System 1 of a calibrated bundle."""
    keep_monitors(folder, made(), {})
    return System1(load_bundle(folder, robot), robot)


def test_a_chunk_carries_the_novelty_of_its_context(watched: System1, robot: RobotConfig) -> None:
    assert watched.monitored
    expected = {level: watched._monitors.novelty(context_at(NS, level)) for level in (1.0, 30.0)}
    assert expected[1.0] < 1.0 < expected[30.0]
    for k, level in enumerate((1.0, 30.0, 30.0, 1.0)):
        now = NS + k * TICK
        chunk = watched.infer(watched.request(now, sample_at(now, robot.home), context_at(now, level)))
        assert chunk.novelty == expected[level]


def test_pictures_that_look_otherwise_make_a_context_novel_whatever_is_in_it(folder: Path, robot: RobotConfig) -> None:
    rng = np.random.default_rng(5)

    def shown(darker: int) -> dict[str, CameraImage]:
        pixels = {c.name: rng.integers(90, 120, (c.height, c.width, 3)) // darker for c in robot.cameras}
        return {name: CameraImage(camera=name, stamp_ns=NS, rgb=rgb.astype(np.uint8)) for name, rgb in pixels.items()}

    seen = [[appearance(resize(p.rgb, 12, 16)) for p in shown(1).values()] for _ in range(40)]
    keep_monitors(folder, made(looks=fit_appearance(np.array(seen))), {})
    bundle = load_bundle(folder, robot)
    system1, system2 = System1(bundle, robot), System2(bundle, robot)
    sample = sample_at(NS, robot.home)
    for darker, low, high in ((1, 0.0, 1.0), (8, 1.0, np.inf)):
        context = system2.encode(shown(darker), "touch the red cube", sample)
        assert low < context.novelty < high
        chunk = system1.infer(system1.request(NS, sample, replace(context, keys_values=context_at(NS).keys_values)))
        assert chunk.novelty == max(context.novelty, made().novelty(context_at(NS)))


def test_a_chunk_is_compared_with_the_one_a_moment_before(watched: System1, robot: RobotConfig) -> None:
    """While the policy wants the same it agrees; when it turns round it disagrees, and no longer a moment after."""
    lag = -(-LAG_NS // TICK)
    seen, levels = [], [1.0] * 30 + [-1.0] * 60
    for k, level in enumerate(levels):
        now = NS + k * TICK
        q = watched.command(now)[0] if watched.chunk else robot.home
        follow(watched, now, q, level)
        seen.append(watched.chunk.disagreement)
    assert seen[:lag] == [0.0] * lag
    assert 0.0 < max(seen[lag:30]) < 0.2
    assert min(seen[30 : 30 + lag]) > 1.0
    assert max(seen[30 + lag + 1 :]) < 0.2


def test_motion_that_was_forgotten_is_not_compared_with(watched: System1, robot: RobotConfig) -> None:
    for k in range(30):
        follow(watched, NS + k * TICK, robot.home if k == 0 else watched.command(NS + k * TICK)[0])
    watched.reset(0)
    follow(watched, NS + 30 * TICK, robot.home, -1.0)
    assert watched.chunk.disagreement == 0.0


def test_an_inference_is_still_a_function_of_its_request(watched: System1, robot: RobotConfig) -> None:
    for k in range(30):
        follow(watched, NS + k * TICK, robot.home if k == 0 else watched.command(NS + k * TICK)[0])
    now = NS + 30 * TICK
    request = watched.request(now, sample_at(now, watched.command(now)[0]), context_at(now, -1.0))
    first = watched.infer(request)
    watched.reset(0)
    again = watched.infer(request)
    assert first.disagreement == again.disagreement > 1.0
    assert (first.positions == again.positions).all()


def test_the_file_is_small_and_no_pickle(folder: Path) -> None:
    keep_monitors(folder, made(), {})
    with np.load(folder / "monitors.npz", allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive)
    assert json.loads((folder / "manifest.json").read_text())["files"]["monitors.npz"]
