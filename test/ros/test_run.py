"""Processes of nodes, and how they end."""

import os
import signal
import subprocess
import sys

import pytest

from so_arm_policy.ros.environment import ros_environment

STARTED_BY_LAUNCH = """
import sys
from so_arm_policy.ros import environment
environment.prepare_node()
print("begun", flush=True)
from so_arm_policy.ros.hold_node import main
sys.exit(main())
"""

WITH_A_THREAD_THAT_DOES_NOT_END = """
import sys, time
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.run import run_node

class Stuck(HoldNode):
    def start(self):
        super().start()
        self.spawn("stuck", lambda: time.sleep(600))
        print("begun", flush=True)

sys.exit(run_node(Stuck))
"""

WITH_AN_END_THAT_HANGS = """
import sys, time
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.run import run_node

class Hanging(HoldNode):
    def start(self):
        super().start()
        print("begun", flush=True)

    def destroy_node(self):
        time.sleep(600)

sys.exit(run_node(Hanging))
"""


def ended_by(number: int, code: str) -> tuple[int, str]:
    """Run `code`, send it a signal once it says that it has begun; return its exit code and what it wrote."""
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, env=ros_environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, number)
        output, errors = process.communicate(timeout=120)
    return process.returncode, output + errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_end_while_it_starts_ends_cleanly(number):
    exit_code, written = ended_by(number, STARTED_BY_LAUNCH)
    assert exit_code == 0, written
    assert "Traceback" not in written


def test_a_node_ends_without_a_thread_that_does_not():
    exit_code, written = ended_by(signal.SIGINT, WITH_A_THREAD_THAT_DOES_NOT_END)
    assert exit_code == 0, written
    assert "busy threads ['stuck']" in written


def test_a_node_that_hangs_at_its_end_says_where_and_ends_all_the_same():
    exit_code, written = ended_by(signal.SIGTERM, WITH_AN_END_THAT_HANGS)
    assert exit_code == 1, written
    assert "Timeout" in written
    assert "in destroy_node" in written
