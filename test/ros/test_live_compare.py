"""Comparisons through the live graph: real stacks, each node a process of its own."""

from pathlib import Path

import numpy as np
import pytest
from std_srvs.srv import Trigger

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.comparison import RESULTS
from so_arm_policy.evaluate.compare.live.poses import Poses
from so_arm_policy.evaluate.compare.live.table import LIVE, live_rows
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.table import read_rows
from so_arm_policy.ros import topics
from so_arm_policy.ros.demo_run import NodeLog
from so_arm_policy.ros.live_cells import live_cells, live_controllers, options_of
from so_arm_policy.ros.live_stage import live_stage
from so_arm_policy.safety.values import Mode
from so_arm_policy.sim.tasks import make_task

REACH = make_task("reach")
LIMIT_TICKS = round(REACH.time_limit_s * CONTROL_HZ)
SEED = 7000


def compare(out: Path, *arguments: str) -> int:
    return main(["compare", "--ros", "--no-clips", "--jobs", "1", "--out", str(out), *arguments])


def test_one_episode_live_beside_the_same_in_lockstep(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chosen = ["--tasks", "reach", "--controllers", "pid", "--seeds", str(SEED)]
    assert compare(tmp_path, *chosen) == 0
    (live,), (lockstep,) = live_rows(tmp_path), read_rows(tmp_path / RESULTS, EpisodeRow)
    assert (live.key, live.instruction) == (lockstep.key, lockstep.instruction)
    assert lockstep.success
    # A slow machine may let it fail, but not otherwise than by the clock of the simulation.
    assert live.failure_stage not in ("setup", "error")
    assert live.ticks == (round(live.time_s * CONTROL_HZ) if live.success else LIMIT_TICKS)
    assert live.supervisor_ticks > 0
    assert live.latency_p50_ms is None or live.latency_p50_ms > 0.0
    assert live.joint_path_rad > 0.0
    assert (live.energy_j, live.digest, live.contexts) == (None, None, None)
    printed = capfd.readouterr().out
    assert "live: 1 of 1 episodes to run" in printed
    assert ["reach", "pid", f"{int(live.success)}/1", "1/1"] in [line.split()[:4] for line in printed.splitlines()]
    assert '<section id="live">' in (tmp_path / "report.html").read_text()
    table = (tmp_path / LIVE).read_bytes()
    assert compare(tmp_path, *chosen) == 0, "what is there is not run again"
    assert "live: 0 of 1 episodes to run" in capfd.readouterr().out
    assert (tmp_path / LIVE).read_bytes() == table


def test_after_a_stop_the_arm_comes_home_and_a_stack_that_loses_a_node_says_which(robot, tmp_path: Path) -> None:
    (who,), _ = live_cells(["reach"], ["hold"])
    log = NodeLog(tmp_path / "nodes.log")
    with live_stage(options_of(who, SEED), log, lambda _: None) as stage:
        monitor = stage._monitor
        stop = monitor.create_client(topics.ESTOP.type, topics.ESTOP.name)
        stopped = stop.call_async(Trigger.Request())
        stage._wait(lambda: stopped.done() and monitor.mode is Mode.ESTOP, 30.0, "a stop")
        stage._come_home()
        assert monitor.mode is not Mode.ESTOP
        np.testing.assert_allclose(monitor.sample.q, robot.home, atol=0.02)
        stage._lay(REACH, REACH.sample(SEED))
        stage._wait(lambda: monitor.scene == REACH.sample(SEED).scene, 30.0, "the scene of the episode")
        stage._nodes.kill("hold")
        with pytest.raises(DeviceError, match=r"hold ended \(signal SIGKILL\)"):
            stage.run(REACH, REACH.sample(SEED), Poses(robot).state_size)
    log.close()


def test_who_has_a_node_can_be_compared() -> None:
    assert live_controllers() == ["act", "flow", "diffusion", "autoregressive", "planner", "pid", "servo", "hold"]
    cells, left_out = live_cells(["reach", "track"], ["pid", "servo"])
    assert [(who.controller, who.task) for who in cells] == [("pid", "reach"), ("servo", "reach"), ("servo", "track")]
    assert left_out == ["pid on track: it does reach only"]
    assert options_of(cells[0], 3).control_source == "cartesian_pid"
    assert options_of(cells[1], 3).seed == 3


@pytest.mark.parametrize("name", ["hybrid", "expert", "servo_privileged"])
def test_who_has_no_node_is_refused_with_those_that_have(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--ros: got {name}, which no node runs, expected some of act, flow"):
        live_cells(["reach"], ["pid", name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "5:5"], "seeds: got 0 of them"),
        (["--controllers", "magic"], "controller: got 'magic', expected one of"),
        (["--controllers", "expert"], "--ros: got expert"),
        (["--tasks", "juggle", "--controllers", "pid"], "task: got 'juggle'"),
        (["--tasks", "track", "--controllers", "pid"], "expected one that can be done"),
        (["--perturb", "payload"], "--perturb: got payload with --ros"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert compare(tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_missing_or_broken_is_one_clear_error(bundle: Path, tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    for folder in (broken, tmp_path / "none"):
        assert compare(tmp_path / "out", "--tasks", "reach", "--controllers", str(folder)) == 2
        error = capsys.readouterr().err
        assert error.count("error: ") == 1
        assert str(folder) in error
