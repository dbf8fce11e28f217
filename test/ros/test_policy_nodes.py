"""System 2 and System 1 as nodes: what they wait for, refuse and do."""

from dataclasses import replace

import numpy as np
from ros_world import NAMES, ROBOT, N, diagnostics_of, joints, now_ns, repeat, wait_until
from sensor_msgs.msg import Image
from so_arm_policy.msg import SceneContext
from std_msgs.msg import String
from tiny_bundle import write_tiny_bundle

from so_arm_policy.core.values import CameraImage, Context
from so_arm_policy.policy.appearance import appearance, fit_appearance
from so_arm_policy.policy.monitors import Monitors, keep_monitors
from so_arm_policy.policy.novelty import fit
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.system1_node import System1Node
from so_arm_policy.ros.system2_node import System2Node


def changed(msg, changes):
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


def picture(camera, **changes):
    rgb = np.full((camera.height, camera.width, 3), 128, np.uint8)
    image = CameraImage(camera=camera.name, stamp_ns=now_ns(), rgb=rgb)
    return changed(convert.image_msg(image, camera.frame_id), changes)


def test_system2_waits_refuses_what_it_cannot_use_and_then_encodes(policy_graph):
    graph = policy_graph
    node = graph.run(System2Node())
    contexts = graph.hear(topics.CONTEXT)
    cameras = {c.name: graph.say(topics.image(c.name)) for c in ROBOT.cameras}
    say_joints, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    wait_until(lambda: "instruction" in node.facts()["waiting_for"])

    def see(until):
        def make():
            for camera in ROBOT.cameras:
                cameras[camera.name](picture(camera))
            return joints()

        repeat(say_joints, make, until)

    for number, change in enumerate(({"encoding": "mono8"}, {"width": 4}, {"step": 1}), 1):
        cameras["wrist"](picture(ROBOT.camera("wrist"), **change))
        wait_until(lambda number=number: node.counts["errors: wrist/image_raw"] == number)
    cameras["wrist"](Image())
    for text in ("", "   ", "fold the laundry", "touch the red cube " * 50):
        before = node.counts["errors: encode"]
        instruct(String(data=text))
        see(lambda before=before: node.counts["errors: encode"] > before)
    assert contexts == []
    instruct(String(data="Touch the RED cube."))
    see(lambda: len(contexts) >= 2)
    context = convert.context(contexts[-1])
    assert context.bundle_id == "tiny"
    assert context.stamp_ns == min(context.image_stamps_ns)
    assert contexts[0].sequence < contexts[-1].sequence
    count = node.counts["contexts"]
    wait_until(lambda: node.counts["errors: wrist age"] > 0)
    assert node.counts["contexts"] <= count + 2


