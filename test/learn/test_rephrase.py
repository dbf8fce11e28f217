"""More phrasings for a bundle: System 2 learns to read them, System 1 stays as it is."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from small_training import COLLECT, training, words_for

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.scores import scores_of
from so_arm_policy.learn.demonstrations.collect import training_task
from so_arm_policy.learn.lessons.rephrasing import RephrasingBatches, RephrasingObjective, check_rephrasing
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.rephrase import Rephrasing
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.policy.bundle import load_bundle

TASKS = tuple(training_task(config.task) for config in COLLECT)
SCORE = {
    "task": "reach",
    "seeds": "0:2",
    "episodes": 2,
    "successes": 1,
    "wilson_95": [0.1, 0.9],
    "mean_time_s": 1.0,
    "mean_distance_m": 0.1,
    "smoothness": -9.0,
    "command": "so-arm eval reach",
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory, bundle_of):
    """A bundle of each of two families that share a System 2."""
    folder = tmp_path_factory.mktemp("bundles")
    for family in ("act", "flow"):
        shutil.copytree(bundle_of(family), folder / family)
    path = folder / "act" / "manifest.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"scores": {"reach seeds 0:2": SCORE}}))
    return [load_bundle(folder / family) for family in ("act", "flow")]


def rephrasing(run, bundles, steps=3):
    encoder = training(run, "act", None).config.encoder
    loop = LoopConfig(steps=steps, warmup=1)
    return Rephrasing(tasks=TASKS, loop=loop, encoder=encoder, run=run, origin={"command": "test"}, batch=2)


def test_only_system_2_changes_and_only_what_reads(bundles, data, tmp_path):
    rephrasing(tmp_path / "run", bundles).rephrase(bundles, data, tmp_path / "out")
    for before in bundles:
        after = load_bundle(tmp_path / "out" / before.path.name)
        for name in ("system1.onnx", "system1.int8.onnx", "tokenizer.json"):
            assert after.read(name) == before.read(name)
        assert after.read("system2.onnx") != before.read("system2.onnx")
        assert after.manifest.id != before.manifest.id
        assert after.manifest.training["rephrased"]["bundle"] == before.manifest.id
        same = dataclasses.replace(after.manifest, id="same", files={}, training={}, scores={})
        assert same == dataclasses.replace(before.manifest, id="same", files={}, training={}, scores={})
    first, second = (load_bundle(tmp_path / "out" / b.path.name) for b in bundles)
    assert first.manifest.training["rephrased"] | {"bundle": ""} == second.manifest.training["rephrased"] | {
        "bundle": ""
    }
    (score,) = scores_of(first.manifest)
    assert score.of == bundles[0].manifest.id


def test_a_network_learns_to_mean_by_any_phrase_what_it_means_by_the_first(data, tmp_path):
    torch.manual_seed(0)
    encoder = SceneEncoder(training(tmp_path, "act", data).config.encoder)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    batches = RephrasingBatches(data, np.arange(len(data.frames)), words_for(TASKS, tmp_path), TASKS, asked=2)
    objective = RephrasingObjective(encoder)
    optimiser = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], 1e-3)
    check = check_rephrasing(encoder, batches, 50)
    for step in range(60):
        optimiser.zero_grad()
        objective(batches.draw(np.random.default_rng(step), 8))[0].backward()
        optimiser.step()
    assert check_rephrasing(encoder, batches, 50)["off"] < 0.7 * check["off"]
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.partition(".")[0] for name in changed} <= {
        "words",
        "word_place",
        "readouts",
        "keys_values",
        "fusion",
        "norm",
    }


def test_the_same_is_asked_in_two_phrasings(data, tmp_path):
    words = words_for(TASKS, tmp_path)
    batch = RephrasingBatches(data, np.arange(len(data.frames)), words, TASKS).draw(np.random.default_rng(0), 20)
    assert batch.words.shape == batch.first.shape == (80, 18)
    said = [words.tokenizer.decode(row.tolist()).strip() for row in batch.first]
    assert {text.split()[0] for text in said} == {"touch", "put"}  # the first phrasing of each task
    assert (batch.words != batch.first).any(dim=1).float().mean() > 0.5


def test_bundles_of_one_name_would_overwrite_each_other(bundles, data, tmp_path):
    with pytest.raises(InputError, match=r"got folders \['act', 'act'\], expected different names"):
        rephrasing(tmp_path / "run", bundles).rephrase([bundles[0], bundles[0]], data, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
