"""Film, plots, page and view of a run whose tries each had a scene of their own: the scripted expert, in process."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tiny_bundle import write_tiny_bundle

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate import plots
from so_arm_policy.evaluate.demo_summary import summarise_demo
from so_arm_policy.evaluate.film import write_film
from so_arm_policy.evaluate.measure import MEASURES, measure
from so_arm_policy.evaluate.recorder import Recorder
from so_arm_policy.evaluate.recording import Frame, Outcome, Recording, Try
from so_arm_policy.evaluate.report import write_report
from so_arm_policy.evaluate.sight import Truth, sights
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.rearrange import rearrange
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import TASKS, make_task

TASK = make_task("pick_place")
SEEDS = (3, 4)
STATE_TICKS = 4


@pytest.fixture(scope="module")
def recording(robot: RobotConfig) -> Recording:
    """The expert puts things into their places; the table is laid anew around the arm wherever that is then."""
    simulator = Simulator(robot, TASK.sample(SEEDS[0]).scene)
    recorder = Recorder(robot, simulator.scene, len(simulator.qpos))
    expert, renderer, tries, tick = Expert(robot, TASK), SceneRenderer(robot), [], 0
    for number, seed in enumerate(SEEDS, 1):
        episode = TASK.sample(seed)
        rearrange(simulator, episode.scene)
        recorder.scene(tick / CONTROL_HZ, episode.scene)
        recorder.state(tick / CONTROL_HZ, simulator.qpos)
        expert.reset(simulator, episode.goal)
        tracker, start_s = TASK.tracker(episode.goal), tick / CONTROL_HZ
        for camera in robot.camera_names:
            rgb = renderer.render(episode.scene, simulator.qpos, camera)
            told = episode.instruction
            recorder.frame(
                Frame(time_s=start_s, camera=camera, number=number, instruction=told, q=simulator.q, rgb=rgb)
            )
        while not (status := tracker.update(simulator)).success:
            now_s = tick / CONTROL_HZ
            assert now_s - start_s < TASK.time_limit_s
            q, _ = expert.command(simulator)
            recorder.command(now_s, q)
            recorder.measured(now_s, simulator.q)
            recorder.distance(now_s, status.distance_m)
            if tick % STATE_TICKS == 0:
                recorder.state(now_s, simulator.qpos)
            simulator.step(q)
            tick += 1
        tries.append(
            Try(
                number=number,
                instruction=episode.instruction,
                seed=seed,
                start_s=start_s,
                end_s=tick / CONTROL_HZ,
                outcome=Outcome.DONE,
                distance_m=status.distance_m,
            )
        )
    renderer.close()
    end_s = tick / CONTROL_HZ
    return recorder.finish(
        bundle_id="expert",
        source="expert",
        task=TASK.name,
        seed=3,
        duration_s=end_s,
        tries=tuple(tries),
        kills=(),
        nodes=(),
    )


def test_each_time_has_its_scene(recording: Recording) -> None:
    first, second = recording.tries
    assert recording.scene_at(0.0) == TASK.sample(SEEDS[0]).scene
    assert recording.scene_at(first.end_s - 0.01).seed == first.seed
    assert recording.scene_at(second.start_s).seed == second.seed
    assert recording.scene_at(1e3).seed == second.seed


def test_the_truth_is_that_of_the_moment(recording: Recording) -> None:
    truth = Truth(recording)
    for one in recording.tries:
        scene = TASK.sample(one.seed).scene
        before, goal = truth.focus(one.start_s, one.instruction)
        thing = scene.objects[goal.steps[0].object]
        np.testing.assert_allclose(before.source[:2], (thing.x, thing.y), atol=2e-3)
        after, _ = truth.focus(one.end_s - 0.01, one.instruction)
        np.testing.assert_array_equal(after.place, before.place)
        assert np.linalg.norm(after.source[:2] - after.place[:2]) < 0.055


def test_the_page_shows_where_things_should_go(recording: Recording, robot: RobotConfig, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny", robot, TASK.corpus(), tasks=("pick_place",), max_tokens=18)
    views = sights(recording, load_bundle(tmp_path / "tiny", robot))
    assert [view.placed for view in views] == [True, True]
    page = tmp_path / "report.html"
    write_report(page, recording, summarise_demo(recording), views)
    text = page.read_text(encoding="utf-8")
    assert "Square: where that should truly go" in text
    assert measure("pick_place").distance in text
    assert all(f"(scene {one.seed})" in text for one in recording.tries)
    assert "cube’s" not in text


def test_the_film_changes_scenes_with_the_run(recording: Recording, tmp_path: Path) -> None:
    cut_s = recording.tries[0].end_s
    path = tmp_path / "film.gif"
    write_film(recording, path, start_s=cut_s - 0.2, end_s=cut_s + 0.3)
    with Pillow.open(path) as gif:
        pictures = []
        for i in range(gif.n_frames):
            gif.seek(i)
            pictures.append(np.asarray(gif.convert("RGB"), dtype=np.float64)[:300])
    changes = [np.abs(a - b).mean() for a, b in zip(pictures, pictures[1:], strict=False)]
    assert max(changes) > 4 * np.median(changes)


def test_the_timeline_has_a_limit_only_where_a_distance_decides(recording: Recording) -> None:
    assert set(MEASURES) == set(TASKS)
    assert "reached" not in plots.timeline(recording)
    assert measure("a task to come").limit_m is None


def test_a_span_has_the_colour_that_is_named_first() -> None:
    first = plots.color_of("before you put the green can on the plate, put the red cube in the bowl")
    assert first == plots.color_of("touch the green cube")
    assert first != plots.color_of("sing")
