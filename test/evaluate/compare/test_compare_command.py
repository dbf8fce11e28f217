"""`so-arm compare`: the same rows whatever the number of processes and interruptions, and clear about what failed."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate import controllers
from so_arm_policy.evaluate.agent import Agent, Moment
from so_arm_policy.evaluate.compare.cells import cells_of
from so_arm_policy.evaluate.compare.comparison import RESULTS, TIMING
from so_arm_policy.evaluate.compare.journal import FILE_NAME, Journal
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.run import Job, Settings, run_jobs
from so_arm_policy.evaluate.compare.summary import compare_pairs, summarise
from so_arm_policy.evaluate.compare.table import read_rows
from so_arm_policy.evaluate.compare.text import report
from so_arm_policy.evaluate.compare.verdicts import A_BETTER
from so_arm_policy.evaluate.controllers import HAND_CRAFTED, NOTHING, Controller, identify
from so_arm_policy.evaluate.scripted_agents import SourceAgent, hold_agent
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Episode, Task

CHEAP = ["--tasks", "reach", "--controllers", "hold", "expert", "--seeds", "20:23"]


def compare(out: Path, *arguments: str) -> int:
    return main(["compare", "--out", str(out), "--no-clips", *(arguments or CHEAP)])


def results(out: Path) -> bytes:
    return (out / RESULTS).read_bytes()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cheap comparison in one process."""
    out = tmp_path_factory.mktemp("alone")
    assert compare(out, *CHEAP, "--jobs", "1") == 0
    return out


def test_a_row_for_each_episode(alone: Path) -> None:
    rows = read_rows(alone / RESULTS, EpisodeRow)
    assert [row.key for row in rows] == [
        ("reach", who, "", 0.0, seed) for who in ("expert", "hold") for seed in (20, 21, 22)
    ]
    for row in rows[:3]:
        assert (row.success, row.failure_stage, row.failure_reason) == (True, None, None)
        assert (row.family, row.sees, row.robot, row.bundle) == ("scripted", "privileged", "so101", None)
        assert row.tip_path_m > 0.05
        assert row.energy_j > 0.0
    for row in rows[3:]:
        assert (row.success, row.failure_stage, row.failure_reason) == (False, "start", "timeout")
        assert row.tip_path_m < 0.01
        assert row.sparc is None or row.sparc < -1.0
    timing = read_rows(alone / TIMING, TimingRow)
    assert [clock.key for clock in timing] == [row.key for row in rows]
    assert all(clock.wall_s > 0 and clock.cpu_s > 0 for clock in timing)


def test_two_processes_give_the_bytes_of_one(alone: Path, tmp_path: Path) -> None:
    assert compare(tmp_path, *CHEAP, "--jobs", "2") == 0
    assert results(tmp_path) == results(alone)


