"""`so-arm eval`: the same whatever the number of processes, clear about bad arguments."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.campaign import Campaign, episode_of, run_campaign, summarise
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.manifest import write_manifest
from so_arm_policy.sim.tasks.task import Task


@pytest.mark.parametrize(
    ("text", "seeds"), [("1000:1003", [1000, 1001, 1002]), ("7", [7]), ("3,1,2", [3, 1, 2]), ("0:1", [0])]
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", ":", "5:5", "9:3", "a:b", "1:2:3", "-4:2", "1,,2", "1,1", "0:99999999", "9" * 30, "1.5", "0:1e3"]
)
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds: got"):
        parse_seeds(text)


def test_shuffled_instructions_name_a_cube_of_the_scene_at_random(task: Task) -> None:
    hits, told = 0, [0, 0, 0]
    for seed in range(300):
        plain, shuffled = task.sample(seed), episode_of(task, seed, shuffle_instructions=True)
        assert (shuffled.scene, shuffled.goal) == (plain.scene, plain.goal)
        goal = task.meaning(shuffled.scene, shuffled.instruction)
        hits += goal == plain.goal
        told[goal.steps[0].object] += 1
        assert episode_of(task, seed, shuffle_instructions=True) == shuffled
        assert episode_of(task, seed) == plain
    assert 75 <= hits <= 125
    assert all(75 <= count <= 125 for count in told)


def test_two_processes_give_what_one_gives() -> None:
    campaign = Campaign(task="reach", scripted="expert")
    seeds = [5, 6, 7]
    alone, shared = list(run_campaign(campaign, seeds, 1)), list(run_campaign(campaign, seeds, 2))
    assert alone == shared
    assert [result.seed for result in shared] == seeds


def test_another_bundle_in_the_same_folder_is_not_taken_for_the_last_one(bundle: Bundle, tmp_path: Path) -> None:
    """Training puts one candidate after another into one folder, and workers live on from one to the next."""
    folder, inferences = _copy(bundle, tmp_path / "candidate"), []
    for every in (2, 40):
        write_manifest(folder, replace(bundle.manifest, infer_every=every))
        results = list(run_campaign(Campaign(task="reach", bundle=str(folder)), [3, 4], jobs=2))
        inferences.append(sum(result.agent.inferences for result in results))
    assert inferences[0] > 10 * inferences[1] > 0


def test_an_error_in_a_worker_arrives_as_itself(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="unknown words"):
        list(run_campaign(_without_yellow(bundle), range(8), 2))


def test_the_command_prints_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, gifs = tmp_path / "out.json", tmp_path / "gifs"
    arguments = ["--agent", "expert", "--seeds", "20:22", "--jobs", "1", "--json", str(out), "--gif", str(gifs)]
    assert main(["eval", "reach", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 = 100.0 %  (95 % Wilson interval 34.2 .. 100.0 %)" in printed
    assert "PASS" in printed
    data = json.loads(out.read_text())
    assert data["summary"]["successes"] == 2
    assert [episode["seed"] for episode in data["episodes"]] == [20, 21]
    assert sorted(path.name for path in gifs.iterdir()) == ["20_success.gif", "21_success.gif"]


def test_a_bundle_is_evaluated_and_its_inference_timed(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "reach", "--bundle", str(bundle.path), "--seeds", "3", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "System 1" in printed
    assert "p99" in printed


def test_figures_go_into_the_manifest_beside_the_others(bundle: Bundle, tmp_path: Path) -> None:
    copy = _copy(bundle, tmp_path / "copy", scores={"older": 1})
    assert main(["eval", "reach", "--bundle", str(copy), "--seeds", "3", "--jobs", "1", "--into-manifest"]) == 0
    scores = load_bundle(copy).manifest.scores
    assert scores["older"] == 1
    assert scores["reach seeds 3"]["episodes"] == 1
    assert main(["eval", "reach", "--agent", "expert", "--seeds", "3", "--into-manifest"]) == 2


def test_a_summary_adds_up() -> None:
    results = list(run_campaign(Campaign(task="reach", scripted="expert"), [5, 6]))
    summary = summarise(results)
    assert summary.episodes == summary.successes == 2
    assert summary.actions == {"PASS": sum(result.ticks for result in results)}
    assert summary.mean_time_s == np.mean([result.time_s for result in results])
    assert summary.system1_p50_ms is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["juggle", "--agent", "expert"], "task: got 'juggle', expected one of"),
        (["reach", "--bundle", "no/such/bundle"], "bundles: got 'no/such/bundle'"),
        (["reach", "--bundle", "."], "manifest.json"),
        (["reach", "--agent", "expert", "--seeds", "9:1"], "seeds: got"),
        (["reach", "--agent", "expert", "--jobs", "0"], "got 0 jobs"),
        (["reach", "--agent", "expert", "--robot", "r2d2"], "r2d2"),
        (["reach", "--agent", "expert", "--json", "/no/such/folder/x.json"], "--json: got"),
        (["reach", "--agent", "expert", "--gif", __file__], "--gif: got"),
        (["reach", "--agent", "expert", "--context-hz", "0"], "timing: got context_hz 0.0"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *arguments]) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert message in error


def test_a_bundle_of_another_task_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = _copy(bundle, tmp_path / "copy", tasks=["stack"])
    with pytest.raises(ConfigError, match=r"got tasks \['stack'\], expected 'reach'"):
        list(run_campaign(Campaign(task="reach", bundle=str(copy)), [0]))


def test_exactly_one_acts(bundle: Bundle) -> None:
    for both_or_none in ({}, {"bundle": str(bundle.path), "scripted": "expert"}):
        with pytest.raises(ConfigError, match="expected exactly one"):
            Campaign(task="reach", **both_or_none)
    with pytest.raises(ConfigError, match=r"got agent 'magic', expected one of \['expert'"):
        Campaign(task="reach", scripted="magic")


def _without_yellow(bundle: Bundle) -> Campaign:
    words = [word for word in bundle.manifest.words if word != "yellow"]
    return Campaign(task="reach", bundle=str(_copy(bundle, bundle.path.parent / "no_yellow", words=words)))


def _copy(bundle: Bundle, folder: Path, **changes: object) -> Path:
    folder.mkdir()
    for path in bundle.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return folder
