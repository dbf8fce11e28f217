"""From demonstrations to a bundle that runs: train, export, load, act. Small, but every step is the real one."""

import argparse
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from small_training import COLLECT, EXPERTS, opened, training, words_for

from so_arm_policy.cli import main
from so_arm_policy.core.errors import BundleError, ConfigError, InputError
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.demonstrations.collect import CollectConfig, collect, training_task
from so_arm_policy.learn.demonstrations.labelled import Demonstrations, open_source
from so_arm_policy.learn.lessons.action_batches import ActionBatches
from so_arm_policy.learn.lessons.lessons import TaskLessons
from so_arm_policy.learn.lessons.scene_batches import NOWHERE, SceneBatches
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.run_notes import export_run, history
from so_arm_policy.learn.scaling.grid import few, held_out_loss, sized, train_point
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train_command import config_of, configure
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot


def acted(bundle, robot, instruction):
    """The first chunk that `bundle` makes at home, in the dark."""
    sample = JointSample(stamp_ns=10**9, received_ns=10**9, q=robot.home, dq=np.zeros(len(robot.joints)))
    picture = np.zeros((120, 160, 3), dtype=np.uint8)
    images = {name: CameraImage(camera=name, stamp_ns=10**9, rgb=picture) for name in robot.camera_names}
    context = System2(bundle, robot).encode(images, instruction, sample)
    system1 = System1(bundle, robot)
    return system1.infer(system1.request(10**9, sample, context))


@pytest.mark.parametrize("family", EXPERTS)
def test_a_trained_bundle_loads_and_acts(bundle_of, family):
    robot, folder = load_robot("so101"), bundle_of(family)
    bundle = load_bundle(folder, robot)
    assert bundle.manifest.family == family
    assert max(bundle.manifest.training["parity_max_abs"].values()) <= 1e-5
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == {
        "system1.onnx",
        "system1.int8.onnx",
        "system2.onnx",
        "tokenizer.json",
        "golden.npz",
    }
    for name in ("system1.onnx", "system2.onnx"):  # nothing of the machine that made them
        assert b".py" not in (folder / name).read_bytes()
    chunk = acted(bundle, robot, "touch the red cube")
    assert chunk.positions.shape == (16, 6)
    assert np.allclose(chunk.positions[:2], robot.home, atol=1e-6)


def test_a_policy_for_two_arms_is_made_the_same_way(tmp_path):
    config = CollectConfig(task="handover", episodes=10, shard=10, picture_every=30)
    collect(config, tmp_path / "data", jobs=1)
    robot, task = load_robot("so101_bimanual"), training_task("handover")
    parser = argparse.ArgumentParser()
    configure(parser)
    small = ["scene.steps=2", "scene.warmup=1", "action.warmup=1", "scene_batch=2", "action_batch=8"]
    small += ["encoder.width=32", "encoder.fusion_layers=1", "expert.width=32", "expert.context_width=32"]
    args = parser.parse_args(["handover", "--steps", "2", *(word for each in small for word in ("--set", each))])
    data = Demonstrations([open_source(task, read_dataset(tmp_path / "data", robot), (96, 128))])
    shown = SceneBatches(data, np.arange(len(data.frames)), words_for([task], tmp_path), (6, 8)).draw(
        np.random.default_rng(0), 8
    )
    assert shown.images.shape == (8, 3, 96, 128, 3)
    assert (shown.names[:, -1] == NOWHERE).all()  # no plate
    assert (shown.place[:, 2] < 0.01).all()
    new = Training(
        TaskLessons(data, (task,)), "handover", robot, config_of(args, robot), tmp_path / "run", {"note": "two arms"}
    )
    manifest = new.bundle(tmp_path / "bundle")
    assert manifest.cameras == robot.camera_names
    assert manifest.joints == robot.joint_names
    bundle = load_bundle(tmp_path / "bundle", robot)
    chunk = acted(bundle, robot, "pass the red cube over")
    assert chunk.positions.shape == (16, 12)
    with pytest.raises(BundleError, match="robot"):
        load_bundle(tmp_path / "bundle", load_robot("so101"))


