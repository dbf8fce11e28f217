"""What System 2 makes of the pictures of a run: where it looks, and where it takes the named object to be.

Computed after the run from the recorded pictures, so that it costs the run nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import CUBE_SIZE_M
from so_arm_policy.core.values import CameraImage, Image, JointSample
from so_arm_policy.evaluate.recording import Frame, Recording
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.system2 import System2
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.model import standing_camera
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Focus

OVERHEAD = "overhead"
GROUND_SHADE = 0.45  # brightness of what is not attended to at all


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """System 2's view at the beginning of one try.

    pictures: camera -> (height, width, 3) uint8 with what it attends to lit up, and in the overhead one a ring where it
    takes the object to be that comes next. error_m: from there to where that truly was, in the table's plane.
    placed: whether the object should go somewhere, which is marked by a square.
    """

    instruction: str
    pictures: Mapping[str, Image] = field(repr=False)
    error_m: float
    placed: bool


class Truth:
    """Where things truly were in a run: its states put into a simulator."""

    def __init__(self, recording: Recording) -> None:
        """Compile the model."""
        self._recording = recording
        self._task = make_task(recording.task)
        self._simulator = Simulator(recording.robot, recording.scenes[0].scene)

    def focus(self, time_s: float, instruction: str) -> tuple[Focus, Goal]:
        """Return what mattered at `time_s`, and what `instruction` meant. Raises InputError where it did not fit."""
        simulator, scene = self._simulator, self._recording.scene_at(time_s)
        simulator.reset(scene)
        qpos = self._recording.states.before(time_s)
        if qpos is not None:
            simulator.data.qpos[:] = qpos
            mujoco.mj_forward(simulator.model, simulator.data)
        goal = self._task.meaning(scene, instruction)
        return self._task.focus(simulator, goal), goal


def sights(recording: Recording, bundle: Bundle, most: int = 6) -> list[Sight]:
    """Return what System 2 saw at the beginning of the first tries. Raises BundleError or InputError."""
    system2, truth = System2(bundle, recording.robot), Truth(recording)
    found = []
    for number in sorted({frame.number for frame in recording.frames})[:most]:
        first: dict[str, Frame] = {}
        for frame in recording.frames:
            if frame.number == number:
                first.setdefault(frame.camera, frame)
        if set(bundle.manifest.cameras) <= set(first):
            found.append(_sight(recording, truth, bundle, system2, first))
    return found


def _sight(recording: Recording, truth: Truth, bundle: Bundle, system2: System2, frames: Mapping[str, Frame]) -> Sight:
    any_frame = next(iter(frames.values()))
    images = {name: CameraImage(camera=name, stamp_ns=1, rgb=frame.rgb) for name, frame in frames.items()}
    sample = JointSample(stamp_ns=1, received_ns=1, q=any_frame.q, dq=np.zeros_like(any_frame.q))
    system2.encode_again(images, any_frame.instruction, sample)
    assert system2.last_attention is not None
    assert system2.last_grounding is not None
    pictures = {
        name: lit_up(frames[name].rgb, attention, float(system2.last_attention.max()))
        for name, attention in zip(bundle.manifest.cameras, system2.last_attention, strict=True)
    }
    point = system2.last_grounding
    focus, goal = truth.focus(any_frame.time_s, any_frame.instruction)
    placed = any(step.place is not None for step in goal.steps)
    if OVERHEAD in pictures:
        seen = np.stack([point, focus.place])
        scene = recording.scene_at(any_frame.time_s)
        ring, square = standing_camera(recording.robot.camera(OVERHEAD), scene).shares(seen)
        if np.isfinite(ring).all():  # an untrained network may take it to be behind the camera
            _ring(pictures[OVERHEAD], ring)
        if placed:
            _square(pictures[OVERHEAD], square)
    error_m = float(np.linalg.norm(point[:2] - focus.source[:2]))
    return Sight(instruction=any_frame.instruction, pictures=pictures, error_m=error_m, placed=placed)


def lit_up(rgb: Image, attention: npt.NDArray[np.float32], most: float, scale: int = 2) -> Image:
    """Return the picture, `scale` times as large, dark where nothing is attended to.

    attention: (rows, columns); most: the attention that is fully lit.
    """
    height, width = rgb.shape[0] * scale, rgb.shape[1] * scale
    large = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    weight = cv2.resize(np.asarray(attention, dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    weight = np.clip(weight / max(most, 1e-9), 0.0, 1.0)[..., None]
    shade = GROUND_SHADE + (1.0 - GROUND_SHADE) * np.sqrt(weight)
    glow = np.array([60.0, 45.0, 0.0]) * weight**2
    lit: Image = np.clip(large * shade + glow, 0, 255).astype(np.uint8)
    return lit


def _ring(picture: Image, place: FloatArray) -> None:
    """Draw a ring at `place`, column and row as 0..1, about as wide as a cube appears."""
    center, radius = _spot(picture, place)
    cv2.circle(picture, center, radius, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.circle(picture, center, radius + 2, (20, 20, 20), 1, cv2.LINE_AA)


def _square(picture: Image, place: FloatArray) -> None:
    """Draw a square at `place`, column and row as 0..1, a little larger than the ring."""
    (x, y), half = _spot(picture, place)
    for size, color, width in ((half + 2, (255, 255, 255), 2), (half + 4, (20, 20, 20), 1)):
        cv2.rectangle(picture, (x - size, y - size), (x + size, y + size), color, width, cv2.LINE_AA)


def _spot(picture: Image, place: FloatArray) -> tuple[tuple[int, int], int]:
    """Return the pixel of `place` and about half of the width of a cube there."""
    height, width = picture.shape[:2]
    return (round(float(place[0]) * width), round(float(place[1]) * height)), round(CUBE_SIZE_M * height / 0.3)
