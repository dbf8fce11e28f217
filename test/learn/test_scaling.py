import dataclasses

import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.scaling.grid import Point, append_point, flops_each, lasting, missing, read_points, share
from so_arm_policy.learn.scaling.law import fit_law
from so_arm_policy.learn.scaling.plot import draw_scaling
from so_arm_policy.learn.scaling_command import table, verdict

FIRST = Point(
    family="flow", width=32, parameters=30_000, demonstrations=50, samples=1000, flops=2.88e9, loss=0.4, minutes=1.5
)
GRID = [
    dataclasses.replace(
        FIRST,
        width=w,
        parameters=30 * w * w,
        demonstrations=d,
        samples=20 * d,
        flops=6.0 * 30 * w * w * 20 * d * 16,
        loss=0.1 + 4 / w + 2 / d,
    )
    for w in (32, 64, 128)
    for d in (50, 200, 800)
]


def test_points_are_kept_and_only_what_is_missing_is_trained(tmp_path):
    path = tmp_path / "out" / "points.jsonl"
    assert read_points(path) == []
    for point in GRID[:4]:
        append_point(path, point)
    assert read_points(path) == GRID[:4]
    assert missing(read_points(path), [64, 32], [800, 50, 200]) == [(64, 200), (64, 800)]


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "points.jsonl"
    append_point(path, FIRST)
    path.write_text(path.read_text() + "{half")
    with pytest.raises(InputError, match=r"points\.jsonl:2: got .*, expected a point as JSON"):
        read_points(path)


def test_people_see_the_points_the_law_and_the_best_size(tmp_path):
    points = [dataclasses.replace(GRID[0], success=0.5), *GRID[1:]]
    text = table(points)
    assert len(text.splitlines()) == 10
    assert "50 %" in text
    fit = fit_law([p.parameters for p in points], [p.demonstrations for p in points], [p.loss for p in points], 2)
    said = verdict(fit, points, 1e12)
    assert "best for 1e+12 operations" in said
    for name in ("p.png", "p.svg"):
        draw_scaling(points, fit, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(InputError, match="got a budget of 0"):
        verdict(fit, points, 0.0)


def test_every_point_sees_its_demonstrations_equally_often():
    assert [share(3000, count, 2000) for count in (250, 500, 2000)] == [375, 750, 3000]
    assert share(10, 1, 3000) == 1
    assert lasting(LoopConfig(steps=9), 400) == LoopConfig(steps=400, warmup=80, average=0.975)
    assert lasting(LoopConfig(steps=9), 1) == LoopConfig(steps=1, warmup=0, average=0.5)
    assert lasting(LoopConfig(steps=9), 9000) == LoopConfig(steps=9000, warmup=200)
    assert flops_each(GRID) == pytest.approx(6.0 * 20 * 16)
    with pytest.raises(InputError, match="got 20, 40 samples for each demonstration, expected as many"):
        flops_each([GRID[0], dataclasses.replace(GRID[1], samples=8000, flops=2 * GRID[1].flops)])
