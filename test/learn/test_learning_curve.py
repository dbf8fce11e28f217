"""`so-arm learning-curve`: nested demonstrations, the weights that are kept, and all the way to table and picture."""

import dataclasses

import numpy as np
import pytest
import torch
from small_training import EXPERTS, training

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.compare.learning_curve import read_trials
from so_arm_policy.learn.demonstrations.collect import training_task
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.learning_curve_command import POLICIES, TABLE, measure
from so_arm_policy.learn.lessons.lessons import TaskLessons
from so_arm_policy.learn.scaling.lowest import LowestLoss
from so_arm_policy.learn.scaling.nested import episodes_for, nested
from so_arm_policy.learn.scaling.taught import teach
from so_arm_policy.learn.train import ActionObjective
from so_arm_policy.policy.manifest import read_manifest

SEED = 8  # of an episode


@pytest.fixture(scope="module")
def reaching(data, tmp_path_factory):
    """A training of `reach` alone, with a System 2 of its own; its demonstrations are there twice, as too few."""
    twice = Demonstrations([data.sources[0], data.sources[0]])
    lessons = TaskLessons(twice, (training_task("reach"),))
    return dataclasses.replace(training(tmp_path_factory.mktemp("run"), "act", data), lessons=lessons, name="reach")


@pytest.fixture(scope="module")
def system2(reaching):
    return reaching.system2()


def test_more_demonstrations_are_the_fewer_ones_and_others(data):
    sets = [nested(data, count, 0) for count in (1, 2, 4)]
    for chosen, count in zip(sets, (1, 2, 4), strict=True):
        assert [int(chosen[data.task_of == task].sum()) for task in (0, 1)] == [count, count]
        assert not (chosen & data.held_out()).any()
    assert not (sets[0] & ~sets[1]).any()
    assert not (sets[1] & ~sets[2]).any()
    assert np.array_equal(nested(data, 2, 0), sets[1])
    assert any(not np.array_equal(nested(data, 2, seed), sets[1]) for seed in range(1, 4))
    for count in (0, 5):
        with pytest.raises(InputError, match=f"got {count} demonstrations of reach to train on, expected 1..4"):
            nested(data, count, 0)


def test_normalisation_is_of_those_that_are_taught(data):
    one = nested(data, 1, 0)
    mean, _ = data.normalisation(one)
    rows = np.concatenate([np.arange(data.starts[e], data.ends[e]) for e in np.flatnonzero(one)])
    assert mean.numpy() == pytest.approx(data.action[rows].mean(0), abs=1e-5)
    for whole, every in zip(data.normalisation(), data.normalisation(np.ones(data.episodes, dtype=bool)), strict=True):
        assert whole.numpy() == pytest.approx(every.numpy(), abs=1e-5)


def test_as_many_are_collected_as_leave_enough(tmp_path):
    assert episodes_for(10, [tmp_path]) == 50
    assert episodes_for(40, [tmp_path]) == 50  # one in five of fifty is held out
    assert episodes_for(41, [tmp_path]) == 100
    assert episodes_for(2000, [tmp_path, tmp_path]) == 2100
    lists = tmp_path / "meta/episodes/chunk-000"
    lists.mkdir(parents=True)
    for number in range(3):
        (lists / f"file-{number:03d}.parquet").touch()
    assert episodes_for(10, [tmp_path, tmp_path / "none"]) == 150


def test_the_lowest_held_out_loss_is_kept_and_found_again(reaching, system2, tmp_path):
    lessons, context = reaching.lessons, system2.context
    batches = lessons.actions(lessons.data.held_out(), context, 16, 2)
    modules = []
    for seed, scale in enumerate((1.0, 0.01, 30.0)):
        torch.manual_seed(seed)
        module = ActionObjective(make_expert(EXPERTS["act"]))
        with torch.no_grad():
            for weights in module.parameters():
                weights.mul_(scale)
        modules.append(module.eval())
    lowest = LowestLoss(tmp_path / "lowest.pt", "this", batches)
    losses = {step: lowest(step, module)["held_out_loss"] for step, module in zip((5, 10, 15), modules, strict=True)}
    assert len(set(losses.values())) == 3
    assert lowest.step == min(losses, key=losses.__getitem__)
    best, fresh = modules[lowest.step // 5 - 1].expert, make_expert(EXPERTS["act"])
    again = LowestLoss(tmp_path / "lowest.pt", "this", batches)
    assert again.losses == losses
    again.restore(fresh)
    assert all(torch.equal(value, best.state_dict()[name]) for name, value in fresh.state_dict().items())
    other = LowestLoss(tmp_path / "lowest.pt", "another", batches)
    assert other.losses == {}
    with pytest.raises(InputError, match="got no weights of this training"):
        other.restore(fresh)
    (tmp_path / "lowest.pt").write_bytes(b"half")
    with pytest.raises(InputError, match=r"lowest\.pt: got .*, expected the best weights"):
        LowestLoss(tmp_path / "lowest.pt", "this", batches)


def test_from_demonstrations_to_the_table_and_once_only(reaching, system2, tmp_path):
    # Killed before its bundle was whole: what is trained by then is not trained again.
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        teach(reaching, system2, 1, tmp_path / "file" / "bundle")
    checkpoint = reaching.run / "act" / "1" / "action.pt"
    trained = checkpoint.stat().st_mtime_ns

    text = measure(reaching, system2, [1], ["expert"], [SEED], tmp_path)
    assert checkpoint.stat().st_mtime_ns == trained
    assert {(t.task, t.controller, t.demonstrations, t.seed) for t in read_trials(tmp_path / TABLE)} == {
        ("reach", "act", 1, SEED),
        ("reach", "expert", None, SEED),
    }
    assert any("act never reaches expert (100.0 %) up to 1 demonstrations: below" in line for line in text)
    assert (tmp_path / "reach_act_demonstrations.png").stat().st_size > 10_000
    bundle = tmp_path / POLICIES / "act_0001"
    fact = read_manifest(bundle).training["learning_curve"]
    assert (fact["demonstrations"], fact["steps"]) == (1, 2)
    assert fact["loss"] <= fact["last_loss"]
    assert fact["kept_at"] in (1, 2)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.onnx")}
    assert measure(reaching, system2, [1], ["expert"], [SEED], tmp_path) == text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.onnx")} == before
    with pytest.raises(ConfigError, match="act_0001: got a bundle of another training"):
        teach(reaching, system2, 3, bundle)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reach", "--counts", "10", "10"], "--counts: got [10, 10], expected two or more, positive"),
        (["reach", "--counts", "0", "10"], "--counts: got [0, 10]"),
        (["reach", "--counts", "10"], "--counts: got [10]"),
        (
            ["reach", "--counts", "10", "41", "--episodes", "50"],
            "got 41 of 50 demonstrations of each task, expected at",
        ),
        (["reach", "--episodes", "0"], "got 0 episodes, expected at least 10"),
        (["reach", "--family", "rnn"], "family: got 'rnn', expected one of ['act', 'flow'"),
        (["fly"], "got 'fly', expected one of"),
        (["reach", "--seeds", "7:7"], "seeds: got 0 of them in '7:7'"),
        (["reach", "--baselines", "wish"], "controller: got 'wish', expected one of"),
        (["reach", "--steps", "0"], "got 0 batches for System 1"),
        (["reach", "--scene-from", "nowhere"], "--scene-from: got nowhere, expected"),
    ],
)
def test_bad_input_is_one_clear_error_before_any_work(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["learning-curve", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
