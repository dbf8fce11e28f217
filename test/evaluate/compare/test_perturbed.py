"""`so-arm compare --perturb`: every controller meets the same, nothing is mixed, and success by strength is shown."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.comparison import RESULTS, TIMING
from so_arm_policy.evaluate.compare.curve_plot import figure, write_curves
from so_arm_policy.evaluate.compare.curves import curves, lines
from so_arm_policy.evaluate.compare.journal import FILE_NAME
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.run import Job, Settings, run_jobs
from so_arm_policy.evaluate.compare.summary import compare_pairs, summarise
from so_arm_policy.evaluate.compare.table import read_rows
from so_arm_policy.evaluate.compare.text import report
from so_arm_policy.evaluate.controllers import identify
from so_arm_policy.evaluate.graded import UNDISTURBED, Condition
from so_arm_policy.evaluate.statistics import wilson_interval
from so_arm_policy.sim.tasks import make_task

CHEAP = ["--tasks", "reach", "--controllers", "hold", "expert", "--seeds", "20:22", "--jobs", "1"]
SOFT = ["--perturb", "gain=0,-0.9", "payload=0"]


def compare(out: Path, *arguments: str) -> int:
    return main(["compare", "--out", str(out), *CHEAP, *arguments])


def rows_of(out: Path) -> list[EpisodeRow]:
    return read_rows(out / RESULTS, EpisodeRow)


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two controllers with stiff and with soft servos."""
    out = tmp_path_factory.mktemp("soft")
    assert compare(out, *SOFT) == 0
    return out


def test_a_row_for_each_episode_of_each_strength(soft: Path) -> None:
    rows = rows_of(soft)
    under = (("", 0.0), ("gain", -0.9))
    assert [row.key for row in rows] == [
        ("reach", who, *condition, seed) for who in ("expert", "hold") for condition in under for seed in (20, 21)
    ]
    assert [clock.key for clock in read_rows(soft / TIMING, TimingRow)] == [row.key for row in rows]
    # Who holds does the same in every scene, but not with every servo.
    assert len({row.digest for row in rows}) == 4 + 2
    stiff, weak = (next(r for r in rows if r.key[:3] == ("reach", "hold", name)) for name in ("", "gain"))
    assert weak.tracking_error_rad > 3 * stiff.tracking_error_rad


def test_undisturbed_rows_are_those_of_a_run_without_perturbations(soft: Path, tmp_path: Path) -> None:
    assert compare(tmp_path) == 0
    assert rows_of(tmp_path) == [row for row in rows_of(soft) if not row.perturbation]
    # Completed later, in other steps, it is the same folder.
    assert compare(tmp_path, "--perturb", "gain=-0.9") == 0
    assert (tmp_path / RESULTS).read_bytes() == (soft / RESULTS).read_bytes()
    before = (tmp_path / FILE_NAME).read_bytes()
    assert compare(tmp_path, *SOFT) == 0
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_folder_from_before_there_were_perturbations_goes_on(soft: Path, tmp_path: Path) -> None:
    header, *rest = map(json.loads, (soft / FILE_NAME).read_text().splitlines())
    plain = [line for line in rest if not line["row"]["perturbation"]]
    for part in (part for line in plain for part in (line["row"], line["timing"])):
        del part["perturbation"], part["strength"]
    old = [json.dumps(line) for line in ({**header, "schema": 1}, *plain)]
    (tmp_path / FILE_NAME).write_text("\n".join(old) + "\n")
    assert compare(tmp_path, *SOFT) == 0
    assert (tmp_path / RESULTS).read_bytes() == (soft / RESULTS).read_bytes()
    lines_now = (tmp_path / FILE_NAME).read_text().splitlines()
    assert lines_now[: len(old)] == old
    assert len(lines_now) == 1 + 8


