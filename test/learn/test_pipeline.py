"""From seeds to a bundle that runs: collect, train, export, load, act. Small, but every step is the real one."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.act import ActConfig
from so_arm_policy.learn.action_batches import MOST_LATE_ROWS, ActionBatches, onward_rows, rows_before, still_frames
from so_arm_policy.learn.asking import Words
from so_arm_policy.learn.autoregressive import AutoregressiveConfig
from so_arm_policy.learn.collect import CollectConfig, collect, training_task
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord
from so_arm_policy.learn.demonstrations import Demonstrations, newest_frames, open_source
from so_arm_policy.learn.diffusion import DiffusionConfig
from so_arm_policy.learn.flow import FlowConfig
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.run_notes import export_run
from so_arm_policy.learn.scaling import few, held_out_loss, sized, train_point
from so_arm_policy.learn.scene_batches import NOWHERE, SceneBatches
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.learn.train_command import tasks_of
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of
from so_arm_policy.robot.description import load_robot

COLLECT = [CollectConfig(task=name, episodes=5, shard=5, picture_every=12) for name in ("reach", "pick_place")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations")
    for config in COLLECT:
        collect(config, folder / config.task, jobs=1)
    return folder


def opened(folder):
    robot = load_robot("so101")
    sources = [(training_task(c.task), read_dataset(folder / c.task, robot)) for c in COLLECT]
    return Demonstrations([open_source(task, dataset, (96, 128)) for task, dataset in sources])


@pytest.fixture(scope="module")
def data(folder):
    return opened(folder)


EXPERTS = {
    "act": ActConfig(context_width=32, width=32, heads=2, layers=1),
    "flow": FlowConfig(context_width=32, width=32, heads=2, layers=1),
    "diffusion": DiffusionConfig(context_width=32, width=32, heads=2, layers=1),
    "autoregressive": AutoregressiveConfig(context_width=32, width=32, heads=2, layers=1),
}


def training(run, family, **action):
    return Training(
        name="two",
        tasks=tuple(training_task(config.task) for config in COLLECT),
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


def test_same_seeds_same_demonstrations_and_no_work_twice(folder, data, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert len(times) == 4
    collect(COLLECT[0], folder / "reach", jobs=1)
    again = opened(folder)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    collect(COLLECT[0], tmp_path, jobs=1)
    other = read_dataset(tmp_path, load_robot("so101"))
    rows = slice(0, len(other.q))
    assert np.array_equal(other.q.astype(np.float32), data.q[rows])
    assert np.array_equal(again.action, data.action)
    for name, column in data.expert.items():
        assert np.array_equal(other.column(name), column[rows]), name


def test_pictures_and_labels_belong_together(data):
    assert data.pictures(np.array([0, len(data.frames) - 1])).shape == (2, 2, 96, 128, 3)
    assert (data.episode[data.frames] == np.sort(data.episode[data.frames])).all()
    assert set(data.frames[newest_frames(data)] <= np.arange(len(data.q))) == {True}
    held = data.held_out()
    assert held.sum() == 2
    seen = data.scene["scene.objects"]
    assert seen.shape == (len(data.frames), 3, 3)
    assert np.abs(seen[..., :2]).max() < 0.4
    assert (data.expert["expert.stage"][data.ends - 1] == [0] * 5 + [5] * 5).all()  # reached, and back at home


def test_labels_start_at_what_is_committed_and_end_where_the_plan_goes(data):
    context = torch.zeros(len(data.frames), 1, 1)
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), context, horizon=60, prefix=2)
    batch = batches.draw(np.random.default_rng(0), 256)
    goals = torch.from_numpy(data.expert["expert.goal"].reshape(-1, 6)).float().unique(dim=0)
    away = torch.cdist(batch.positions[:, -1], goals, p=float("inf")).min(dim=1).values
    assert away.quantile(0.6) < 0.15
    steps = batch.positions[:, 2:].diff(dim=1).abs().amax(dim=-1)
    assert steps.max() < 2.5 * 4 / 120  # rad in a row: no label is faster than the robot may be


def test_the_arm_is_where_its_committed_motion_is_however_far_that_is_from_the_expert_s(data):
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), torch.zeros(len(data.frames), 1, 1), 16, 2)
    batch = batches.draw(np.random.default_rng(0), 512)
    assert (batch.state - batch.positions[:, 0]).abs().max() < 0.12
    demonstrated = torch.from_numpy(data.action)
    strayed = torch.cdist(batch.positions[:, 0], demonstrated, p=float("inf")).min(dim=1).values
    assert strayed.quantile(0.5) < 0.02
    assert strayed.max() > 0.1


def drawn(data, horizon, size):
    """Draw a batch whose contexts name their episodes; return it, and these, (size,)."""
    told = torch.from_numpy(data.episode[data.frames]).float().reshape(-1, 1, 1)
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), told, horizon=horizon, prefix=2)
    batch = batches.draw(np.random.default_rng(0), size)
    return batch, batch.context.flatten().long().numpy()


def first_goals(data, episodes):
    """Return where the first two ways of episodes (B,) lead, (B, n) each: around the object, and closed."""
    goals = data.expert["expert.goal"][data.starts]
    return (torch.from_numpy(goals[episodes, i]).float() for i in range(2))


def test_ways_to_an_object_begin_where_the_arm_was_in_other_episodes_too(data):
    """Or the pose of the arm would tell where the object is."""
    batch, asked = drawn(data, horizon=60, size=512)
    apart = torch.cdist(batch.positions[:, 0], torch.from_numpy(data.action), p=float("inf"))
    undisturbed = (apart.min(dim=1).values < 1e-6).numpy()
    elsewhere = undisturbed & (data.episode[apart.argmin(dim=1).numpy()] != asked)
    assert 0.05 < elsewhere.mean() < 0.4
    goal = torch.from_numpy(data.expert["expert.goal"][data.starts, 0]).float()[asked]
    arrived = (batch.positions[:, -1] - goal).abs().amax(dim=-1).numpy()
    reach = data.task_of[asked] == 0
    assert np.quantile(arrived[elsewhere & reach], 0.6) < 0.15


def test_a_late_arm_is_where_the_expert_was_before_on_the_same_way(data):
    row = np.flatnonzero(np.ones(len(data.q)))
    before = rows_before(data, row, np.random.default_rng(0))
    stage = data.expert["expert.stage"]
    assert (data.episode[before] == data.episode).all()
    assert (row - before).min() == 0
    assert 20 <= (row - before).max() <= MOST_LATE_ROWS
    assert (before == row)[stage > 0].all()
    assert (stage[before] == stage).all()
    assert (before < row)[stage == 0].mean() > 0.8


def test_a_half_closed_hand_goes_on_only_near_the_object(data):
    batch, asked = drawn(data, horizon=16, size=4096)
    approach, grip = first_goals(data, asked)
    begun, gripper, picks = batch.positions[:, 0], 5, torch.from_numpy(data.task_of[asked] == 1)
    still = (batch.positions[:, 1] - begun).abs().amax(dim=-1) < 1e-6
    half = ((begun - grip)[:, gripper] > 0.12) & ((approach - begun)[:, gripper] > 0.05)
    aside = (begun - grip)[:, :gripper].abs().amax(dim=-1)
    closes = (batch.positions[:, -1] - begun)[:, gripper] < -0.05
    near, beside = (picks & still & half & at for at in (aside < 0.03, (aside > 0.07) & (aside < 0.2)))
    assert min(near.sum(), beside.sum()) >= 8
    assert closes[near].float().mean() > 0.9
    assert closes[beside].float().mean() < 0.25  # but some that hold it


def test_a_hand_that_closed_on_nothing_opens_and_goes_back(data):
    """The object stops the fingers of one that holds it: they stay behind their command."""
    batch, asked = drawn(data, horizon=90, size=4096)
    approach, grip = first_goals(data, asked)
    begun, gripper = batch.positions[:, 0], 5
    lowered = ((begun - grip).abs().amax(dim=-1) < 0.15) & ((begun - grip)[:, gripper].abs() < 0.03)
    behind = (batch.state - begun)[:, gripper]
    picked = torch.from_numpy(data.task_of[asked] == 1) & ((approach - grip)[:, gripper] > 0.1)
    empty, holds = picked & lowered & (behind < 0.03), picked & lowered & (behind > 0.06)
    assert empty.sum() >= 15
    assert holds.sum() >= 15
    later = batch.positions[:, 30]
    assert (later - grip)[empty, gripper].median() > 0.1  # opened
    assert (later - grip)[holds, gripper].median() < 0.03
    nearest = (batch.positions - approach[:, None]).abs().amax(dim=-1).amin(dim=-1)
    assert nearest[empty].median() < 0.03  # open around the object, to close again
    assert nearest[holds].median() > 0.1


def test_on_the_way_home_from_one_object_the_next_one_counts():
    """Four rows of a plan's last way from -1 over 0 to 1, then another plan; and again, with no other one after it."""
    expert = {
        "expert.stage": np.array([1, 2, 2, 2, 0, 2, 2]),
        "expert.via": np.zeros((7, 4, 1), dtype=np.float32),
        "expert.goal": np.tile(np.array([[-2.0], [-1.0], [1.0], [1.0]], dtype=np.float32), (7, 1, 1)),
    }
    action = np.array([-1.0, -0.5, 0.5, 0.9, 0.9, 0.5, 0.9], dtype=np.float32)[:, None]
    rows = onward_rows(expert, action, np.zeros(7, dtype=int))
    assert rows.tolist() == [0, 1, 4, 4, 4, 5, 6]
    assert onward_rows(expert, action, np.array([0, 0, 0, 0, 1, 1, 1])).tolist() == list(range(7))