def test_a_killed_comparison_goes_on_where_it_was(alone: Path, tmp_path: Path) -> None:
    """SIGKILL as soon as two episodes are on disk; and then a line that was cut off in the middle."""
    journal = tmp_path / FILE_NAME
    command = [sys.executable, "-m", "so_arm_policy.cli", "compare", "--out", str(tmp_path), *CHEAP, "--jobs", "1"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
            time.sleep(0.005)
        process.kill()
    before = journal.read_bytes().splitlines()
    assert len(before) >= 3
    journal.write_bytes(b"\n".join(before)[:-40])
    kept = journal.read_bytes().rpartition(b"\n")[0]
    assert compare(tmp_path, *CHEAP, "--jobs", "1") == 0
    assert results(tmp_path) == results(alone)
    after = journal.read_bytes()
    assert after.startswith(kept)
    assert after.count(b"\n") == 1 + 6


def is_worker(process: psutil.Process) -> bool:
    try:
        return "LokyProcess" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a short one, which has ended meanwhile
        return False


def test_a_worker_that_dies_is_one_clear_error_and_costs_no_finished_episode(tmp_path: Path) -> None:
    journal = tmp_path / FILE_NAME
    command = [sys.executable, "-m", "so_arm_policy.cli", "compare", "--out", str(tmp_path)]
    command += ["--tasks", "reach", "--controllers", "hold", "--seeds", "20:500", "--jobs", "2"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 2):
            time.sleep(0.05)
        next(child for child in psutil.Process(process.pid).children(recursive=True) if is_worker(child)).kill()
        assert process.stderr is not None
        assert "error: comparison: got a process that ended by itself" in process.stderr.read()
    assert process.returncode == 2
    with Journal(tmp_path, Settings()) as kept:
        assert len(kept.outcomes) >= 1


def test_what_is_there_is_not_run_again_and_more_may_be_added(alone: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes((alone / FILE_NAME).read_bytes())
    assert compare(tmp_path) == 0
    assert (tmp_path / FILE_NAME).read_bytes() == (alone / FILE_NAME).read_bytes()
    assert compare(tmp_path, "--tasks", "reach", "--controllers", "pid", "--seeds", "21", "--jobs", "1") == 0
    assert {row.key for row in read_rows(tmp_path / RESULTS, EpisodeRow)} - {
        row.key for row in read_rows(alone / RESULTS, EpisodeRow)
    } == {("reach", "pid", "", 0.0, 21)}


def test_it_prints_a_table_and_the_pairs(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(alone) == 0
    printed = capsys.readouterr().out
    assert "expert privileged 3/3 100.0 (43.9..100.0)" in " ".join(printed.split())
    assert "hold failed: 3 x start: timeout" in printed
    (pair,) = (line.split() for line in printed.splitlines() if "expert - hold" in line)
    assert pair[:9] == ["reach", "expert", "-", "hold", "+100.0", "+20.6..+100.0", "3", "3:0", "0.25"]
    assert "not distinguishable" in " ".join(pair)


class Raiser:
    """Holds, and raises in the midst of every second episode."""

    name = "hold"

    def __init__(self, agent: SourceAgent) -> None:
        self._agent = agent

    def reset(self, episode: Episode) -> None:
        self._raises = episode.seed % 2 == 1
        self._agent.reset(episode)

    def propose(self, moment: Moment) -> Proposal | None:
        if self._raises and moment.tick == 10:
            raise ValueError("no way\nfound")
        return self._agent.propose(moment)

    def report(self):
        return self._agent.report()


def raiser(task: Task, robot: RobotConfig) -> Agent:
    return Raiser(hold_agent(task, robot))


def test_an_episode_that_raises_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(
        controllers.CONTROLLERS, "raiser", Controller(make=raiser, kind=HAND_CRAFTED, sees=NOTHING, tasks=("reach",))
    )
    assert compare(tmp_path, "--tasks", "reach", "--controllers", "raiser", "--seeds", "20:23", "--jobs", "1") == 0
    rows = read_rows(tmp_path / RESULTS, EpisodeRow)
    assert [row.failure_stage for row in rows] == ["start", "error", "start"]
    assert rows[1].failure_reason == "error: ValueError: no way found"
    assert rows[1].instruction
    assert rows[1].digest is None
    (cell,) = summarise(rows, read_rows(tmp_path / TIMING, TimingRow))
    assert (cell.episodes, cell.broken, cell.successes) == (3, 0, 0)


def test_a_bundle_that_cannot_be_loaded_is_said_and_the_others_go_on(tmp_path: Path, bundle: Bundle, capsys) -> None:
    folder = _copy(bundle, tmp_path / "broken")
    (folder / "system1.onnx").write_bytes(b"no graph")
    out = tmp_path / "out"
    arguments = ["--tasks", "reach", "--controllers", str(folder), "hold", "--seeds", "20:22", "--jobs", "1"]
    assert compare(out, *arguments) == 0
    broken = [row for row in read_rows(out / RESULTS, EpisodeRow) if row.controller != "hold"]
    assert len(broken) == 2
    for row in broken:
        assert (row.family, row.bundle, row.failure_stage) == ("flow", "tiny", "setup")
        assert row.failure_reason.startswith("error: BundleError: ")
        assert "system1.onnx" in row.failure_reason
    assert "0/0" in capsys.readouterr().out
    assert compare_pairs(read_rows(out / RESULTS, EpisodeRow)) == []
    # Mended, it is tried again; the rows of `hold` stay.
    (folder / "system1.onnx").write_bytes((bundle.path / "system1.onnx").read_bytes())
    assert compare(out, *arguments) == 0
    mended = [row for row in read_rows(out / RESULTS, EpisodeRow) if row.controller != "hold"]
    assert [row.failure_stage == "setup" for row in mended] == [False, False]
    assert all(row.inferences > 0 and row.digest for row in mended)
    clocks = [clock for clock in read_rows(out / TIMING, TimingRow) if clock.controller != "hold"]
    assert all(0.0 < clock.inference_p50_ms <= clock.inference_p99_ms for clock in clocks)
    assert all(0.0 < clock.context_p50_ms <= clock.context_p99_ms for clock in clocks)


def test_a_folder_with_no_manifest_left_makes_rows_too(bundle: Bundle, tmp_path: Path) -> None:
    folder = _copy(bundle, tmp_path / "gone")
    (folder / "manifest.json").write_text("{}")
    (who,), _ = cells_of(["reach"], [str(folder)])
    (outcome,) = run_jobs([Job(who=who, seed=3)], Settings())
    assert outcome.row.failure_stage == "setup"
    assert (outcome.row.family, outcome.row.bundle) == ("learned", None)


def test_rows_of_another_bundle_are_not_mixed(bundle: Bundle, tmp_path: Path, capsys) -> None:
    folder, out = _copy(bundle, tmp_path / "policy"), tmp_path / "out"
    arguments = ["--tasks", "reach", "--controllers", str(folder), "--seeds", "3", "--jobs", "1"]
    assert compare(out, *arguments) == 0
    _change(folder, scores={"reach seeds 3": {}})
    assert compare(out, *arguments) == 0
    _change(folder, infer_every=40)
    assert compare(out, *arguments) == 2
    assert "by bundle tiny" in capsys.readouterr().err


def test_what_a_controller_cannot_do_is_left_out_and_said(bundle: Bundle) -> None:
    cells, left_out = cells_of(["track", "reach", "track"], ["pid", "hold", "pid"])
    assert [(who.task, who.controller) for who in cells] == [("track", "hold"), ("reach", "pid"), ("reach", "hold")]
    assert left_out == ["pid on track: it does reach only"]
    assert "left out: pid on track: it does reach only" in report([], [], left_out)
    with pytest.raises(ConfigError, match="expected one that can be done"):
        cells_of(["pick_place"], [str(bundle.path)])
    everyone, _ = cells_of(["reach"], ["all"])
    assert [who.controller for who in everyone] == list(controllers.CONTROLLERS)


def test_the_shipped_families_are_who_they_say() -> None:
    for family in ("act", "flow", "diffusion", "autoregressive"):
        who = identify(family, make_task("pick_place"))
        assert (who.family, who.sees) == (family, "cameras")
        assert who.bundle.startswith(f"so101-{family}-")
        assert len(who.bundle_sha256) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "juggle"], "task: got 'juggle', expected one of"),
        (["--controllers", "magic"], "controller: got 'magic', expected one of ['act'"),
        (["--tasks", "track", "--controllers", "pid"], "expected one that can be done"),
        (["--seeds", "5:5"], "seeds: got 0 of them"),
        (["--controllers", "hold", "--jobs", "0"], "got 0 jobs"),
        (["--tasks", "reach", "--controllers", "hold", "--split", "pairs"], "split"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments, message: str, tmp_path: Path, capsys) -> None:
    assert compare(tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert message in error


def test_a_folder_of_other_settings_or_of_another_process_is_refused(alone: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes((alone / FILE_NAME).read_bytes())
    with pytest.raises(ConfigError, match="give another folder"):
        Journal(tmp_path, Settings(all_objects=True))
    with Journal(tmp_path, Settings()) as journal:
        assert len(journal.outcomes) == 6
        with pytest.raises(ConfigError, match="still running"):
            Journal(tmp_path, Settings())
    lines = (alone / FILE_NAME).read_bytes().splitlines()
    (tmp_path / FILE_NAME).write_bytes(b"\n".join([lines[0], b"{", lines[1]]) + b"\n")
    with pytest.raises(InputError, match=r"episodes.jsonl:2: got .* expected one JSON mapping"):
        Journal(tmp_path, Settings())


def test_a_clear_difference_is_a_verdict(alone: Path) -> None:
    """The rows of three seeds, as if they were thirty."""
    rows = [replace(row, seed=row.seed + 100 * i) for i in range(10) for row in read_rows(alone / RESULTS, EpisodeRow)]
    (couple,) = compare_pairs(rows)
    assert (couple.a, couple.b, couple.judged.verdict) == ("expert", "hold", A_BETTER)
    assert couple.judged.p == couple.judged.p_holm == pytest.approx(2 / 2**30)
    assert couple.time_s is None
    assert "expert better" in report(summarise(rows, []), [couple], [])


def _copy(bundle: Bundle, folder: Path) -> Path:
    folder.mkdir()
    for path in bundle.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _change(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