def test_families_of_a_run_share_system_2_and_nothing_is_trained_twice(run, data, bundle_of, tmp_path):
    first, act = (load_bundle(bundle_of(family)).manifest for family in ("flow", "act"))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    again = training(run, "flow", data).bundle(tmp_path / "again")
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.*") if "tensorboard" not in str(path)}
    assert again.id == first.id
    assert all(before[path] == time for path, time in after.items())
    assert act.training["scene"] == first.training["scene"]


def test_a_run_is_exported_again_from_its_checkpoints(run, bundle_of, tmp_path, capsys):
    first, _ = (load_bundle(bundle_of(family)).manifest for family in ("act", "flow"))
    with pytest.raises(InputError, match=r"got families \['act', .*'flow'.*\], expected one of them as --family"):
        export_run(run)
    assert main(["export", str(run), "--family", "act", "--out", str(tmp_path / "again")]) == 0
    again = load_bundle(tmp_path / "again").manifest
    assert again.id == first.id
    assert again.training == first.training | {"exported_at_step": 2}
    printed = capsys.readouterr().out
    assert "system1.onnx" in printed
    assert "its success is the judge" in printed


def test_what_cannot_be_trained_is_refused_before_anything_is_collected(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "reach", "--scene-from", "none/scene.pt"]) == 2
    assert "got none/scene.pt, expected the scene.pt of another run, or a bundle" in capsys.readouterr().err
    assert main(["train", "reach", "--action-from", "none"]) == 2
    assert "got none, expected the action.pt of another run, or a bundle" in capsys.readouterr().err
    assert main(["train", "reach", "--scenes", "none"]) == 2
    assert "expected a dataset of `so-arm collect`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="got none of 2 rows to train on"):
        ActionBatches(data, np.zeros(data.episodes, dtype=bool), torch.zeros(len(data.frames), 1, 1), 16, 2)


def test_system_2_of_another_run_is_kept_as_it_is(run, data, bundle_of, tmp_path):
    first = load_bundle(bundle_of("act")).manifest
    new = training(tmp_path / "run", "act", data)
    kept = dataclasses.replace(new.config, scene=dataclasses.replace(new.config.scene, steps=0))
    with pytest.raises(ConfigError, match="got 0 batches for System 2"):
        dataclasses.replace(new, config=kept)
    with pytest.raises(ConfigError, match="got 0 batches for System 1"):
        dataclasses.replace(kept, action=dataclasses.replace(kept.action, steps=0))
    wider = SceneEncoderConfig(width=64, vision_layers=1, fusion_layers=1)
    other = dataclasses.replace(kept, encoder=wider, expert=dataclasses.replace(kept.expert, context_width=64))
    with pytest.raises(InputError, match=r"scene\.pt: got no \[.*expected the whole of a System 2"):
        dataclasses.replace(new, config=other, scene_from=run / "scene.pt").system2()
    again = dataclasses.replace(new, config=kept, scene_from=run / "scene.pt")
    second = again.bundle(tmp_path / "b")
    assert second.training["scene"] == first.training["scene"]
    assert "scene_minutes" not in second.training
    assert second.id == first.id  # same weights, same files
    export_run(tmp_path / "run", out=tmp_path / "c")
    assert load_bundle(tmp_path / "c").manifest.id == first.id


