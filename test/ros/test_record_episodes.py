"""Demonstrations: a bag for each that was kept, with the instruction inside."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from ros_world import joints, wait_until

from so_arm_policy import cli
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.ros import record_episodes_command, topics
from so_arm_policy.ros.environment import ros_environment
from so_arm_policy.ros.record_episodes_command import Session

TOLD = "put the red cube into the bowl"


@contextmanager
def talking(graph):
    """Say joint states about 100 times a second."""
    publisher = graph.tester.create_publisher(
        topics.JOINT_STATES.type, topics.JOINT_STATES.name, topics.JOINT_STATES.qos
    )
    over = threading.Event()

    def talk():
        while not over.wait(0.01):
            publisher.publish(joints())

    thread = threading.Thread(target=talk)
    thread.start()
    yield
    over.set()
    thread.join()


@contextmanager
def session(folder, *options):
    """Give a process that records, and the lines that it prints."""
    command = [sys.executable, "-u", "-m", "so_arm_policy.cli", "record-episodes", str(folder), TOLD, *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, env=ros_environment(), text=True, **pipes)
    lines = []
    thread = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    thread.start()
    yield process, lines
    process.wait(60)
    thread.join()
    process.stdin.close()
    process.stdout.close()


def press(process, key):
    process.stdin.write(key)
    process.stdin.flush()


def said(lines, what):
    return sum(what in line for line in lines)


def test_episodes_are_kept_recorded_again_and_ended_by_time(graph, tmp_path):
    graph.spinner.start()
    with (
        talking(graph),
        session(tmp_path / "set", "--episodes=2", "--episode-time=1", "--reset-time=300") as (process, lines),
    ):
        wait_until(lambda: said(lines, "kept") == 1)  # by its time
        wait_until(lambda: said(lines, "put things back") == 1)
        press(process, "n")
        wait_until(lambda: said(lines, "episode 2 of 2") == 1)
        press(process, "r")
        wait_until(lambda: said(lines, "discarded") == 1)
        press(process, "n")
        wait_until(lambda: said(lines, "kept") == 2)
    assert process.returncode == 0, lines
    bags = sorted((tmp_path / "set").iterdir())
    assert [bag.name for bag in bags] == ["episode_000000", "episode_000001"]
    for bag in bags:
        assert Bag(bag).custom["instruction"] == TOLD
        heard = {}
        for record in Bag(bag).records():
            heard.setdefault(record.topic, []).append(record)
        assert heard["/instruction"][-1].message().data == TOLD
        assert len(heard["/joint_states"]) > 10


def test_a_person_stops_in_the_reset_and_what_was_kept_stays(graph, tmp_path):
    (tmp_path / "episode_000007").mkdir()
    graph.spinner.start()
    with talking(graph), session(tmp_path, "--episode-time=300") as (process, lines):
        wait_until(lambda: said(lines, "episode 1 of 50") == 1)
        press(process, "n")
        wait_until(lambda: said(lines, "put things back") == 1)
        press(process, "q")
    assert process.returncode == 0, lines
    assert sorted(os.listdir(tmp_path)) == ["episode_000007", "episode_000008"]


def test_without_a_stack_nothing_is_recorded_and_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record_episodes_command, "READY_S", 3.0)
    assert cli.main(["record-episodes", str(tmp_path / "set"), TOLD]) == cli.FAILED
    assert "/joint_states not heard after 3 s; is the stack running?" in capsys.readouterr().err
    assert list((tmp_path / "set").iterdir()) == []


def test_an_episode_that_is_interrupted_is_not_kept(graph, tmp_path):
    graph.spinner.start()
    with talking(graph), session(tmp_path, "--episode-time=300") as (process, lines):
        wait_until(lambda: said(lines, "episode 1 of 50") == 1)
        process.send_signal(signal.SIGINT)
    assert process.returncode == cli.INTERRUPTED, lines
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["  "], "instruction: got '  ', expected words"),
        (["go", "--episodes", "0"], "--episodes: got 0"),
        (["go", "--episode-time", "nan"], "--episode-time: got nan"),
        (["go", "--episode-time", "0"], "--episode-time: got 0.0"),
        (["go", "--reset-time", "-1"], "--reset-time: got -1.0"),
    ],
)
def test_what_records_nothing_is_one_error(tmp_path, capsys, arguments, complaint):
    assert cli.main(["record-episodes", str(tmp_path / "set"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_endless_episodes_are_refused():
    with pytest.raises(ConfigError, match="inf"):
        Session(folder=Path(), instruction="go", episodes=1, episode_time_s=float("inf"), reset_time_s=0.0)