def test_success_by_strength_is_printed_and_drawn(soft: Path, tmp_path: Path, capsys) -> None:
    assert compare(soft, *SOFT) == 0
    printed = capsys.readouterr().out
    assert "reach, gain, share: change of the servos' stiffness" in printed
    cells = summarise(rows_of(soft), [])
    expert, hold = curves(cells)
    assert (expert.controller, [p.strength for p in expert.points]) == ("expert", [-0.9, 0.0])
    assert (expert.points[1].successes, expert.points[1].episodes) == (2, 2)
    assert (expert.points[1].low, expert.points[1].high) == wilson_interval(2, 2)
    assert [p.successes for p in hold.points] == [0, 0]
    (path,) = write_curves(tmp_path / "new", [expert, hold])
    assert path.name == "reach_gain.png"
    height, width, _ = cv2.imread(str(path)).shape
    assert (height, width) == (570, 960)
    again = write_curves(tmp_path / "again", [expert, hold])
    assert again[0].read_bytes() == path.read_bytes()


def test_the_picture_shows_the_rates_and_their_bands(soft: Path) -> None:
    group = curves(summarise(rows_of(soft), []))
    (axes,) = figure(group).axes
    line = axes.lines[0]
    assert (line.get_label(), list(line.get_xdata())) == ("expert", [-0.9, 0.0])
    assert line.get_ydata()[1] == 100.0
    band = axes.collections[0].get_paths()[0].vertices
    low, high = wilson_interval(2, 2)
    at_zero = band[band[:, 0] == 0.0][:, 1]
    assert (at_zero.min(), at_zero.max()) == (pytest.approx(100 * low), pytest.approx(100 * high))
    with pytest.raises(ConfigError, match="expected one task and one perturbation"):
        figure([group[0], replace(group[1], task="track")])


def test_pairs_are_of_one_condition_and_corrected_within_it(soft: Path) -> None:
    """The rows of two seeds, as if they were forty; of gains, the expert fails as well."""
    rows = [replace(row, seed=row.seed + 100 * i) for i in range(20) for row in rows_of(soft)]
    rows = [replace(row, success=row.success and not row.perturbation) for row in rows]
    plain, disturbed = compare_pairs(rows)
    assert ((plain.perturbation, plain.strength), plain.judged.pairs.only_a) == (("", 0.0), 40)
    assert ((disturbed.perturbation, disturbed.strength), disturbed.judged.pairs.neither) == (("gain", -0.9), 40)
    assert plain.judged.p_holm == plain.judged.p
    text = report(summarise(rows, []), [plain, disturbed], [])
    assert "pairs under perturbations: 1, 0 of them told apart" in text
    assert "gain -0.9: reach" not in text
    assert text.count("expert better") == 1


def test_strengths_that_a_controller_does_not_have_are_gaps(soft: Path) -> None:
    cells = [cell for cell in summarise(rows_of(soft), []) if cell.controller != "hold" or not cell.perturbation]
    assert [curve.controller for curve in curves(cells)] == ["expert"]
    cells += [replace(cells[-1], perturbation="gain", strength=-0.5)]
    assert [row.split()[-1] for row in lines(curves(cells))[1:]] == ["0", "%)", "%)"]
    assert "-    " in lines(curves(cells))[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--perturb", "wind=1"], "perturbation: got 'wind', expected one of"),
        (["--perturb", "push=19"], "push: got strength 19.0, expected 0..10 N s"),
        (["--perturb", "phrasings=1"], "expected one in scenes of all objects"),
        (["--perturb", "phrasings=1", "--all-objects", "--split", "phrases"], "got split 'phrases', expected 'train'"),
    ],
)
def test_bad_perturbations_are_one_clear_error(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert compare(tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err


def test_held_out_phrasings_reach_the_rows() -> None:
    task = make_task("pick_place")
    job = Job(who=identify("hold", task), seed=1, condition=Condition("phrasings", 1.0))
    (outcome,) = run_jobs([job], Settings())
    assert outcome.row.instruction == task.sample(1, "phrases").instruction != task.sample(1).instruction
    assert outcome.row.key == job.key


def test_a_learned_policy_meets_what_the_others_meet() -> None:
    who = identify("flow", make_task("reach"))
    jobs = [Job(who=who, seed=20, condition=c) for c in (UNDISTURBED, Condition("camera_dropout", 0.9))]
    plain, lost = (outcome.row for outcome in run_jobs(jobs, Settings(all_objects=True)))
    assert plain.inferences > 0
    assert lost.inferences > 0
    assert plain.digest != lost.digest
