"""What System 2 makes of the pictures of a run: where it looks, and where it takes the named object to be.

Computed after the run from the recorded pictures, so that it costs the run nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import ArmConfig
from so_arm_policy.core.values import CameraImage, Image, JointSample
from so_arm_policy.evaluate.recording import Frame, Recording
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.system2 import System2
from so_arm_policy.sim.model import overhead_pixel
from so_arm_policy.sim.objects import CUBE_SIZE_M
from so_arm_policy.sim.tasks import make_task

OVERHEAD = "overhead"
GROUND_SHADE = 0.45  # brightness of what is not attended to at all


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """System 2's view at the beginning of one try.

    pictures: camera -> (height, width, 3) uint8 with what it attends to lit up, and in the overhead one a ring where it
    takes the object to be. error_m: from there to where that truly was at first, in the table's plane.
    """

    instruction: str
    pictures: Mapping[str, Image] = field(repr=False)
    error_m: float


def sights(recording: Recording, bundle: Bundle, most: int = 6) -> list[Sight]:
    """Return what System 2 saw at the beginning of the first tries. Raises BundleError or InputError."""
    system2 = System2(bundle, recording.robot)
    found = []
    for number in sorted({frame.number for frame in recording.frames})[:most]:
        first: dict[str, Frame] = {}
        for frame in recording.frames:
            if frame.number == number:
                first.setdefault(frame.camera, frame)
        if set(bundle.manifest.cameras) <= set(first):
            found.append(_sight(recording, bundle, system2, first))
    return found


def _sight(recording: Recording, bundle: Bundle, system2: System2, frames: Mapping[str, Frame]) -> Sight:
    any_frame = next(iter(frames.values()))
    images = {name: CameraImage(camera=name, stamp_ns=1, rgb=frame.rgb) for name, frame in frames.items()}
    sample = JointSample(stamp_ns=1, received_ns=1, q=any_frame.q, dq=np.zeros_like(any_frame.q))
    system2.encode(images, any_frame.instruction, sample)
    assert system2.last_attention is not None
    assert system2.last_grounding is not None
    pictures = {
        name: lit_up(frames[name].rgb, attention, float(system2.last_attention.max()))
        for name, attention in zip(bundle.manifest.cameras, system2.last_attention, strict=True)
    }
    point = in_world(recording.robot.arms[0], system2.last_grounding)
    if OVERHEAD in pictures:
        _ring(pictures[OVERHEAD], overhead_pixel(recording.robot.camera(OVERHEAD), point, recording.scene))
    goal = make_task(recording.task).meaning(recording.scene, any_frame.instruction)
    thing = recording.scene.objects[goal.steps[0].object]
    error_m = math.hypot(point[0] - thing.x, point[1] - thing.y)
    return Sight(instruction=any_frame.instruction, pictures=pictures, error_m=error_m)


def in_world(arm: ArmConfig, point: FloatArray) -> FloatArray:
    """Return a point (3,) m of the arm's base frame in the world frame."""
    c, s = math.cos(arm.base_yaw), math.sin(arm.base_yaw)
    R_world_base = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return R_world_base @ point + np.array(arm.base_xyz)


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
    height, width = picture.shape[:2]
    center = (round(float(place[0]) * width), round(float(place[1]) * height))
    radius = round(CUBE_SIZE_M * height / 0.3)
    cv2.circle(picture, center, radius, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.circle(picture, center, radius + 2, (20, 20, 20), 1, cv2.LINE_AA)
