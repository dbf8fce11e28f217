"""How far a bundle, run as it will be run, is from LeRobot's own output for the same observations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.lerobot_policies.reference import Reference, Seen
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2

BOUND_RAD = 1e-4  # a servo's tick is 1.5e-3 rad
DRAWS = 3
FASTEST_RAD = 0.02  # a row, of the motion under way in a draw


@dataclass(frozen=True)
class Parity:
    """Of `draws` random observations, the largest difference and the largest position that was said, rad.

    spread_rad: how far what was said differs from one observation to another, so how much the comparison can tell.
    """

    draws: int
    largest_rad: float
    reach_rad: float
    spread_rad: float


def measure(
    bundle: Bundle, robot: RobotConfig, reference: Reference, instructions: Sequence[str], history: int
) -> Parity:
    """Compare positions after the prefix, which no LeRobot policy has. Raises BundleError above BOUND_RAD.

    Pictures are random, of the robot's cameras; System 2 and System 1 of policy/ run the bundle, with the noise that
    System 1 draws. history: observations that the policy looks at.
    """
    rng = np.random.default_rng(0)
    system2, system1 = System2(bundle, robot), System1(bundle, robot)
    manifest, differences, said = bundle.manifest, [], []
    for draw in range(DRAWS):
        system1.reset(draw)
        stamp_ns = (draw + 1) * NS
        images = {name: _picture(robot, name, stamp_ns, rng) for name in manifest.cameras}
        q = rng.uniform(robot.lower, robot.upper)
        sample = JointSample(stamp_ns=stamp_ns, received_ns=stamp_ns, q=q, dq=np.zeros_like(q))
        step = rng.uniform(-FASTEST_RAD, FASTEST_RAD, len(robot.joints))
        prefix = (sample.q + np.arange(manifest.prefix)[:, None] * step).astype(np.float32)
        instruction = instructions[draw % len(instructions)]
        context = system2.encode(images, instruction, sample)
        request = system1.request_again(stamp_ns, draw, sample, context, prefix, None)
        got = system1.infer(request).positions[manifest.prefix :]
        seen = Seen(
            images=np.stack([resize(i.rgb, manifest.image_height, manifest.image_width) for i in images.values()]),
            states=np.array([sample.q - ago * step for ago in range(history - 1, -1, -1)]),
            instruction=instruction,
            noise=request.noise if manifest.noise_std else None,
        )
        expected = reference.chunk(seen)[manifest.prefix :]
        differences.append(float(np.abs(got - expected).max()))
        said.append(expected)
    reach, spread = float(np.abs(said).max()), float(np.ptp(said, axis=0).max())
    parity = Parity(DRAWS, max(differences), reach, spread)
    if not parity.largest_rad <= BOUND_RAD * max(1.0, reach):
        raise BundleError(f"bundle differs from lerobot by {parity.largest_rad:.2e} rad, expected {BOUND_RAD:.0e}")
    return parity


def _picture(robot: RobotConfig, name: str, stamp_ns: int, rng: np.random.Generator) -> CameraImage:
    camera = robot.camera(name)
    rgb = rng.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    return CameraImage(camera=name, stamp_ns=stamp_ns, rgb=rgb)
