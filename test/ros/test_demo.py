"""The demo with every node as a process of its own, on a bundle that runs and has learned nothing."""

import json
import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle

from so_arm_policy import cli
from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.ros import domain as domains
from so_arm_policy.ros.demo_command import make_folder, parse_kills
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.sim.tasks import make_task

LIMIT_S = 60.0


def test_the_whole_stack_runs_loses_a_node_and_is_reported_on(bundle: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "demo"
    options = ["--duration", "12", "--bundle", str(bundle), "--out", str(out), "--kill", "system2@2"]
    assert cli.main(["demo", *options]) == 1, "an untrained policy does no task"
    printed = capfd.readouterr().out
    assert "tasks done: 0 / 1" in printed
    assert "0 of 1 tasks were done" in printed
    figures = json.loads((out / "summary.json").read_text())
    assert figures["restarts"] == {"system2": 1}
    assert figures["kills"][0]["node"] == "system2"
    assert figures["ticks"] > 0
    assert figures["command_hz"] > 0
    assert set(figures["rss_mib"]) == {spec.name for spec in stack(StackOptions(bundle=str(bundle)))}
    page = (out / "report.html").read_text()
    assert "Not good enough" in page
    assert "What System 2 looks at" in page
    assert (out / "demo.gif").read_bytes().startswith(b"GIF8")


def test_a_task_that_uses_its_scene_up_gets_a_fresh_one_for_each_try(robot, tmp_path: Path, capfd) -> None:
    task, out = make_task("pick_place"), tmp_path / "demo"
    manifest = {"tasks": ("pick_place",), "max_tokens": 18}
    write_tiny_bundle(tmp_path / "tiny", robot, task.corpus(), **manifest)
    options = ["--task", "pick_place", "--bundle", str(tmp_path / "tiny"), "--out", str(out)]
    assert cli.main(["demo", "--duration", "11.5", "--seed", "7", "--film", "0", *options]) == 1
    assert task.sample(7).instruction in capfd.readouterr().out
    figures = json.loads((out / "summary.json").read_text())
    assert figures["tasks_tried"] == 1
    assert "Square: where that should truly go" in (out / "report.html").read_text()


def test_a_task_that_the_policy_does_not_know_is_refused(bundle: Path, tmp_path: Path, capsys) -> None:
    options = ["--task", "sort", "--bundle", str(bundle), "--out", str(tmp_path)]
    assert cli.main(["demo", *options]) == cli.FAILED
    assert "--task: got 'sort', expected one of ['reach']" in capsys.readouterr().err


def test_the_planner_in_the_place_of_a_policy_and_on_record(tmp_path: Path, capfd) -> None:
    out, bag = tmp_path / "demo", tmp_path / "bag"
    options = ["--family", "planner", "--duration", "14", "--film", "0", "--out", str(out), "--bag", str(bag)]
    cli.main(["demo", *options])
    assert "demo of reach with planner" in capfd.readouterr().out
    figures = json.loads((out / "summary.json").read_text())
    assert figures["tasks_tried"] >= 1
    assert figures["passed"] > 0
    assert (figures["inference_hz"], figures["context_hz"]) == (None, None)
    nodes = {spec.name for spec in stack(StackOptions(control_source="planner"))}
    assert set(figures["rss_mib"]) == {*nodes, "recorder"}
    page = (out / "report.html").read_text()
    assert "reach with planner" in page
    assert "What System 2 looks at" not in page
    recorded = Counter(record.topic for record in Bag(bag).records(lambda topic: True))
    assert recorded["/joint_command"] > figures["passed"] // 2
    assert {"/instruction", "/joint_states", "/overhead/image_raw/compressed"} <= recorded.keys()
    assert cli.main(["demo", *options]) == cli.FAILED
    assert f"--bag: got {bag}, which exists, expected a new folder" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["servo", "--task", "pick_place"], "--task: got 'pick_place', expected one of ['reach', 'track']"),
        (["pid", "--task", "track"], "--task: got 'track', expected one of ['reach']"),
        (["planner", "--bundle", "reach_flow"], "--bundle: got 'reach_flow', expected none"),
    ],
)
def test_what_a_source_cannot_do_is_refused(options: list[str], complaint: str, tmp_path: Path, capsys) -> None:
    assert cli.main(["demo", "--out", str(tmp_path), "--family", *options]) == cli.FAILED
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["system1", "system1@", "system1@x", "system1@nan", "system1@-1", "system1@60", "nobody@3"]
)
def test_a_kill_that_cannot_be_is_refused(bundle: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="NODE@SECONDS"):
        parse_kills([text], stack(StackOptions(bundle=str(bundle))), LIMIT_S)


def test_kills_are_read(bundle: Path) -> None:
    kills = parse_kills(["system1@20", "wrist_camera@5.5"], stack(StackOptions(bundle=str(bundle))), LIMIT_S)
    assert [(k.node, k.time_s) for k in kills] == [("system1", 20.0), ("wrist_camera", 5.5)]


@pytest.mark.parametrize("duration", ["0", "-3", "nan", "inf", "5"])
def test_a_duration_without_a_whole_try_is_refused(bundle: Path, tmp_path: Path, duration: str, capsys) -> None:
    assert cli.main(["demo", "--duration", duration, "--bundle", str(bundle), "--out", str(tmp_path)]) == cli.FAILED
    assert "duration" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a folder"):
        make_folder(tmp_path / "file" / "demo")


def test_domains_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    with domains.own_domain() as first, domains.own_domain() as second:
        assert first != second
        assert os.environ["ROS_DOMAIN_ID"] == str(second)
    assert os.environ["ROS_DOMAIN_ID"] == "7"


def test_no_domain_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "DOMAINS", range(0, 1))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("localhost", 0))
        monkeypatch.setattr(domains, "PORT_BASE", taken.getsockname()[1])
        with pytest.raises(DeviceError, match="in use"), domains.own_domain():
            pass
