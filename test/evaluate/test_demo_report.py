"""Figures, plots, film and page of a run that really happened: the scripted expert in the in-process simulator."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from so_arm_policy.core.errors import InputError, ShapeError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate import plots
from so_arm_policy.evaluate.demo_summary import summarise_demo, table
from so_arm_policy.evaluate.film import write_film
from so_arm_policy.evaluate.recorder import NodeHistory, Recorder
from so_arm_policy.evaluate.recording import Frame, Kill, Outcome, Recording, Series, Try
from so_arm_policy.evaluate.report import write_report
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout, Step
from so_arm_policy.evaluate.scripted_agents import expert_agent
from so_arm_policy.evaluate.sight import sights
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.tasks.task import Episode, Task

EPISODES = 3


class Tape:
    """Subscriber that feeds a Recorder, one episode after another on one time axis."""

    def __init__(self, recorder: Recorder, robot: RobotConfig) -> None:
        self.recorder, self.tries, self.ticks, self.passed = recorder, [], 0, 0
        self.history = NodeHistory("safety_supervisor")
        self.renderer = SceneRenderer(robot)
        self.counts: dict[str, int] = {}

    @property
    def now_s(self) -> float:
        return self.ticks / CONTROL_HZ

    def on_start(self, episode: Episode) -> None:
        self.episode, self.start_s = episode, self.now_s

    def on_step(self, step: Step) -> None:
        now_s, recorder = self.now_s, self.recorder
        if step.verdict.command is not None:
            recorder.command(now_s, step.verdict.command)
        recorder.measured(now_s, step.sample.q)
        recorder.distance(now_s, step.status.distance_m)
        recorder.mode(now_s, step.verdict.mode.name, step.verdict.text)
        if step.tick % 4 == 0:
            recorder.state(now_s, step.qpos)
        if step.tick == 0:
            for camera in ("overhead", "wrist"):
                self.keep_picture(step, camera)
        if step.verdict.code:
            self.counts[step.verdict.code] = self.counts.get(step.verdict.code, 0) + 1
        else:
            self.passed += 1
        recorder.verdicts(self.passed, self.counts)
        self.ticks += 1

    def keep_picture(self, step: Step, camera: str) -> None:
        rgb = self.renderer.render(self.episode.scene, step.qpos, camera)
        number, told = len(self.tries) + 1, self.episode.instruction
        frame = Frame(time_s=self.now_s, camera=camera, number=number, instruction=told, q=step.sample.q, rgb=rgb)
        self.recorder.frame(frame)

    def on_end(self, result: EpisodeResult) -> None:
        outcome = Outcome.DONE if result.success else Outcome.FAILED
        self.tries.append(
            Try(
                number=len(self.tries) + 1,
                instruction=result.instruction,
                seed=result.seed,
                start_s=self.start_s,
                end_s=self.now_s,
                outcome=outcome,
                distance_m=result.final_distance_m,
            )
        )


@pytest.fixture(scope="module")
def recording(robot: RobotConfig, task: Task) -> Recording:
    first = task.sample(7)
    rollout = Rollout(task, robot, expert_agent(task, robot))
    recorder = Recorder(robot, first.scene, state_size=27)
    tape = Tape(recorder, robot)
    history = NodeHistory("safety_supervisor")
    before = {"ticks": "100", "ticks_missed": "2", "lateness_histogram_10us": '{"5": 98, "900": 2}'}
    history.hear(before, recording=False)
    for told in task.instructions(first.scene)[:EPISODES]:
        rollout.run(replace(first, instruction=told, goal=task.meaning(first.scene, told)), [tape])
    rollout.close()
    tape.renderer.close()
    ticks = 100 + tape.ticks
    lateness = json.dumps({"5": ticks - 2, "900": 2})
    history.hear({"ticks": str(ticks), "ticks_missed": "3", "lateness_histogram_10us": lateness}, recording=True)
    return recorder.finish(
        bundle_id="expert",
        source="expert",
        task=task.name,
        seed=7,
        duration_s=tape.now_s,
        tries=tuple(tape.tries),
        kills=(),
        nodes=(history.record(starts=1, rss_mib=12.5),),
    )


class Links(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        assert tag not in ("script", "link", "iframe"), tag


def test_the_expert_did_everything_and_the_figures_say_so(recording: Recording) -> None:
    summary = summarise_demo(recording)
    assert (summary.tasks_done, summary.tasks_tried) == (EPISODES, EPISODES)
    assert summary.problems == ()
    assert summary.command_hz == pytest.approx(CONTROL_HZ)
    assert summary.ticks == len(recording.commands)
    assert summary.ticks_missed == 1
    assert summary.lateness_p50_ms == pytest.approx(0.06)
    assert summary.passed + sum(summary.verdicts.values()) == len(recording.commands)
    assert summary.inference_hz is None
    assert json.dumps(to_mapping(summary), allow_nan=False)
    assert all(row.name and row.value for row in table(summary))


def test_what_is_not_good_enough_is_named(recording: Recording) -> None:
    failed = tuple(replace(t, outcome=Outcome.FAILED) for t in recording.tries)
    assert "0 of 3 tasks" in summarise_demo(replace(recording, tries=failed)).problems[0]
    assert "0 of 0 tasks" in summarise_demo(replace(recording, tries=())).problems[0]
    slow = Series(recording.commands.times_s * 1.02, recording.commands.values)
    arrivals = {**recording.arrivals, "joint_command": slow.times_s}
    problems = summarise_demo(replace(recording, commands=slow, arrivals=arrivals)).problems
    assert problems == ("commands came at 117.6 Hz, expected 120 Hz +- 1%",)
    assert summarise_demo(replace(recording, failure="camera kept dying")).problems == ("camera kept dying",)


def test_a_recording_of_another_robot_is_refused(recording: Recording) -> None:
    with pytest.raises(ShapeError, match="commands"):
        replace(recording, commands=Series(np.zeros(2), np.zeros((2, 12))))


def test_the_page_needs_nothing_else(recording: Recording, bundle: Bundle, tmp_path: Path) -> None:
    film, page = tmp_path / "demo.gif", tmp_path / "report.html"
    write_film(recording, film, end_s=1.0)
    killed = replace(recording, kills=(Kill(node="system1", time_s=1.0),))
    summary = summarise_demo(killed)
    write_report(page, killed, summary, sights(killed, bundle), film)
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert all(link.startswith(("data:", "#")) for link in links.found)
    assert not re.search(r"url\((?!['\"]?(#|data:))", text)
    assert text.index("The arm did its job") < text.index("<svg")
    assert text.count("<svg") == 5  # timeline, kill, punctuality, joints, messages
    assert "What System 2 looks at" in text


def test_a_page_of_an_empty_run_says_what_is_wrong(recording: Recording, tmp_path: Path) -> None:
    nothing = Series(np.zeros(0), np.zeros((0, 1)))
    joints = Series(np.zeros(0), np.zeros((0, len(recording.robot.joints))))
    empty = replace(
        recording,
        commands=joints,
        measured=joints,
        states=nothing,
        distance=nothing,
        arrivals={},
        modes=(),
        tries=(),
        frames=(),
        nodes=(),
        failure="simulator kept <dying>",
    )
    page = tmp_path / "report.html"
    write_report(page, empty, summarise_demo(empty))
    text = page.read_text(encoding="utf-8")
    assert "Not good enough" in text
    assert "simulator kept &lt;dying&gt;" in text
    with pytest.raises(InputError, match="no simulator states"):
        write_film(empty, tmp_path / "none.gif")


def test_the_film_moves_in_real_time(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    write_film(recording, path, end_s=2.0)
    with Pillow.open(path) as gif:
        pictures, shown_ms = [], 0
        for i in range(gif.n_frames):
            gif.seek(i)
            shown_ms += gif.info["duration"]
            pictures.append(np.asarray(gif.convert("RGB"), dtype=np.float64))
    assert shown_ms == 2000
    assert np.abs(pictures[0] - pictures[-1]).mean() > 0.5


def test_plots_are_svg_of_their_own(recording: Recording) -> None:
    for svg in (plots.timeline(recording), plots.joints(recording), plots.heartbeat(recording)):
        assert svg.startswith("<svg")
        assert svg.rstrip().endswith("</svg>")
    assert len(plots.joints(recording)) < 600_000
