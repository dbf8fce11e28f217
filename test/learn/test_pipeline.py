"""From seeds to a bundle that runs: collect, train, export, load, act. Small, but every step is the real one."""

import dataclasses
import json

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.act import ActConfig
from so_arm_policy.learn.autoregressive import AutoregressiveConfig
from so_arm_policy.learn.collect import CollectConfig, collect, shard_path
from so_arm_policy.learn.demonstrations import ActionBatches, Demonstrations
from so_arm_policy.learn.diffusion import DiffusionConfig
from so_arm_policy.learn.flow import FlowConfig
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train import Split, TrainConfig
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import make_task

COLLECT = CollectConfig(episodes=10, shard=5, rows=24, frames=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations")
    collect(COLLECT, folder, jobs=1)
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return Demonstrations.load([shard_path(folder, i) for i in range(2)])


EXPERTS = {
    "act": ActConfig(context_width=32, width=32, heads=2, layers=1),
    "flow": FlowConfig(context_width=32, width=32, heads=2, layers=1),
    "diffusion": DiffusionConfig(context_width=32, width=32, heads=2, layers=1),
    "autoregressive": AutoregressiveConfig(context_width=32, width=32, heads=2, layers=1),
}


def training(run, family, **action):
    return Training(
        task=make_task("reach"),
        robot=load_robot("so101"),
        config=TrainConfig(
            scene=LoopConfig(steps=2, warmup=1),
            action=LoopConfig(**{"steps": 2, "warmup": 1, **action}),
            scene_batch=2,
            action_batch=8,
            encoder=SceneEncoderConfig(width=32, vision_layers=1, fusion_layers=1),
            expert=EXPERTS[family],
        ),
        run=run,
        origin={"note": "two steps"},
        jobs=1,
        watch_episodes=1,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def test_same_seeds_same_demonstrations_and_no_work_twice(folder, tmp_path):
    before = shard_path(folder, 0).stat().st_mtime_ns
    collect(COLLECT, folder, jobs=1)
    assert shard_path(folder, 0).stat().st_mtime_ns == before
    collect(dataclasses.replace(COLLECT, episodes=5), tmp_path, jobs=1)
    with np.load(shard_path(folder, 0)) as first, np.load(shard_path(tmp_path, 0)) as again:
        for name in ("q", "reference", "images", "cubes"):
            assert np.array_equal(first[name], again[name]), name


def test_labels_start_at_what_is_committed_and_end_at_the_cube_asked_for(data):
    context = np.zeros((data.episodes, data.frames, data.cubes, 1, 1), dtype=np.float32)
    import torch  # noqa: PLC0415 - only here

    batches = ActionBatches(data, torch.from_numpy(context), horizon=60, prefix=2)
    batch = batches.draw(np.random.default_rng(0), 256)
    touch = torch.from_numpy(data.arrays["touch"].reshape(-1, 6)).float()
    away = torch.cdist(batch.positions[:, -1], touch).min(dim=1).values
    assert away.max() < 0.02
    steps = batch.positions[:, 2:].diff(dim=1).abs().amax(dim=-1)
    assert steps.max() < 2.5 * 4 / 120  # rad in a row: no label is faster than the robot may be


@pytest.mark.parametrize("family", EXPERTS)
def test_a_trained_bundle_loads_and_acts(run, data, family, tmp_path):
    robot = load_robot("so101")
    manifest = training(run, family).bundle(data, tmp_path / "bundle")
    assert manifest.family == family
    assert max(manifest.training["parity_max_abs"].values()) <= 1e-5
    assert set(json.loads((tmp_path / "bundle/manifest.json").read_text())["files"]) == {
        "system1.onnx",
        "system2.onnx",
        "tokenizer.json",
        "golden.npz",
    }
    for name in ("system1.onnx", "system2.onnx"):  # nothing of the machine that made them
        assert b".py" not in (tmp_path / "bundle" / name).read_bytes()
    bundle = load_bundle(tmp_path / "bundle", robot)
    assert bundle.manifest.id == manifest.id
    sample = JointSample(stamp_ns=10**9, received_ns=10**9, q=robot.home, dq=np.zeros(6))
    picture = np.zeros((120, 160, 3), dtype=np.uint8)
    images = {name: CameraImage(camera=name, stamp_ns=10**9, rgb=picture) for name in robot.camera_names}
    context = System2(bundle, robot).encode(images, "touch the red cube", sample)
    system1 = System1(bundle, robot)
    chunk = system1.infer(system1.request(10**9, sample, context))
    assert chunk.positions.shape == (16, 6)
    assert np.allclose(chunk.positions[:2], robot.home, atol=1e-6)


def test_families_of_a_run_share_system_2_and_nothing_is_trained_twice(run, data, tmp_path):
    first = training(run, "flow").bundle(data, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    again = training(run, "flow").bundle(data, tmp_path / "b")
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.*") if "tensorboard" not in str(path)}
    assert again.id == first.id
    assert all(before[path] == time for path, time in after.items())
    act = training(run, "act").bundle(data, tmp_path / "c")
    assert act.training["scene"] == first.training["scene"]


def test_the_best_of_the_closed_loop_evaluations_is_exported(data, tmp_path):
    manifest = training(tmp_path / "run", "act", steps=2, watch_every=1).bundle(data, tmp_path / "bundle")
    kept = json.loads((tmp_path / "run" / "act" / "best.json").read_text())
    assert 0.0 <= kept["success"] <= 1.0
    assert manifest.training["watched_at_step"] in (1, 2)
    assert "mean_mrad" in manifest.training["action"]
    assert load_bundle(tmp_path / "bundle").manifest == manifest


def test_bad_shards_and_too_few_are_named(folder, data, tmp_path):
    whole = shard_path(folder, 0).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "lacks.npz", q=np.zeros(3))
    for name in ("cut.npz", "lacks.npz", "absent.npz"):
        with pytest.raises(InputError, match=name):
            Demonstrations.load([tmp_path / name])
    with pytest.raises(InputError, match="so-arm collect"):
        Demonstrations.load([])
    with pytest.raises(InputError, match="got 9 episodes"):
        Split.of(data.split(1)[0])
    with pytest.raises(ConfigError, match="expected a multiple"):
        CollectConfig(episodes=7, shard=5)
    with pytest.raises(ConfigError, match="got an expert for 5 context tokens"):
        TrainConfig(expert=FlowConfig(context_tokens=5))
