"""A controller that somebody adds: the file and the row that CONTRIBUTING.md shows, compared as they stand there."""

import importlib.util
import re
from pathlib import Path

from so_arm_policy.cli import main
from so_arm_policy.evaluate import controllers
from so_arm_policy.evaluate.compare.comparison import RESULTS
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.table import read_rows

GUIDE = Path(__file__).parents[3] / "CONTRIBUTING.md"


def test_one_file_and_one_row_make_a_controller_that_is_compared(tmp_path, monkeypatch, capsys):
    guide = GUIDE.read_text(encoding="utf-8").partition("## A controller of your own")[2]
    file = tmp_path / "straight.py"
    file.write_text(re.search(r"```python\n(.*?)```", guide, re.DOTALL)[1], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("straight", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    row = re.search(r'`"straight": (Controller\(.*?\)),`', guide)[1]
    made = eval(row, {**vars(controllers), "straight_agent": module.straight_agent})  # noqa: S307 - our own document
    monkeypatch.setitem(controllers.CONTROLLERS, "straight", made)
    arguments = ["--tasks", "reach", "--controllers", "straight", "hold", "--seeds", "20:24", "--jobs", "1"]
    assert main(["compare", "--out", str(tmp_path / "out"), "--no-clips", *arguments]) == 0
    rows = [r for r in read_rows(tmp_path / "out" / RESULTS, EpisodeRow) if r.controller == "straight"]
    assert {(r.family, r.sees) for r in rows} == {("hand-crafted", "cameras")}
    assert sum(r.success for r in rows) >= 3
    assert "hold - straight" in capsys.readouterr().out
