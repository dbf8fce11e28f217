"""Feeds the conversion of messages, and the supervisor behind it, with damaged ones: python test/ros/fuzz_messages.py.

Whole messages of every kind that other processes send are damaged in their bytes (flipped, cut, repeated, filled with
what floats and lengths fear) or in their fields. Whatever comes of that must be a value, or one clear error: what a
subscription does with bytes that are no message is DDS's to say, so those only must not end the process.
"""

import argparse
import math
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if __name__ == "__main__":
    from so_arm_policy.ros.environment import prepare

    prepare()

import numpy as np  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from so_arm_policy.msg import ActionChunk, JointCommand, MotorStates, SceneContext  # noqa: E402

from so_arm_policy.core.errors import SoArmError  # noqa: E402
from so_arm_policy.core.values import JointSample, Proposal  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.ros import convert  # noqa: E402
from so_arm_policy.safety.config import SupervisorConfig  # noqa: E402
from so_arm_policy.safety.supervisor import Supervisor  # noqa: E402
from so_arm_policy.safety.values import TickInput  # noqa: E402

ROBOT = load_robot("so101")
NAMES, N = list(ROBOT.joint_names), len(ROBOT.joints)
CAMERA = ROBOT.cameras[0]
PERIOD_NS = 1_000_000_000 // 120
FEARED = [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 2.0**63, 180.0]
WORDS = [b"\xff" * 4, b"\x00" * 4, b"\xff\xff\xff\x7f", b"\x00" * 8, b"\xff" * 8, b"\x00\x00\x00\x00\x00\x00\xf8\x7f"]


def whole_messages():
    """Return one good message of each kind and what turns it into a value."""
    chunk = ActionChunk(joint_names=NAMES, horizon=3, positions=[0.1] * (3 * N))
    chunk.dt.nanosec = PERIOD_NS
    context = SceneContext(bundle_id="tiny", instruction="touch the red cube", dtype="float32", data=bytes(4 * 16))
    context.shape = [1, 2, 1, 1, 8]
    picture = Image(height=CAMERA.height, width=CAMERA.width, encoding="rgb8", step=3 * CAMERA.width)
    picture.data = bytes(picture.step * picture.height)
    motors = MotorStates(joint_names=NAMES, load=[0.1] * N, temperature=[40.0] * N, voltage=[7.4] * N)
    motors.torque_on = [True] * N
    command = JointCommand(source="pid", sequence=1, joint_names=NAMES, position=[0.1] * N, velocity=[0.0] * N)
    command.disagreement, command.novelty = 0.5, 1.5
    return [
        (JointState(name=NAMES, position=[0.1] * N, velocity=[0.0] * N), lambda m: convert.joint_sample(m, ROBOT, 1)),
        (command, lambda m: convert.proposal(m, 1)),
        (motors, lambda m: convert.motor_sample(m, ROBOT, 1)),
        (chunk, lambda m: convert.chunk(m, ROBOT)),
        (context, convert.context),
        (picture, lambda m: convert.camera_image(m, CAMERA)),
    ]


def damaged(raw, rng):
    """Return the bytes of a message, damaged; the encapsulation's four bytes stay."""
    body = bytearray(raw[4:])
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, max(1, min(len(body), 400))))
        kind = rng.integers(0, 5)
        if kind == 0 and body:
            body[at % len(body)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            body[at : at + 1] = WORDS[int(rng.integers(len(WORDS)))]
        elif kind == 2:
            word = WORDS[int(rng.integers(len(WORDS)))]
            body[at : at + len(word)] = word
        elif kind == 3:
            del body[len(body) - at :]
        else:
            body[at:at] = body[at : at + int(rng.integers(1, 16))]
    return bytes(raw[:4]) + bytes(body)


def upset(msg, rng):
    """Put something feared into one of a message's numbers, or lists of numbers or names."""
    fields = [f for f in msg.get_fields_and_field_types() if f.lstrip("_") not in ("header", "data")]
    field = fields[int(rng.integers(len(fields)))]
    value = getattr(msg, field)
    if isinstance(value, float):  # those of messages are float32
        feared = np.array(FEARED, dtype=np.float64)
        with np.errstate(over="ignore"):
            setattr(msg, field, float(feared.astype(np.float32)[int(rng.integers(len(FEARED)))]))
        return
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) == 0:
        return
    at, values = int(rng.integers(len(value))), list(value)
    kind = type(values[at])
    if kind is float:
        values[at] = FEARED[int(rng.integers(len(FEARED)))]
    elif kind is str:
        values[at] = ["", values[0], "nobody", values[at] + "_joint"][int(rng.integers(4))]
    elif rng.random() < 0.5:
        values.append(values[at])
    else:
        del values[at]
    setattr(msg, field, values)


class Supervised:
    """A supervisor that is fed with whatever comes of the damaged messages; its command must stay finite and inside."""

    def __init__(self):
        self.supervisor = Supervisor(SupervisorConfig(), ROBOT, "pid")
        self.now_ns, self.q = 10**9, ROBOT.home.copy()

    def feed(self, value):
        self.now_ns += PERIOD_NS
        sample = JointSample(stamp_ns=self.now_ns, received_ns=self.now_ns, q=self.q, dq=np.zeros(N))
        proposals = {"pid": value} if isinstance(value, Proposal) else {}
        if isinstance(value, JointSample):
            sample = value
        verdict = self.supervisor.step(
            TickInput(now_ns=self.now_ns, ros_now_ns=self.now_ns, sample=sample, proposals=proposals)
        )
        if verdict.command is not None:
            assert np.isfinite(verdict.command).all()
            assert np.abs(verdict.command - self.q).max() <= ROBOT.velocity.max() / 120 + 1e-9
            self.q = verdict.command


def fuzz(inputs, seed):
    """Feed so many damaged messages; returns how they ended. Raises whatever is neither a value nor a clear error."""
    rng, world, ends = np.random.default_rng(seed), Supervised(), Counter()
    kinds = [(type(msg), bytes(serialize_message(msg)), use) for msg, use in whole_messages()]
    for count in range(inputs):
        kind, raw, use = kinds[count % len(kinds)]
        by_bytes = kind is Image or rng.random() < 0.5
        try:
            msg = deserialize_message(damaged(raw, rng) if by_bytes else raw, kind)
        except (RuntimeError, UnicodeDecodeError, MemoryError):
            ends["no message"] += 1
            continue
        if not by_bytes:
            for _ in range(int(rng.integers(1, 4))):
                upset(msg, rng)
        try:
            value = use(msg)
        except SoArmError as error:
            ends["refused" if "got" in str(error) else f"refused without a word of what was got: {error}"] += 1
            continue
        ends["a value"] += 1
        world.feed(value)
    return ends


def main():
    """Fuzz and print how the inputs ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # DDS complains about each
    ends = fuzz(args.inputs, args.seed)
    text = ", ".join(f"{n} {what}" for what, n in ends.most_common())
    sys.stdout.write(f"{args.inputs} damaged messages in {time.monotonic() - began:.0f} s: {text}; nothing else\n")


if __name__ == "__main__":
    main()
