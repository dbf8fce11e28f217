"""Episodes run again from their seeds, checked against their digests, and drawn as small moving pictures."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, SoArmError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.failures import error_reason
from so_arm_policy.evaluate.compare.page.choice import Choice
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.controllers import controller
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout, Step
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks.task import Episode

FOLDER = "clips"
WIDTH, HEIGHT = 320, 240
INSET_WIDTH, INSET_HEIGHT, BORDER = 88, 66, 4
EVERY_TICKS = 10  # 12 pictures a simulated second
LAST_PICTURE_MS = 1200
MOST_BYTES = 200_000
# Quality of WebP, and every how many pictures one is kept, from the best on; the first that is small enough is taken.
SIZES = ((60, 1), (40, 1), (40, 2), (25, 2), (20, 4), (10, 8))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is shown of an episode. webp: None where it could not be run again; problem: why."""

    choice: Choice
    webp: bytes | None = None
    problem: str = ""


class _States:
    """Subscriber that keeps every few states of an episode, and its last."""

    def __init__(self) -> None:
        self.states: list[FloatArray] = []
        self._last: FloatArray | None = None

    def on_start(self, episode: Episode) -> None:  # noqa: ARG002
        self.states, self._last = [], None

    def on_step(self, step: Step) -> None:
        if step.tick % EVERY_TICKS == 0:
            self.states.append(step.qpos)
        self._last = step.qpos

    def on_end(self, result: EpisodeResult) -> None:  # noqa: ARG002
        if self._last is not None and self.states and self._last is not self.states[-1]:
            self.states.append(self._last)


def clips(choices: Sequence[Choice], settings: Settings, folder: Path) -> Iterator[Clip]:
    """Yield a clip of each choice. Those that `folder` has are not made again: their names hold the digest.

    Nothing that goes wrong with one ends the others. Raises ConfigError where `folder` cannot be written.
    """
    for choice in choices:
        path = folder / _file_name(choice.row)
        if path.is_file():
            yield Clip(choice=choice, webp=path.read_bytes())
            continue
        try:
            webp = _clip(choice.row, settings)
        except SoArmError as error:
            yield Clip(choice=choice, problem=str(error))
            continue
        except Exception as error:  # noqa: BLE001 - whatever a controller raises must not cost the page
            yield Clip(choice=choice, problem=error_reason(error))
            continue
        _write(path, webp)
        yield Clip(choice=choice, webp=webp)


def encode(pictures: Sequence[Pillow.Image], durations_ms: Sequence[int], quality: int) -> bytes:
    """Return pictures as an animated WebP that loops."""
    file = io.BytesIO()
    first, *others = pictures
    first.save(
        file,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=list(durations_ms),
        loop=0,
        quality=quality,
        method=4,
    )
    return file.getvalue()


def small(pictures: Sequence[Pillow.Image], most_bytes: int = MOST_BYTES) -> bytes:
    """Return the pictures, in real time, as the best WebP of at most so many bytes; the smallest where none is."""
    webp = b""
    for quality, every in SIZES:
        kept = [*pictures[:-1:every], pictures[-1]]
        durations = [1000 * EVERY_TICKS * every // CONTROL_HZ] * (len(kept) - 1) + [LAST_PICTURE_MS]
        webp = encode(kept, durations, quality)
        if len(webp) <= most_bytes:
            break
    return webp


def _clip(row: EpisodeRow, settings: Settings) -> bytes:
    task = settings.task(row.task)
    robot = load_robot(task.robot)
    episode = task.sample(row.seed, settings.split)
    rollout = Rollout(task, robot, controller(row.controller).make(task, robot))
    recorder = _States()
    try:
        result = rollout.run(episode, [recorder])
    finally:
        rollout.close()
    if result.digest != row.digest:
        raise ConfigError(f"run again: got digest {result.digest[:12]}, expected {str(row.digest)[:12]}")
    return small(list(_pictures(robot, episode.scene, recorder.states)))


def _pictures(robot: RobotConfig, scene: Scene, states: Iterable[FloatArray]) -> Iterator[Pillow.Image]:
    """Yield the main camera's view of each state, the others inset."""
    large = SceneRenderer(robot, width=WIDTH, height=HEIGHT)
    inset = SceneRenderer(robot, width=INSET_WIDTH, height=INSET_HEIGHT)
    main, *others = robot.camera_names
    try:
        for qpos in states:
            picture = np.array(large.render(scene, qpos, main))
            for i, camera in enumerate(others):
                right, bottom = WIDTH - BORDER - i * (INSET_WIDTH + BORDER), HEIGHT - BORDER
                place = np.s_[bottom - INSET_HEIGHT : bottom, right - INSET_WIDTH : right]
                picture[place] = inset.render(scene, qpos, camera)
            yield Pillow.fromarray(picture)
    finally:
        large.close()
        inset.close()


def _file_name(row: EpisodeRow) -> str:
    # A controller may be the path of a bundle.
    name = "".join(letter if letter.isalnum() else "_" for letter in row.controller)[-40:]
    return f"{row.task}_{name}_{row.seed}_{str(row.digest)[:16]}.webp"


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path}: got {error.strerror}, expected a file that can be written") from error
