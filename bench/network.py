"""What System 2 on another machine sends over the network: sizes of its messages, times their rates.

    python bench/network.py --bundle so101_flow handover_flow

Messages are made by the nodes' own conversions and serialised as DDS sends them (CDR); pictures are drawn, of as many
scenes as --scenes says, so JPEG sizes are those of simulated pictures. Headers of RTPS, UDP, IP and Ethernet are not
counted: some 100 bytes a packet.
"""

import argparse
import sys

import numpy as np
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from tqdm import tqdm

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import CameraImage, Context
from so_arm_policy.policy.manifest import Manifest, read_manifest
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert
from so_arm_policy.ros.camera_node import CameraNodeConfig
from so_arm_policy.ros.system2_node import System2Config
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

STAMP_NS = 1_700_000_000_123_456_789
JPEG_QUALITY = CameraNodeConfig(device="").jpeg_quality


def size(msg: object) -> int:
    """Bytes of a serialised message."""
    return len(serialize_message(msg))


def context_bytes(manifest: Manifest) -> int:
    """Bytes of a context of this bundle."""
    stamps = (STAMP_NS,) * len(manifest.cameras)
    keys_values = np.zeros(manifest.context_shape, np.float32)
    instruction = "put the red cube into the blue bowl"
    context = Context(
        bundle_id=manifest.id,
        sequence=0,
        stamp_ns=STAMP_NS,
        instruction=instruction,
        keys_values=keys_values,
        image_stamps_ns=stamps,
        observation_stamp_ns=STAMP_NS,
        inference_ms=5.0,
    )
    return size(convert.context_msg(context))


def pictures(manifest: Manifest, robot: RobotConfig, scenes: int) -> dict[str, tuple[int, list[int]]]:
    """Bytes of a raw picture, and of as many JPEG as there are scenes, of each camera of the bundle."""
    task = make_task(manifest.tasks[0])
    found: dict[str, tuple[int, list[int]]] = {}
    renderer = SceneRenderer(robot)
    for seed in tqdm(range(scenes), desc="drawing", unit="scene"):
        scene = task.sample(seed).scene
        qpos = Simulator(robot, scene).qpos
        for name in manifest.cameras:
            rgb = renderer.render(scene, qpos, name)
            image = CameraImage(camera=name, stamp_ns=STAMP_NS, rgb=rgb)
            frame = robot.camera(name).frame_id
            raw = size(convert.image_msg(image, frame))
            jpeg = size(convert.compressed_image_msg(image, frame, JPEG_QUALITY))
            found.setdefault(name, (raw, []))[1].append(jpeg)
    renderer.close()
    return found


def print_row(what: str, each: float, rate: float) -> float:
    """Print one message; return its Mbit/s."""
    mbit = each * rate * 8 / 1e6
    print(f"  {what:42s} {each:8.0f} B  x {rate:5.0f} Hz = {mbit:8.3f} Mbit/s")
    return mbit


def report(name: str, scenes: int) -> None:
    """Print what goes to System 2 and what comes back."""
    manifest = read_manifest(find_shipped("bundles", name))
    robot = load_robot(manifest.robot)
    drawn = pictures(manifest, robot, scenes)
    print(f"\n{manifest.id}: context {manifest.context_shape}")
    print(" to System 2")
    to = sum(print_row(f"{camera}/image_raw", raw, robot.camera(camera).fps) for camera, (raw, _) in drawn.items())
    q = np.asarray(robot.home)
    to += print_row("joint_states", size(convert.joint_state(robot, STAMP_NS, q, np.zeros_like(q))), CONTROL_HZ)
    print_row("instruction (once)", size(String(data="put the red cube into the blue bowl")), 0)
    print(f"  {'in all':42s} {'':8s}                {to:8.3f} Mbit/s")
    print(" from System 2")
    print_row("system2/context", context_bytes(manifest), System2Config().rate_hz)
    print(f" for comparison, JPEG of quality {JPEG_QUALITY}, mean of {scenes} scenes")
    for camera, (_, sizes) in drawn.items():
        print_row(f"{camera}/image_raw/compressed", float(np.mean(sizes)), robot.camera(camera).fps)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", nargs="+", default=["so101_flow"], help="shipped bundles, or folders")
    parser.add_argument("--scenes", type=int, default=20, help="scenes drawn for the sizes of JPEG")
    args = parser.parse_args()
    try:
        for name in args.bundle:
            report(name, args.scenes)
    except SoArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
