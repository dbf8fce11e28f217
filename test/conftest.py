"""For every test: the environment that ROS needs, steady property tests, and no skip without a listed reason."""

import fnmatch
import os
from pathlib import Path

import hypothesis
import pytest

from so_arm_policy.ros.environment import ros_environment

os.environ.update(ros_environment())

# Shared machines stall for a while now and then; that is no failure. In CI the examples are the same every time.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
# For `make mutants`: few examples, the same ones for every mutant, and no search for the smallest that fails.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    max_examples=10,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


def read_allowed_skips(text):
    """Pairs of a test id pattern and a text that the reason must hold."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition(" | ") for line in lines if line and not line.startswith("#")]
    return [(pattern, reason) for pattern, _, reason in pairs if reason]


def is_allowed(test_id, reason, allowed):
    return any(fnmatch.fnmatch(test_id, pattern) and text in reason for pattern, text in allowed)


class SkipGuard:
    """Fails the run when a test or a whole file was skipped for a reason that allowed_skips.txt does not list."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.refused = []

    def look_at(self, report):
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_allowed(report.nodeid, reason, self.allowed):
            self.refused.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report):
        self.look_at(report)

    def pytest_collectreport(self, report):
        self.look_at(report)

    def pytest_sessionfinish(self, session):
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.refused:
            terminalreporter.section(f"skipped for a reason that {ALLOWED_SKIPS.name} does not list", red=True)
            for line in self.refused:
                terminalreporter.line(line)


def pytest_configure(config):
    config.pluginmanager.register(SkipGuard(read_allowed_skips(ALLOWED_SKIPS.read_text())), "skip-guard")
