"""The stack on a simulator that behaves as Isaac Sim does: late clock, pauses, and frames slower than ticks."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from fake_isaac import FakeIsaac
from ros_world import ROBOT, joints, wait_until
from so_arm_policy.msg import SafetyStatus

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.ros import topics
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack
from so_arm_policy.sim.scene import random_scene

OPTIONS = {"robot": "isaac", "use_sim_time": True, "control_source": "pid"}
FAR = ROBOT.home + np.array([1.2, 0.0, 0.0, 0.0, 0.0, 0.0])


class World:
    """The launch file's stack as processes, and the fake beside it."""

    def __init__(self, graph, nodes):
        self.commands, self.statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
        self.ticks = graph.hear(topics.SAFETY_TICK)
        self.isaac = graph.run(FakeIsaac(ROBOT, random_scene(0), rate_hz=60))
        self.graph = graph
        self.goal = graph.tester.create_publisher(topics.PID_GOAL.type, topics.PID_GOAL.name, topics.PID_GOAL.qos)
        self.nodes = nodes
        graph.spinner.start()

    def until(self, what):
        def alive():
            assert self.nodes.poll(), self.nodes.failure
            return self.statuses and what(self.statuses[-1])

        wait_until(alive)

    def measured(self):
        return self.isaac.simulator.q.copy()

    def states(self):
        return {s.state for s in list(self.statuses)}

    def counts(self):
        last = self.statuses[-1]
        return dict(zip(last.rules, last.counts, strict=True))


def largest_step(ticks):
    """Of the command from one tick to the next, rad; ticks that were not heard or not done are no pair."""
    pairs = [
        (a, b) for a, b in pairwise(t for t in ticks if len(t.command)) if b.now_ns - a.now_ns < 1.5 * NS / CONTROL_HZ
    ]
    assert len(pairs) > 100
    return max(np.abs(np.subtract(b.command, a.command)).max() for a, b in pairs)


@pytest.fixture
def world(graph):
    lines = defaultdict(list)
    with Stack(stack(StackOptions(**OPTIONS)), lambda node, line: lines[node].append(line)) as nodes:
        made = World(graph, nodes)
        made.lines = lines
        yield made
    assert nodes.exit_codes == {"pid": [0], "safety_supervisor": [0]}


def test_the_stack_waits_for_a_late_clock_holds_while_it_pauses_and_goes_on(world):
    # No clock and no joints: nothing is commanded, nothing latches.
    world.until(lambda s: s.state == SafetyStatus.INIT and s.reason_code == "time.no_state")
    assert not world.commands
    world.isaac.play()
    world.until(lambda s: s.state == SafetyStatus.ACTIVE)
    world.goal.publish(joints(FAR))
    wait_until(lambda: world.measured()[0] > 0.3)
    world.isaac.pause()
    world.until(lambda s: s.state == SafetyStatus.HOLD and s.reason_code == "time.clock_paused")
    assert "stands still" in world.statuses[-1].reason_text
    frames, at = world.isaac.frames, world.measured()
    seen = len(world.commands)
    wait_until(lambda: len(world.commands) > seen + 90)
    held = np.array([c.position for c in world.commands[seen + 30 :]])
    assert np.ptp(held, axis=0).max() == 0.0
    np.testing.assert_allclose(held[-1], at, atol=0.3)
    assert world.isaac.frames - frames <= 1
    world.isaac.resume()
    world.until(lambda s: s.state == SafetyStatus.ACTIVE)
    wait_until(lambda: abs(world.measured()[0] - FAR[0]) < 0.03)
    assert SafetyStatus.ESTOP not in world.states()
    assert SafetyStatus.ESTOP not in {tick.state for tick in world.ticks}
    assert world.counts().get("time.repeated", 0) == 0
    assert largest_step(world.ticks) <= ROBOT.velocity.max() / 120 + 1e-9
    assert any("joint_states: got none" in line for line in world.lines["pid"])


def test_the_stack_outlives_a_restart_of_isaac_sim(world):
    world.isaac.play()
    world.until(lambda s: s.state == SafetyStatus.ACTIVE)
    world.goal.publish(joints(FAR))
    wait_until(lambda: abs(world.measured()[0] - FAR[0]) < 0.03)
    world.isaac.restart()
    # The arm is suddenly far from its command, or jumped: whatever that was, a person looks first.
    world.until(lambda s: s.state == SafetyStatus.ESTOP and s.reason_code.startswith("plant."))
    assert world.counts()["time.clock_back"] >= 1
    wait_until(lambda: world.graph.ask(topics.RESET, topics.RESET.type.Request()).success)
    world.until(lambda s: s.state == SafetyStatus.ACTIVE)
    world.goal.publish(joints(ROBOT.home))
    wait_until(lambda: abs(world.measured()[0] - ROBOT.home[0]) < 0.03)
    assert world.nodes.restarts == {"pid": 0, "safety_supervisor": 0}
    assert largest_step(world.ticks) <= ROBOT.velocity.max() / 120 + 1e-9


def test_the_stack_on_isaac_sim_has_no_robot_and_no_cameras_of_its_own():
    specs = stack(StackOptions(**{**OPTIONS, "remap": "overhead/image_raw=rgb, joint_states=isaac_joint_states"}))
    assert [s.name for s in specs] == ["pid", "safety_supervisor"]
    assert all(s.parameters["use_sim_time"] is True for s in specs)
    assert all(s.remappings["joint_states"] == "isaac_joint_states" for s in specs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"use_sim_time": False}, "got false with robot 'isaac', expected true"),
        ({"remap": "joint_states"}, "remap: got 'joint_states', expected OLD=NEW"),
        ({"robot": "mock", "cameras": "none"}, r"use_sim_time: got true with robot 'mock', expected one that is"),
    ],
)
def test_what_cannot_be_is_one_error(given, message):
    with pytest.raises(ConfigError, match=message):
        StackOptions(**{**OPTIONS, **given})
