"""From seeds to a bundle that runs: collect, train, export, load, act. Small, but every step is the real one."""

import dataclasses
import json

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.collect import CollectConfig, collect, shard_path
from so_arm_policy.learn.demonstrations import ActionBatches, Demonstrations
from so_arm_policy.learn.export import Recipe, export_bundle
from so_arm_policy.learn.flow import FlowConfig
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train import TrainConfig, train
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    run, robot, corpus = tmp_path_factory.mktemp("run"), load_robot("so101"), make_task("reach").corpus()
    train_tokenizer(corpus, run / "tokenizer.json")
    tokenizer = Tokenizer(run / "tokenizer.json", words_of(corpus), 12)
    config = TrainConfig(
        scene=LoopConfig(steps=2, warmup=1),
        action=LoopConfig(steps=2, warmup=1),
        scene_batch=2,
        action_batch=8,
        encoder=SceneEncoderConfig(vocabulary=tokenizer.vocabulary, width=32, vision_layers=1, fusion_layers=1),
        flow=FlowConfig(context_width=32, width=32, heads=2, layers=1),
    )
    return train(config, data, robot, tokenizer, run), run / "tokenizer.json"


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


def test_a_trained_bundle_loads_and_acts(trained, tmp_path):
    result, tokenizer = trained
    robot, task = load_robot("so101"), make_task("reach")
    recipe = Recipe(task="reach", corpus=task.corpus(), dt_s=4 / 120, training={"note": "two steps"})
    manifest = export_bundle(result.encoder, result.flow, robot, recipe, tokenizer, tmp_path / "bundle")
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
        train(TrainConfig(), data.split(1)[0], load_robot("so101"), None, tmp_path)
    with pytest.raises(ConfigError, match="expected a multiple"):
        CollectConfig(episodes=7, shard=5)
    with pytest.raises(ConfigError, match="expected 22 context tokens|got a flow for"):
        TrainConfig(flow=FlowConfig(context_tokens=5))