def test_system2_says_how_strange_pictures_look_and_refuses_those_that_stand_still(make_graph, tmp_path, robot):
    write_tiny_bundle(tmp_path / "tiny", robot)
    rng, size = np.random.default_rng(0), (12, 16, 3)
    looks = [[appearance(rng.integers(90, 160, size, dtype=np.uint8)) for _ in ROBOT.cameras] for _ in range(40)]
    features = rng.standard_normal((50, 32)).astype(np.float32)
    found = Monitors(fit(features), novelty_threshold=2.0, disagreement_rad=0.1, looks=fit_appearance(np.array(looks)))
    keep_monitors(tmp_path / "tiny", replace(found, looks_thresholds=np.full(len(ROBOT.cameras), 4.0)), {})
    graph = make_graph("-p", f"bundle:={tmp_path / 'tiny'}")
    node = graph.run(System2Node())
    contexts = graph.hear(topics.CONTEXT)
    cameras = {c.name: graph.say(topics.image(c.name)) for c in ROBOT.cameras}
    say_joints, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    instruct(String(data="touch the red cube"))

    def see(rgb_of, until, q=ROBOT.home):
        def make():
            for camera in ROBOT.cameras:
                image = CameraImage(camera=camera.name, stamp_ns=now_ns(), rgb=rgb_of(camera))
                cameras[camera.name](convert.image_msg(image, camera.frame_id))
            return joints(q)

        repeat(say_joints, make, until)

    def table(camera):  # as large as the policy's pictures, so that no mean takes the grain away
        small = rng.integers(90, 160, size, dtype=np.uint8)
        return small.repeat(camera.height // 12, axis=0).repeat(camera.width // 16, axis=1)

    see(table, lambda: len(contexts) > 2)
    assert 0.0 < contexts[-1].novelty < 1.0
    see(lambda camera: table(camera) // 8, lambda: contexts[-1].novelty > 1.0)
    wait_until(lambda: node.facts()["novelty of pictures"] == contexts[-1].novelty)
    still = {camera.name: table(camera) for camera in ROBOT.cameras}
    heard = len(contexts)
    see(lambda camera: still[camera.name], lambda: len(contexts) > heard + 2)
    away = ROBOT.home + 0.3
    see(lambda camera: still[camera.name], lambda: node.counts["errors: encode"] > 2, away)
    assert "got the same picture for" in diagnostics_of(node).message
    heard = len(contexts)
    see(table, lambda: len(contexts) > heard + 2, away)


def a_context(bundle_id="tiny", **changes):
    stamp = now_ns()
    context = Context(
        bundle_id=bundle_id,
        sequence=0,
        stamp_ns=stamp,
        instruction="touch the red cube",
        keys_values=np.full((2, 2, 1, 4, 8), 0.1, np.float32),
        image_stamps_ns=(stamp, stamp),
    )
    return changed(convert.context_msg(context), changes)


def test_system1_is_silent_without_a_usable_context_and_proposes_with_one(policy_graph):
    graph = policy_graph
    node = graph.run(System1Node())
    heard, chunks = graph.hear(topics.proposal("system1")), graph.hear(topics.CHUNK)
    say_joints, say_context = graph.say(topics.JOINT_STATES), graph.say(topics.CONTEXT)
    repeat(say_joints, joints, lambda: node.loop.ticks > 30)
    assert node.facts()["waiting_for"] == "system2/context"
    say_context(SceneContext())
    wait_until(lambda: node.counts["errors: system2/context"] == 1)
    for bad in ({"bundle_id": "another"}, {"data": np.full(256, np.nan, "<f4").tobytes()}):
        before = node.counts["errors: request"]
        say_context(a_context(**bad))
        repeat(say_joints, joints, lambda before=before: node.counts["errors: request"] > before)
    assert heard == []
    say_context(a_context())
    repeat(say_joints, joints, lambda: len(heard) > 20 and len(chunks) > 3)
    assert heard[-1].joint_names == NAMES
    assert convert.chunk(chunks[-1], ROBOT).positions.shape == (16, N)
    # A command names the oldest thing it follows from: the picture.
    oldest = [convert.stamp_ns(m.observation_stamp) for m in heard]
    assert all(at <= convert.stamp_ns(m.header.stamp) for at, m in zip(oldest, heard, strict=True))
    wait_until(lambda: node.counts["errors: silent"] > 0)


def test_proposals_of_a_calibrated_bundle_carry_what_its_monitors_say(make_graph, tmp_path, robot):
    write_tiny_bundle(tmp_path / "tiny", robot)
    seen = np.random.default_rng(0).standard_normal((50, 32)).astype(np.float32)
    keep_monitors(tmp_path / "tiny", Monitors(fit(seen), novelty_threshold=2.0, disagreement_rad=0.1), {})
    graph = make_graph("-p", f"bundle:={tmp_path / 'tiny'}")
    node = graph.run(System1Node())
    heard = graph.hear(topics.proposal("system1"))
    say_joints, say_context = graph.say(topics.JOINT_STATES), graph.say(topics.CONTEXT)
    familiar = a_context()

    def see(msg, until):
        stamp = now_ns()
        msg.header.stamp = convert.time_msg(stamp)
        say_context(msg)
        repeat(say_joints, joints, until)

    see(familiar, lambda: len(heard) > 20)
    assert 0.0 < heard[-1].novelty < 1.0
    strange = a_context(data=np.full(128, 30.0, "<f4").tobytes())
    see(strange, lambda: heard[-1].novelty > 5.0)
    assert node.facts()["monitored"]