def test_contexts_come_from_any_moment_of_the_episode_with_all_things_in_their_places(data):
    still = still_frames(data)
    places, episode = data.scene["scene.objects"], data.episode[data.frames]
    for frame, (first, count) in enumerate(still):
        assert first <= frame < first + count
        assert set(episode[first : first + count]) == {episode[frame]}
        assert np.abs(places[first : first + count] - places[first]).max() <= 0.002
    reach = data.task_of[episode] == 0
    assert still[reach, 1].mean() > 4  # nothing moves
    picked = [np.unique(still[episode == e, 0]) for e in range(5, data.episodes)]
    assert all(len(segments) > 2 for segments in picked)  # before, while and after a thing is carried


def test_the_same_picture_is_asked_different_things(data, run):
    train_tokenizer([text for task in data.tasks for text in task.corpus()], run / "words.json")
    words = Words(Tokenizer(run / "words.json", words_of([t for k in data.tasks for t in k.corpus()]), 18))
    batches = SceneBatches(data, np.arange(len(data.frames)), words, (6, 8), asked=4)
    batch = batches.draw(np.random.default_rng(0), 8)
    assert batch.words.shape == (32, 18)
    assert len(batch.words.unique(dim=0)) > 16
    assert batch.patches.shape == (32, 3)
    assert ((batch.patches[:, :2] >= 0) & (batch.patches[:, :2] < 48)).all()  # of the overhead camera
    by_hand = batch.patches[:, 2]
    assert (by_hand == NOWHERE).any()
    assert ((by_hand == NOWHERE) | ((by_hand >= 48) & (by_hand < 96))).all()
    assert (by_hand > 0).any()
    apart = (batch.source - batch.place).norm(dim=-1)
    assert (apart == 0).any()  # reach
    assert (apart > 0.05).any()  # pick_place


