"""What people decided outlives the supervisor: the file, and the node that begins with it."""

import os
from dataclasses import replace

import numpy as np
import pytest
from ros_world import wait_until
from so_arm_policy.msg import SafetyStatus
from so_arm_policy.srv import SelectSource

from so_arm_policy.ros import topics
from so_arm_policy.ros.decisions import DecisionFile, Decisions, forget, new_path
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack
from so_arm_policy.safety.supervisor import initial_state
from so_arm_policy.safety.values import Action, Finding

SOURCES = ("pid", "hold")
BEGINNING = initial_state("pid")
BLOCKED = replace(BEGINNING, latched=Finding("plant.blocked", "wrist: got 0.3 rad, expected 0.1", Action.ESTOP))
ASKED = replace(BEGINNING, latched=Finding("estop.request", "safety/estop was called", Action.ESTOP))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decisions"


def opened(path, source="pid"):
    return DecisionFile(str(path), source, SOURCES)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (BLOCKED, Decisions(source="pid", stopped="plant.blocked: wrist: got 0.3 rad, expected 0.1")),
        (ASKED, Decisions(source="pid", stopped="safety/estop was called")),
        (replace(BEGINNING, selected="hold"), Decisions(source="hold")),
        (replace(ASKED, selected="hold"), Decisions(source="hold", stopped="safety/estop was called")),
    ],
)
def test_what_was_decided_is_there_after_a_death_and_gone_after_it_was_taken_back(path, state, kept):
    first = opened(path)
    assert first.recall() == Decisions(source="pid")
    first.keep(BEGINNING)
    assert not path.exists()
    first.keep(state)
    second = opened(path)
    assert second.recall() == kept
    second.keep(BEGINNING)
    assert opened(path).recall() == Decisions(source="pid")
    assert list(path.parent.iterdir()) == []


def test_a_stop_says_the_same_after_any_number_of_deaths(path):
    opened(path).keep(BLOCKED)
    said = opened(path).recall().stopped
    for _ in range(3):
        again = opened(path)
        again.keep(replace(BEGINNING, latched=Finding("estop.request", again.recall().stopped, Action.ESTOP)))
    assert opened(path).recall().stopped == said


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"source": "pid", "why": ""}', b'{"source": 1}', b"\xff\xfe", b"null"]
    + [
        b'{"source": "nobody"}',
        b'{"source": ["pid"]}',
        b'{"source": "pid", "stopped": NaN}',
        b"[" * 60_000,
        b" " * 100_000,
    ],
)
def test_a_file_that_cannot_be_read_is_a_stop_that_names_it(path, content):
    path.write_bytes(content)
    kept = opened(path).recall()
    assert kept.source == "pid"
    assert str(path) in kept.stopped


def test_a_folder_in_its_place_is_a_stop_and_a_failure_to_write(path):
    path.mkdir()
    file = opened(path)
    assert str(path) in file.recall().stopped
    file.keep(BLOCKED)
    assert "expected to write" in file.failure
    assert [p.name for p in path.parent.iterdir()] == ["decisions"]


def test_without_a_path_nothing_is_kept_and_nothing_fails():
    file = DecisionFile("", "pid", SOURCES)
    file.keep(BLOCKED)
    assert file.recall() == Decisions(source="pid")
    assert file.failure == ""


def test_a_file_is_written_once_for_each_decision(path):
    file = opened(path)
    file.keep(BLOCKED)
    before = os.stat(path).st_ino
    for _ in range(100):
        file.keep(replace(BLOCKED, now_ns=1))
    assert os.stat(path).st_ino == before


def test_a_supervisor_that_cannot_keep_decisions_says_so_and_goes_on(make_graph, tmp_path):
    graph = make_graph("-p", "source:=hold", "-p", f"decisions:={tmp_path}/nowhere/decisions")
    node = graph.run(SafetySupervisorNode())
    heard = graph.hear(topics.DIAGNOSTICS)
    assert graph.ask(topics.ESTOP, topics.ESTOP.type.Request()).success
    wait_until(lambda: any("expected to write" in s.message for m in heard for s in m.status))
    assert node.counts["errors: decisions"] == 1


class Killed:
    """A stack whose supervisor is killed, and what is heard of it."""

    def __init__(self, graph, nodes):
        self.graph, self.nodes = graph, nodes
        self.commands, self.statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
        graph.spinner.start()

    def becomes(self, *wanted):
        def reached():
            assert self.nodes.poll(), self.nodes.failure
            return self.statuses and (self.statuses[-1].state, self.statuses[-1].source) == wanted

        wait_until(reached)

    def ask(self, service, request=None):
        wait_until(lambda: self.graph.ask(service, request or service.type.Request()).success)

    def kill(self):
        self.nodes.kill("safety_supervisor")
        wait_until(lambda: "safety_supervisor" not in self.nodes.pids)
        self.statuses.clear()
        self.commands.clear()


def test_a_stop_and_a_selection_outlive_the_supervisor_that_took_them(graph):
    specs = stack(StackOptions(robot="mock", cameras="none", control_source="hold"))
    path = next(s.parameters["decisions"] for s in specs if s.name == "safety_supervisor")
    with Stack(specs, lambda node, line: None) as nodes:
        world = Killed(graph, nodes)
        world.becomes(SafetyStatus.ACTIVE, "hold")
        world.ask(topics.SELECT, SelectSource.Request(source="teleop"))
        world.ask(topics.ESTOP)
        world.becomes(SafetyStatus.ESTOP, "teleop")
        world.kill()
        world.becomes(SafetyStatus.ESTOP, "teleop")
        assert world.statuses[-1].reason_text == "safety/estop was called"
        wait_until(lambda: len(world.commands) > 60)
        assert np.ptp([c.position for c in world.commands], axis=0).max() == 0.0
        assert {s.state for s in world.statuses} == {SafetyStatus.ESTOP}
        world.ask(topics.RESET)
        world.becomes(SafetyStatus.HOLD, "teleop")
        world.kill()
        world.becomes(SafetyStatus.HOLD, "teleop")
        world.ask(topics.SELECT, SelectSource.Request(source="hold"))
        world.becomes(SafetyStatus.ACTIVE, "hold")
        wait_until(lambda: not os.path.exists(path))
        world.ask(topics.ESTOP)
        wait_until(lambda: os.path.exists(path))
    assert nodes.restarts["safety_supervisor"] == 2
    assert not os.path.exists(path)


def test_a_run_that_is_over_leaves_no_file_but_one_that_was_named(path):
    own = new_path()
    for file in (own, str(path)):
        DecisionFile(file, "pid", SOURCES).keep(BLOCKED)
        forget(file)
    forget("")
    assert not os.path.exists(own)
    assert opened(path).recall().stopped
