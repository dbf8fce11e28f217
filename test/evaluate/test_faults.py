"""The fault campaign: it judges by the referee alone, it can fail, and it gives the same twice."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from so_arm_policy.cli import main
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.faults.case import SOURCES, Expect, FaultCase
from so_arm_policy.evaluate.faults.judgement import braking_ticks
from so_arm_policy.evaluate.faults.matrix import cells_of, jobs_of, run_jobs
from so_arm_policy.evaluate.faults.run import CaseResult, Stage, campaign_of, refuse
from so_arm_policy.evaluate.faults.table import GROUPS, chosen, every_case
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.values import Action, Mode, TickInput, Verdict

CASES = {case.name: (group, case) for group, case in every_case()}
SEED = 1000


class PassesAll:
    """No supervisor at all, as the control experiment: whatever the source says goes to the motors."""

    mode = Mode.ACTIVE

    def __init__(self, config: SupervisorConfig, robot: RobotConfig, source: str) -> None:  # noqa: ARG002
        self._source = source
        self._command: FloatArray | None = None

    def step(self, tick: TickInput) -> Verdict:
        said = tick.proposals.get(self._source)
        if said is not None:
            self._command = said.q
        return Verdict(action=Action.PASS, command=self._command, code="", text="", source=self._source, mode=self.mode)


@pytest.fixture(scope="module")
def pid() -> Iterator[Stage]:
    stage = Stage("pid", "so101")
    yield stage
    stage.close()


def run(stage: Stage, name: str, seed: int = SEED) -> CaseResult:
    group, case = CASES[name]
    return stage.run(case, group, seed)


def test_there_are_enough_cases_each_with_its_own_name() -> None:
    names = Counter(case.name for _, case in every_case())
    assert max(names.values()) == 1
    assert len(names) >= 60
    assert all(len(cases) >= 8 for cases in GROUPS.values())
    assert all(case.text for _, case in every_case())


def test_every_case_has_sources_that_exist() -> None:
    for _, case in every_case():
        assert set(case.sources) <= set(SOURCES)
        for source in case.sources:
            campaign_of(source, case.robot)
    with pytest.raises(ConfigError, match="got source 'pid' for robot 'so101_bimanual'"):
        campaign_of("pid", "so101_bimanual")


@pytest.mark.parametrize("case", GROUPS["configs"], ids=lambda case: case.name)
def test_bad_configs_refuse_to_start(case: FaultCase) -> None:
    result = refuse(case, "configs")
    assert result.contained
    assert "got" in result.text or "missing" in result.text or "unknown" in result.text


def test_a_start_that_should_fail_and_does_not_is_not_contained() -> None:
    result = refuse(FaultCase("fine", "nothing is wrong", Expect.REFUSES, start=lambda: None), "configs")
    assert not result.contained


@pytest.mark.parametrize("name", ["nan_joint", "jump_far", "source_dies", "estop"])
def test_faults_are_contained_end_to_end(pid: Stage, name: str) -> None:
    result = run(pid, name)
    assert result.why == ()
    assert result.onset is not None
    assert result.found is not None
    assert result.found.halt.reaction <= CASES[name][1].reaction
    assert 0 < result.found.halt.standstill <= CASES[name][1].reaction + braking_ticks(pid.robot)


def test_motion_goes_on_where_it_may(pid: Stage) -> None:
    for name in ("nan_once", "names_reordered", "one_missing"):
        found = run(pid, name).found
        assert found is not None
        assert found.halt.standstill is None


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("nan_joint", "no number"),
        ("degrees", "velocity"),
        ("jump_in_band", "acceleration"),
        ("too_fast", "velocity"),
        ("far_outside_limit", "position"),
        ("sine_attack", "jerk"),
        ("estop", "reacted|never stood"),
        ("second_publisher", "reacted|never stood"),
        ("first_far", "it moved"),
        ("into_table", "pressed"),
        ("into_itself", "pressed"),
        ("joint_blocked_pushed_on", "pushed a blocked joint"),
        ("two_writers", "velocity"),
    ],
)
def test_without_a_supervisor_faults_are_not_contained(pid: Stage, name: str, seen: str) -> None:
    group, case = CASES[name]
    why = pid.run(case, group, SEED, PassesAll).why
    assert any(word in reason for word in seen.split("|") for reason in why), why


def test_what_must_stop_does_not_stop_by_itself(pid: Stage) -> None:
    """A case that must stop and does so without one shows nothing."""
    needless = []
    for group, case in every_case():
        if case.expect is not Expect.STOPS or case.ticks > 100:
            continue
        if pid.run(case, group, SEED, PassesAll).contained:
            needless.append(case.name)
    assert set(needless) <= {"supervisor_dies"}


def test_what_a_fault_changed_in_the_arm_is_undone(pid: Stage) -> None:
    before = run(pid, "nan_joint")
    for name in ("joint_blocked", "torque_off_silent", "wrong_calibration", "pushed_back", "start_outside_inward"):
        run(pid, name)
    assert run(pid, "nan_joint") == before


def test_two_processes_give_what_one_gives() -> None:
    jobs = jobs_of([CASES["nan_joint"], CASES["limit_null"], CASES["noise_attack"]], ["pid"], [SEED, SEED + 1])
    assert len(jobs) == 5
    alone, shared = list(run_jobs(jobs, 1)), list(run_jobs(jobs, 2))
    assert alone == shared
    cells = cells_of(alone)
    assert [(cell.case, cell.source, cell.runs) for cell in cells] == [
        ("nan_joint", "pid", 2),
        ("limit_null", "-", 1),
        ("noise_attack", "pid", 2),
    ]
    assert cells[0].reaction(100) == 0.0
    assert np.isnan(cells[1].worst)


def test_the_command_prints_the_matrix_and_writes_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, page = tmp_path / "faults.json", tmp_path / "faults.html"
    arguments = ["--sources", "pid", "--seeds", "1000", "--jobs", "1", "--json", str(data), "--report", str(page)]
    assert main(["faults", "--case", "nan_joint", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "nan_joint" in printed
    assert "1 of 1 cases contained" in printed
    runs = json.loads(data.read_text())["runs"]
    assert [(r["case"], r["source"], r["seed"], r["contained"]) for r in runs] == [("nan_joint", "pid", SEED, True)]
    assert "1 of 1 faults contained" in page.read_text()
    assert "http" not in page.read_text()


def test_a_case_that_is_not_contained_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expectation that no supervisor can meet: the source is healthy and yet must stop."""
    impossible = FaultCase("healthy", "nothing is wrong", Expect.STOPS)
    monkeypatch.setitem(GROUPS, "values", (impossible,))
    assert main(["faults", "--case", "healthy", "--sources", "pid", "--seeds", "1000", "--jobs", "1"]) == 1
    assert "healthy with pid: never stood still (seed 1000)" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"group": "nonsense"}, {"name": "nonsense"}])
def test_unknown_groups_and_cases(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="faults: got .* 'nonsense', expected one of"):
        chosen(**wrong)


def test_a_case_that_could_show_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected REFUSES"):
        FaultCase("odd", "a start without an expectation", Expect.STOPS, start=lambda: None)
    with pytest.raises(ConfigError, match="more than it is to react"):
        FaultCase("odd", "longer than its run", Expect.STOPS, reaction=100, ticks=90)