@pytest.mark.parametrize("family", EXPERTS)
def test_a_trained_bundle_loads_and_acts(run, data, family, tmp_path):
    robot = load_robot("so101")
    manifest = training(run, family).bundle(data, tmp_path / "bundle")
    assert manifest.family == family
    assert max(manifest.training["parity_max_abs"].values()) <= 1e-5
    assert set(json.loads((tmp_path / "bundle/manifest.json").read_text())["files"]) == {
        "system1.onnx",
        "system1.int8.onnx",
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


def test_a_run_is_exported_again_from_its_checkpoints(run, data, tmp_path, capsys):
    first = training(run, "act").bundle(data, tmp_path / "a")
    training(run, "flow").bundle(data, tmp_path / "b")
    with pytest.raises(InputError, match=r"got families \['act', 'flow'.*\], expected one of them as --family"):
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
    assert "got none/scene.pt, expected the scene.pt of another run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="got none of 2 rows to train on"):
        ActionBatches(data, np.zeros(data.episodes, dtype=bool), torch.zeros(len(data.frames), 1, 1), 16, 2)


def test_system_2_of_another_run_is_kept_as_it_is(run, data, tmp_path):
    first = training(run, "act").bundle(data, tmp_path / "a")
    new = training(tmp_path / "run", "act")
    kept = dataclasses.replace(new.config, scene=dataclasses.replace(new.config.scene, steps=0))
    with pytest.raises(ConfigError, match="got 0 batches for System 2"):
        dataclasses.replace(new, config=kept)
    with pytest.raises(ConfigError, match="got 0 batches for System 1"):
        dataclasses.replace(kept, action=dataclasses.replace(kept.action, steps=0))
    again = dataclasses.replace(new, config=kept, scene_from=run / "scene.pt")
    second = again.bundle(data, tmp_path / "b")
    assert second.training["scene"] == first.training["scene"]
    assert "scene_minutes" not in second.training
    assert second.id == first.id  # same weights, same files
    export_run(tmp_path / "run", out=tmp_path / "c")
    assert load_bundle(tmp_path / "c").manifest.id == first.id


def test_what_is_not_trained_is_not_exported(run, data, tmp_path):
    training(run, "act").bundle(data, tmp_path / "a")
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
    manifest = training(tmp_path / "run", "act", steps=2, watch_every=1).bundle(data, tmp_path / "bundle")
    kept = json.loads((tmp_path / "run" / "act" / "best.json").read_text())
    assert 0.0 <= kept["success"] <= 1.0
    assert manifest.training["watched_at_step"] in (1, 2)
    assert "mean_mrad" in manifest.training["action"]
    assert load_bundle(tmp_path / "bundle").manifest == manifest


def test_a_point_of_a_scaling_grid_says_what_was_trained_on_how_much(run, data, tmp_path):
    system2 = training(run, "flow").system2(data)
    config = dataclasses.replace(system2.config, expert=sized(system2.config.expert, 64))
    assert config.expert.heads == 2
    expert, point = train_point(config, config.action, data, system2.context, 4, tmp_path / "point")
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
    training(run, "flow").system2(data)
    other = opened(folder)
    other.q = other.q + np.float32(0.01)
    assert other.digest != data.digest
    with pytest.raises(ConfigError, match="choose another --run"):
        training(run, "flow").system2(other)


def test_too_few_or_other_demonstrations_are_named(data, tmp_path):
    with pytest.raises(InputError, match="so-arm collect"):
        Demonstrations([])
    with pytest.raises(InputError, match="got 5 episodes, expected at least 10"):
        Demonstrations(data.sources[:1]).held_out()
    robot = load_robot("so101")
    record = EpisodeRecord(task="wave", q=np.zeros((4, 6)), action=np.zeros((4, 6)))
    DatasetWriter(folder=tmp_path, robot=robot, fps=30).write_shard(0, [record])
    finish(tmp_path)
    with pytest.raises(InputError, match=r"expected \['scene.names'.* too, as so-arm collects"):
        open_source(training_task("reach"), read_dataset(tmp_path, robot), (96, 128))
    with pytest.raises(ConfigError, match="expected a multiple"):
        CollectConfig(episodes=7, shard=5)
    with pytest.raises(ConfigError, match="got 0 episodes"):
        CollectConfig.of("reach", 0)
    with pytest.raises(ConfigError, match="got first seed -1"):
        CollectConfig(first_seed=-1)
    with pytest.raises(ConfigError, match="got 0 jobs"):
        collect(COLLECT[0], tmp_path, jobs=0)
    with pytest.raises(ConfigError, match="action_batch 0"):
        TrainConfig(action_batch=0)
    with pytest.raises(ConfigError, match="0 episodes to watch"):
        dataclasses.replace(training(tmp_path, "flow"), watch_episodes=0)
    with pytest.raises(ConfigError, match="task: got 'dance'"):
        CollectConfig(task="dance")
    with pytest.raises(ConfigError, match="got an expert for 5 context tokens"):
        TrainConfig(expert=FlowConfig(context_tokens=5))


def test_tasks_to_train_are_different_ones_of_one_robot():
    assert [task.name for task in tasks_of("reach, pick_place")] == ["reach", "pick_place"]
    with pytest.raises(ConfigError, match="expected different ones"):
        tasks_of("reach,reach")
    with pytest.raises(ConfigError, match="got 'dance', expected one of"):
        tasks_of("reach,dance")
