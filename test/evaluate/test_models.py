"""The page of models: made from the bundles alone, every figure where it belongs, none that was not measured."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle

from so_arm_policy.cli import main
from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.evaluate.campaign import Campaign, run_campaign, summarise
from so_arm_policy.evaluate.latency import Latency, Times, read_latency
from so_arm_policy.evaluate.models_table import models_page, read_models
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.evaluate.scores import Score, keep_score, score_of, scores_of
from so_arm_policy.policy.manifest import read_manifest, write_manifest
from so_arm_policy.robot.description import load_robot

ROOT = Path(__file__).parents[2]
SCORE = Score(
    task="reach",
    seeds="5000:5200",
    episodes=200,
    successes=150,
    wilson_95=(0.6857, 0.8049),
    mean_time_s=1.5,
    mean_distance_m=0.0123,
    smoothness=-9.5,
    command="so-arm eval reach --bundle one --seeds 5000:5200",
)


@pytest.fixture
def bundles(tmp_path):
    """Two bundles, one of them with a training and scores to tell of."""
    robot = load_robot("so101")
    training = {"command": "so-arm train reach,track", "commit": "abc1234", "episodes": {"reach": 5, "track": 7}}
    training |= {"system1_parameters": 525_000, "action_minutes": 18.9, "action_samples_per_s": 812.34}
    changes = {"tasks": ("reach", "track"), "training": training}
    write_tiny_bundle(tmp_path / "bundles" / "one", robot, id="one-1", **changes)
    write_tiny_bundle(tmp_path / "bundles" / "two", robot, id="two-1", family="act", passes=1, infer_every=3)
    keep_score(tmp_path / "bundles" / "one", SCORE)
    keep_score(tmp_path / "bundles" / "one", dataclasses.replace(SCORE, shuffled=True, successes=60))
    return tmp_path / "bundles"


def rows(page, heading):
    """The rows below a heading, as cells."""
    lines = page.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(table[0], cells, strict=True)) for cells in table[2:]]


def test_the_committed_page_is_what_the_command_makes(tmp_path):
    assert main(["models", "--out", str(tmp_path / "models.md")]) == 0
    assert (tmp_path / "models.md").read_text() == (ROOT / "docs" / "models.md").read_text()


def test_scores_are_found_by_task_and_kind(bundles):
    page = models_page(read_models(bundles), None)
    reach_act, reach_flow, track = rows(page, "Success")
    assert (reach_flow["task"], reach_flow["family"], reach_flow["bundle"]) == ("reach", "flow", "one")
    assert reach_flow["success"] == "150 of 200: 75.0 % (68.6..80.5)"
    assert reach_flow["told at random"].startswith("60 of 200")
    assert (reach_flow["int8"], reach_flow["new phrasings"]) == ("–", "–")
    assert (reach_flow["time"], reach_flow["distance"]) == ("1.50 s", "1.23 cm")
    assert (reach_flow["smoothness"], reach_flow["contexts"]) == ("-9.50", "10 Hz")
    assert (reach_act["family"], reach_act["success"]) == ("act", "–")
    assert (track["task"], track["success"]) == ("track", "–")


def test_training_and_commands_are_those_of_the_manifest(bundles):
    page = models_page(read_models(bundles), None)
    act, flow = rows(page, "Size and training")
    assert (flow["System 1"], flow["System 1 took"], flow["System 1 samples"]) == ("0.53", "19 min", "812/s")
    assert flow["demonstrations"] == "reach 5, track 7"
    assert act["demonstrations"] == "–"
    assert float(flow["on disk"].removesuffix(" MB")) < 1.0
    commands = [row["command"] for row in rows(page, "Commands")]
    assert commands == ["`so-arm train reach,track` (commit abc1234)", *[f"`{SCORE.command}`"] * 2]


def test_ages_of_contexts_and_joinings_have_tables_of_their_own(bundles):
    page = models_page(read_models(bundles), None)
    assert (rows(page, "Success against the age of contexts"), rows(page, "How chunks join")) == ([], [])
    slow = PolicyTiming(context_latency_ticks=60)
    for score in (
        dataclasses.replace(SCORE, timing=slow, successes=100),
        dataclasses.replace(SCORE, joining="ensemble", successes=120, smoothness=-8.0),
        dataclasses.replace(SCORE, joining="measured", timing=slow, successes=1),
    ):
        keep_score(bundles / "one", score)
    page = models_page(read_models(bundles), None)
    ages = rows(page, "Success against the age of contexts")
    assert [(row["pictures to context"], row["success"][:10]) for row in ages] == [
        ("50 ms", "150 of 200"),
        ("500 ms", "100 of 200"),
    ]
    joinings = rows(page, "How chunks join")
    assert [(row["joining"], row["success"][:10], row["smoothness"]) for row in joinings] == [
        ("committed", "150 of 200", "-9.50"),
        ("ensemble", "120 of 200", "-8.00"),
    ]
    assert rows(page, "Success")[1]["success"].startswith("150 of 200")


def test_only_times_of_the_very_files_are_told(bundles, tmp_path):
    files = read_manifest(bundles / "one").files
    graphs = {
        "system1.onnx": Times(sha256=files["system1.onnx"], p50_ms=1.234, p99_ms=5.0, inferences=99, due=100, late=1),
        "system2.onnx": Times(sha256="0" * 64, p50_ms=1.0, p99_ms=2.0, inferences=10),
    }
    latency = Latency(
        command="python bench/models.py", machine="a test", software="onnxruntime 1", graphs={"one": graphs}
    )
    (tmp_path / "latency.json").write_text(json.dumps(to_mapping(latency)))
    assert read_latency(tmp_path / "latency.json") == latency
    page = models_page(read_models(bundles), latency)
    act, flow = rows(page, "Speed")
    assert flow["System 1 fp32, p50 / p99"] == "1.23 / 5.00 ms"
    assert flow["System 2, p50 / p99"] == "–"
    assert (act["System 1 fp32, p50 / p99"], act["inference"]) == ("–", "every 3 ticks")
    assert "Measured by `python bench/models.py` on a test, onnxruntime 1." in page
    (tmp_path / "latency.json").write_text("{}")
    with pytest.raises(InputError, match=r"latency\.json: got .*, expected the figures"):
        read_latency(tmp_path / "latency.json")


def test_a_score_says_what_it_is_of_and_how_to_measure_it_again(bundle, tmp_path):
    timing = PolicyTiming(context_hz=2.0)
    campaign = Campaign(
        task="reach", bundle=str(bundle.path), shuffle_instructions=True, split="phrases", timing=timing
    )
    summary = summarise(list(run_campaign(Campaign(task="reach", scripted="expert"), [5])))
    score = score_of(campaign, "5000:5010", summary)
    assert score.label == "reach seeds 5000:5010, split phrases, instructions shuffled, context_hz 2.0"
    assert score.command == (
        "so-arm eval reach --bundle tiny --seeds 5000:5010 --split phrases --shuffle-instructions --context-hz 2.0"
    )
    assert (score.episodes, score.successes) == (1, 1)
    assert -30.0 < score.smoothness < -5.0
    assert not score.only()
    assert score.only(split="phrases", shuffled=True, timing=timing)
    assert SCORE.only()
    write_tiny_bundle(tmp_path / "copy", load_robot("so101"))
    for one in (SCORE, score):
        keep_score(tmp_path / "copy", one)
    assert sorted(scores_of(read_manifest(tmp_path / "copy")), key=lambda s: s.label) == [score, SCORE]


def test_what_cannot_be_told_is_one_clear_error(bundles, tmp_path, capsys):
    manifest = read_manifest(bundles / "one")
    write_manifest(bundles / "one", dataclasses.replace(manifest, scores={"reach": {"successes": 3}}))
    assert main(["models", "--bundles", str(bundles), "--out", str(tmp_path / "page.md")]) == 2
    assert "bundle 'one-1': score: missing key" in capsys.readouterr().err
    write_manifest(bundles / "one", manifest)
    (bundles / "two" / "golden.npz").unlink()
    with pytest.raises(BundleError, match="expected every file of its manifest"):
        read_models(bundles)
    with pytest.raises(BundleError, match="got no bundle"):
        read_models(tmp_path / "none")
    assert main(["models", "--out", str(tmp_path / "no" / "folder.md")]) == 2
    assert "--out: got" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
