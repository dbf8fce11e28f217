"""Success against demonstrations: the table, what it says, and how it is drawn."""

from dataclasses import replace

import pytest
from PIL import Image

from so_arm_policy.cli import main
from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.compare.learning_curve import (
    COLUMNS,
    Trial,
    learning_curves,
    lines,
    read_trials,
    trials_of,
    write_trials,
)
from so_arm_policy.evaluate.compare.learning_curve_plot import figure, learning_curve_svgs, write_learning_curves
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.statistics import wilson_interval

PLANNER = Trial(task="reach", controller="planner", sees="cameras", demonstrations=None, seed=0, success=True)


def trials(rates, baselines, seeds=20):
    """Episodes of `flow` by demonstrations, and of baselines by name; the first seeds are the successes."""
    cells = [("flow", count, rate) for count, rate in rates.items()]
    cells += [(name, None, rate) for name, rate in baselines.items()]
    return [
        replace(PLANNER, controller=name, demonstrations=count, seed=seed, success=seed < rate * seeds)
        for name, count, rate in cells
        for seed in range(seeds)
    ]


KNOWN = trials({10: 0.2, 100: 0.6, 1000: 1.0}, {"planner": 0.8, "expert": 1.0})


def test_the_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "curve.csv"
    write_trials(path, KNOWN)
    assert read_trials(path) == KNOWN
    assert path.read_text().splitlines()[:2] == [",".join(COLUMNS), "reach,flow,cameras,10,0,True"]
    assert [each.name for each in tmp_path.iterdir()] == ["curve.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"got columns \[\], expected \['task'"),
        ("a,b\n1,2\n", "got columns"),
        (f"{','.join(COLUMNS)}\nreach,flow,cameras,10,0,yes\n", r"curve\.csv:2: got 'yes'"),
        (f"{','.join(COLUMNS)}\nreach,flow,cameras,-3,0,True\n", r"curve\.csv:2: got -3 demonstrations"),
        (f"{','.join(COLUMNS)}\nreach,flow\n", r"curve\.csv:2: got"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, text, message):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_trials(path)


def test_a_curve_with_its_levels_and_crossings():
    (curve,) = learning_curves(KNOWN)
    assert (curve.task, curve.learner) == ("reach", "flow")
    assert [(count, rate.successes) for count, rate in curve.points.items()] == [(10, 4), (100, 12), (1000, 20)]
    assert (curve.points[100].low, curve.points[100].high) == wilson_interval(12, 20)
    at = {(each.baseline, each.margin): each.at for each in curve.crossings}
    assert at["planner", 0.0] == pytest.approx(10**2.5)
    assert at["planner", 0.1] == pytest.approx(10**2.25)
    assert at["expert", 0.0] == pytest.approx(1000)
    text = lines([curve])
    assert text[0] == "reach: success of flow by demonstrations of each task (95 % Wilson)"
    assert "  planner  16/20 (58..92 %), cameras" in text
    assert any(line.startswith("  flow reaches planner (80.0 %) at 316 demonstrations") for line in text)


def test_crossings_are_of_the_seeds_that_all_share():
    fewer = [t for t in KNOWN if t.demonstrations != 100 or t.seed < 12]
    (curve,) = learning_curves(fewer)
    assert {each.seeds for each in curve.crossings} == {12}
    assert curve.points[100].episodes == 12
    assert curve.points[10].episodes == 20
    apart = [replace(t, seed=t.seed + 100) if t.controller == "expert" else t for t in KNOWN]
    (curve,) = learning_curves(apart)
    assert {each.baseline for each in curve.crossings} == {"planner"}
    assert set(curve.levels) == {"planner", "expert"}


def test_each_task_has_its_curve_and_two_of_a_seed_are_refused():
    both = [*KNOWN, *(replace(t, task="track") for t in KNOWN if t.controller != "expert")]
    assert [(c.task, list(c.levels)) for c in learning_curves(both)] == [
        ("reach", ["planner", "expert"]),
        ("track", ["planner"]),
    ]
    with pytest.raises(InputError, match="expected one of each seed"):
        learning_curves([*KNOWN, KNOWN[0]])


def test_learners_are_told_from_baselines_in_the_rows():
    row = EpisodeRow(
        task="reach", controller="out/flow_0010", family="flow", sees="cameras", robot="so101", seed=3,
        instruction="touch it", success=True,
    )  # fmt: skip
    others = [
        replace(row, controller="planner", family="hand-crafted", success=False),
        replace(row, controller="flow", bundle="so101-flow-1f577eea"),
        replace(row, perturbation="payload", strength=0.3),
        replace(row, seed=4, success=False, failure_stage="setup"),
    ]
    assert trials_of([row, *others], {"out/flow_0010": 10}) == [
        replace(PLANNER, controller="flow", demonstrations=10, seed=3),
        replace(PLANNER, seed=3, success=False),
        replace(PLANNER, controller="so101-flow-1f577eea", seed=3),
    ]


def test_the_picture_shows_points_lines_and_where_they_meet(tmp_path):
    (curve,) = learning_curves(
        trials({10: 0.2, 100: 0.6, 1000: 1.0}, {"planner": 0.8, "expert": 1.0, "twin": 0.8, "poor": 0.1})
    )
    (axes,) = figure(curve).axes
    assert axes.get_xscale() == "log"
    drawn = {line.get_label(): line for line in axes.lines}
    assert any(
        len(line.get_ydata()) == 3 and list(line.get_ydata()) == pytest.approx([20, 60, 100]) for line in axes.lines
    )
    assert set(drawn["planner, twin: 16 of 20"].get_ydata()) == {80.0}
    assert set(drawn["expert: 20 of 20"].get_ydata()) == {100.0}
    said = {text.get_text() for text in axes.texts}
    assert said == {
        "all of 80 %: 316", "within 10 points of 80 %: 178", "all of 100 %: 1000", "within 10 points of 100 %: 562",
        "all of 10 %: from the first on", "within 10 points of 10 %: from the first on",
    }  # fmt: skip
    assert any(line.get_marker() == "D" and line.get_xdata()[0] == pytest.approx(10**2.5) for line in axes.lines)
    (path,) = write_learning_curves(tmp_path / "a", [curve])
    assert path.name == "reach_flow_demonstrations.png"
    with Image.open(path) as picture:
        assert picture.size == (960, 690)
    (again,) = write_learning_curves(tmp_path / "b", [curve])
    assert again.read_bytes() == path.read_bytes()
    (svg,) = learning_curve_svgs([curve])
    assert svg.startswith("<svg")
    assert "://" not in svg.partition(">")[0]


def test_the_report_shows_a_table_that_it_is_given(tmp_path, capsys):
    write_trials(tmp_path / "curve.csv", trials({10: 0.2, 100: 0.6}, {"planner": 1.0}))
    cheap = ["compare", "--tasks", "reach", "--controllers", "hold", "--seeds", "20", "--jobs", "1", "--no-clips"]
    cheap += ["--out", str(tmp_path / "out")]
    figures = tmp_path / "figures"
    assert main([*cheap, "--learning-curve", str(tmp_path / "curve.csv"), "--figures", str(figures)]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="demonstrations"' in page
    assert "flow never reaches planner (100.0 %) up to 100 demonstrations: below, -40.0 points at 100" in page
    assert "://" not in page
    assert (figures / "reach_flow_demonstrations.png").stat().st_size > 10_000
    assert main([*cheap, "--learning-curve", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: got [Errno 2]" in capsys.readouterr().err
