"""One stack shared out between two `so-arm up`, as between two machines."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from ros_world import ROBOT, now_ns, wait_until
from so_arm_policy.msg import SafetyStatus
from std_msgs.msg import String

from so_arm_policy.core.values import CameraImage
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.environment import ros_environment

NODES = ("mock_robot", "system2", "system1", "safety_supervisor")


def up(bundle, *options):
    arguments = ["--robot=mock", "--cameras=none", f"--bundle={bundle}", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "so_arm_policy.cli", "up", *arguments],
        env=ros_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def picture(camera):
    rgb = np.full((camera.height, camera.width, 3), 128, np.uint8)
    return convert.image_msg(CameraImage(camera=camera.name, stamp_ns=now_ns(), rgb=rgb), camera.frame_id)


@pytest.fixture
def machines(bundle):
    started = {"arm": up(bundle, "--without=system2"), "eyes": up(bundle, "--only=system2")}
    yield started
    for process in started.values():
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process):
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_system2_elsewhere_makes_the_arm_follow_and_without_it_the_arm_holds(graph, machines):
    statuses, contexts = graph.hear(topics.SAFETY_STATUS), graph.hear(topics.CONTEXT)
    cameras = [(camera, graph.say(topics.image(camera.name))) for camera in ROBOT.cameras]
    graph.say(topics.INSTRUCTION)(String(data="touch the red cube"))

    def see():
        assert [name for name, process in machines.items() if process.poll() is not None] == []
        for camera, say in cameras:
            say(picture(camera))

    def active():
        see()
        return statuses and statuses[-1].state == SafetyStatus.ACTIVE

    wait_until(active)
    assert statuses[-1].source == "system1"
    assert contexts
    assert {context.bundle_id for context in contexts} == {"tiny"}
    running = graph.tester.get_node_names()
    assert {name: running.count(name) for name in NODES} == dict.fromkeys(NODES, 1)
    code, output = end(machines["eyes"])
    assert code == 0, output
    seen = len(contexts)
    wait_until(lambda: (statuses[-1].state, statuses[-1].reason_code) == (SafetyStatus.HOLD, "time.silent"))
    assert len(contexts) <= seen + 1
    code, output = end(machines["arm"])
    assert code == 0, output
