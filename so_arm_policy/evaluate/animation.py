"""Episodes as moving pictures."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Image
from so_arm_policy.evaluate.rollout import EpisodeResult, Step
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks.task import Episode

WIDTH, HEIGHT = 320, 240
EVERY_TICKS = 8
LAST_PICTURE_MS = 1000


class GifRecorder:
    """Subscriber that writes one GIF for each episode: all cameras side by side, in real time, its end held."""

    def __init__(self, robot: RobotConfig, folder: Path) -> None:
        """Write into `folder`, which is made where it is missing."""
        self._folder = folder
        self._cameras = robot.camera_names
        self._renderer = SceneRenderer(robot, width=WIDTH, height=HEIGHT)
        self._scene: Scene | None = None
        self._pictures: list[Image] = []

    def on_start(self, episode: Episode) -> None:
        """Begin a new GIF."""
        self._scene = episode.scene
        self._pictures = []

    def on_step(self, step: Step) -> None:
        """Draw every few ticks."""
        if step.tick % EVERY_TICKS == 0 and self._scene is not None:
            views = [self._renderer.render(self._scene, step.qpos, camera) for camera in self._cameras]
            self._pictures.append(np.concatenate(views, axis=1))

    def on_end(self, result: EpisodeResult) -> None:
        """Write `<seed>_<success|failure>.gif`."""
        if not self._pictures:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{result.seed}_{'success' if result.success else 'failure'}.gif"
        durations = [1000 * EVERY_TICKS / CONTROL_HZ] * (len(self._pictures) - 1) + [LAST_PICTURE_MS]
        imageio.imwrite(path, np.stack(self._pictures), extension=".gif", duration=durations, loop=0)

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()
