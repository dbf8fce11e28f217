"""Fresh processes that infer once."""

import json
import sys
from pathlib import Path

import pytest

from so_arm_policy import cli
from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.evaluate.cold_start import measure
from so_arm_policy.policy.providers import Provider
from so_arm_policy.robot.description import load_robot

sys.path.insert(0, str(Path(__file__).parents[1] / "policy"))

from tiny_bundle import write_tiny_bundle  # noqa: E402


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(folder, load_robot("so101"))
    return folder


@pytest.mark.parametrize("system", [1, 2])
def test_a_process_has_spent_time_on_every_part(bundle, system):
    start = measure(bundle, system, Provider())
    assert min(start.imports, start.bundle, start.session, start.first, start.second) > 0.0
    assert start.total == start.imports + start.bundle + start.session + start.first


def test_a_process_that_fails_says_why(bundle, tmp_path):
    with pytest.raises(DeviceError, match=r"got exit code 1 and 'error: .*no such folder.*, expected an inference"):
        measure(tmp_path / "absent", 2, Provider())
    with pytest.raises(ConfigError, match=r"system: got 3, expected one of \[1, 2\]"):
        measure(bundle, 3, Provider())


def test_the_command_prints_and_keeps_every_process(bundle, tmp_path, capsys):
    figures = tmp_path / "figures.json"
    assert cli.main(["cold-start", str(bundle), "--system", "2", "--runs", "2", "--json", str(figures)]) == 0
    shown = capsys.readouterr().out
    assert "System 2, 2 processes, ms" in shown
    assert "in all" in shown
    kept = json.loads(figures.read_text())
    assert (kept["bundle"], kept["provider"]) == ("tiny", "cpu")
    assert [sorted(start) for start in kept["ms"]["System 2"]] == [
        sorted(["imports", "bundle", "session", "first", "second"])
    ] * 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--runs", "0"], "--runs: got 0"), (["--provider", "tensorrt"], "provider: got 'tensorrt'")],
)
def test_what_cannot_be_measured_is_refused(bundle, capsys, options, complaint):
    assert cli.main(["cold-start", str(bundle), *options]) == 2
    assert complaint in capsys.readouterr().err
