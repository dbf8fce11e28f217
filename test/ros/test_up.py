"""The stack as processes: what happens when nodes die, and how all end."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import pytest
from ros_world import wait_until
from so_arm_policy.msg import SafetyStatus

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.values import Context
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.environment import ros_environment
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import GIVE_UP, Stack

ROBOT = load_robot("so101")
UP = [sys.executable, "-m", "so_arm_policy.cli", "up", "--robot=mock", "--cameras=none", "--control-source=hold"]


class Lines:
    """Collects what a stack logs."""

    def __init__(self):
        self.of = defaultdict(list)

    def __call__(self, node, line):
        self.of[node].append(line)


def hold(name="hold", **parameters):
    return NodeSpec(name=name, executable="hold", parameters=parameters)


def keep_still():
    stamp = time.time_ns()
    return convert.context_msg(
        Context(
            bundle_id="tiny",
            sequence=0,
            stamp_ns=stamp,
            instruction="touch the red cube",
            keys_values=np.zeros((2, 2, 1, 4, 8), np.float32),
            image_stamps_ns=(stamp, stamp),
        )
    )


def test_system1_killed_the_arm_holds_the_node_comes_back_and_the_rest_goes_on(graph, bundle):
    specs = [s for s in stack(StackOptions(robot="mock", cameras="none", bundle=str(bundle))) if s.name != "system2"]
    commands, statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
    with Stack(specs, Lines()) as nodes:
        say_context = graph.say(topics.CONTEXT)

        def alive():
            say_context(keep_still())
            assert nodes.poll(), nodes.failure
            time.sleep(0.05)
            return statuses and statuses[-1].state == SafetyStatus.ACTIVE

        wait_until(alive)
        first = nodes.pids["system1"]
        nodes.kill("system1")
        # A busy machine may stall first: a hold too, for another reason.
        wait_until(lambda: (statuses[-1].state, statuses[-1].reason_code) == (SafetyStatus.HOLD, "time.silent"))
        still, seen = np.array(commands[-1].position), len(commands)
        wait_until(lambda: len(commands) > seen + 60)
        # Braking may take a few ticks more; then nothing moves.
        assert np.ptp([c.position for c in commands[seen + 40 :]], axis=0).max() == 0.0
        np.testing.assert_allclose(commands[-1].position, still, atol=0.05)
        wait_until(alive)
        assert nodes.pids["system1"] != first
        assert nodes.restarts == {"mock_robot": 0, "system1": 1, "safety_supervisor": 0}
        assert all(20 < mib < 500 for mib in nodes.rss_mib().values())
        steps = np.diff([c.position for c in commands], axis=0)
        assert np.abs(steps).max() <= ROBOT.velocity.max() / 120 + 1e-9
    assert nodes.exit_codes == {"mock_robot": [0], "system1": [-signal.SIGKILL, 0], "safety_supervisor": [0]}
    assert nodes.pids == {}


def test_a_supervisor_that_starts_stopped_is_stopped_again_after_it_was_killed(graph):
    specs = stack(StackOptions(robot="mock", cameras="none", control_source="hold", start_stopped=True))
    commands, statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
    graph.spinner.start()
    with Stack(specs, Lines()) as nodes:

        def becomes(state):
            def reached():
                assert nodes.poll(), nodes.failure
                return statuses and statuses[-1].state == state

            wait_until(reached)

        def reset():
            client = graph.tester.create_client(topics.RESET.type, topics.RESET.name)
            wait_until(client.service_is_ready)
            future = client.call_async(topics.RESET.type.Request())
            wait_until(future.done)
            return future.result().success

        becomes(SafetyStatus.ESTOP)
        wait_until(reset)
        becomes(SafetyStatus.ACTIVE)
        nodes.kill("safety_supervisor")
        becomes(SafetyStatus.ESTOP)
        assert nodes.restarts == {"mock_robot": 0, "hold": 0, "safety_supervisor": 1}
        seen = len(commands)
        wait_until(lambda: len(commands) > seen + 60)
        assert statuses[-1].state == SafetyStatus.ESTOP
        assert np.ptp([command.position for command in commands[seen:]], axis=0).max() == 0.0


def test_a_node_that_keeps_dying_ends_the_stack():
    log = Lines()
    with Stack([hold()], log) as nodes:

        def given_up():
            nodes.kill("hold")
            return not nodes.poll()

        wait_until(given_up)
    assert "kept dying (signal SIGKILL)" in nodes.failure
    assert nodes.exit_codes["hold"] == [-signal.SIGKILL] * GIVE_UP
    assert len(log.of["up"]) == GIVE_UP


def test_a_node_that_cannot_run_is_not_started_again_and_says_why():
    log = Lines()
    with Stack([hold(robot="so102")], log) as nodes:
        wait_until(lambda: not nodes.poll())
    assert nodes.unusable
    assert nodes.restarts == {"hold": 0}
    assert any("so102" in line and "expected" in line for line in log.of["hold"])


def test_two_nodes_of_one_name_and_unknown_ones_are_refused():
    with pytest.raises(ConfigError, match="different names"):
        Stack([hold(), hold()], Lines())
    with pytest.raises(ConfigError, match="expected one of"):
        Stack([hold()], Lines()).kill("system1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_so_arm_up_ends_cleanly_on_a_signal(number):
    process = subprocess.Popen(UP, env=ros_environment(), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(children_of(process.pid)) == 3)
    children = children_of(process.pid)
    time.sleep(1.0)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)


def test_so_arm_up_ends_by_itself_and_its_nodes_do_not_outlive_it():
    done = subprocess.run([*UP, "--duration=5"], env=ros_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    process = subprocess.Popen(UP, env=ros_environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: len(children_of(process.pid)) == 3)
    children = children_of(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))


def test_so_arm_up_says_by_its_exit_code_that_a_node_cannot_run(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("hold:\n  ros__parameters:\n    nonsense: 1\n")
    arguments = [*UP, f"--params-file={extra}"]
    done = subprocess.run(arguments, env=ros_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "got ['nonsense']" in done.stdout


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