def test_system_1_of_another_run_is_where_the_next_one_begins(run, data, tmp_path):
    training(run, "act", data).networks()
    new = training(tmp_path / "run", "act", data, steps=1, warmup=0, rate=1e-7)
    assert set(history(run / "act" / "action.pt")) == {"commit", "scene_minutes", "action_minutes"}
    assert set(history(run / "scene.pt")) == {"commit", "scene_minutes"}
    assert history(tmp_path / "scene.pt") == {}
    facts = json.loads((run / "scene.json").read_text())
    (tmp_path / "scene.json").write_text(json.dumps(facts | {"command": "so-arm train the first"}))
    assert history(tmp_path / "scene.pt")["command"] == "so-arm train the first"
    (tmp_path / "scene.json").write_text("[1]")
    with pytest.raises(InputError, match=r"scene\.json: got list, expected what made the checkpoint"):
        history(tmp_path / "scene.pt")
    kept = dataclasses.replace(new.config, scene=dataclasses.replace(new.config.scene, steps=0))
    files = {"scene_from": run / "scene.pt", "action_from": run / "act" / "action.pt"}
    dataclasses.replace(new, config=kept, **files).networks()
    old, near = (torch.load(r / "act" / "action.pt", weights_only=True)["averaged"] for r in (run, tmp_path / "run"))
    assert {name for name in old if not torch.allclose(old[name], near[name], atol=1e-5)} <= {"n_averaged"}


def test_what_is_not_trained_is_not_exported(run, data, tmp_path):
    training(run, "act", data).networks()
    with pytest.raises(InputError, match="no such folder"):
        export_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"got families \[\], expected a run that `so-arm train` has begun"):
        export_run(tmp_path)
    with pytest.raises(ConfigError, match="family: got 'gpt'"):
        export_run(run, "gpt")
    begun = tmp_path / "begun"
    (begun / "act").mkdir(parents=True)
    for name in ("tokenizer.json", "scene.pt", "act/run.json"):
        shutil.copy(run / name, begun / name)
    with pytest.raises(InputError, match=r"action\.pt: got no such checkpoint, expected a trained run"):
        export_run(begun, out=tmp_path / "out")
    (begun / "act" / "action.pt").write_bytes((run / "act" / "action.pt").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"action\.pt: got .*, expected a checkpoint"):
        export_run(begun, out=tmp_path / "out")
    shutil.copy(run / "scene.pt", begun / "act" / "action.pt")
    with pytest.raises(InputError, match=r"action\.pt: got .*, expected a checkpoint"):
        export_run(begun, out=tmp_path / "out")
    (begun / "act" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json: got .*, expected the note of a run"):
        export_run(begun, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_best_of_the_closed_loop_evaluations_is_exported(data, tmp_path):
    manifest = training(tmp_path / "run", "act", data, steps=2, watch_every=1).bundle(tmp_path / "bundle")
    kept = json.loads((tmp_path / "run" / "act" / "best.json").read_text())
    assert 0.0 <= kept["success"] <= 1.0
    assert manifest.training["watched_at_step"] in (1, 2)
    assert "mean_mrad" in manifest.training["action"]
    assert load_bundle(tmp_path / "bundle").manifest == manifest


def test_a_point_of_a_scaling_grid_says_what_was_trained_on_how_much(run, data, tmp_path):
    lessons = training(run, "flow", data).lessons
    system2 = training(run, "flow", data).system2()
    config = dataclasses.replace(system2.config, expert=sized(system2.config.expert, 64))
    assert config.expert.heads == 2
    expert, point = train_point(config, config.action, lessons, system2.context, 4, tmp_path / "point")
    assert point.demonstrations == few(data, 4).sum() == 4
    assert not (few(data, 4) & data.held_out()).any()
    assert set(data.task_of[few(data, 4)]) == {0, 1}
    assert point.samples == 16
    assert point.loss == held_out_loss(
        expert, ActionBatches(data, data.held_out(), system2.context, config.expert.horizon, config.expert.prefix)
    )
    with pytest.raises(InputError, match=r"got 9 demonstrations to train on, expected 1\.\.8"):
        few(data, 9)


def test_demonstrations_of_another_kind_or_run_are_not_mixed(folder, run, data, tmp_path):
    with pytest.raises(ConfigError, match=r"'picture_every': 12.*, expected .*'picture_every': 6.*another folder"):
        collect(dataclasses.replace(COLLECT[0], picture_every=6), folder / "reach", jobs=1)
    training(run, "flow", data).system2()
    other = opened(folder)
    other.q = other.q + np.float32(0.01)
    assert other.digest != data.digest
    with pytest.raises(ConfigError, match="choose another --run"):
        training(run, "flow", other).system2()
