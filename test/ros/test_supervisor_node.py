"""The supervisor as a node: it passes, holds, stops, starts again, and survives every bad proposal."""

import math
from pathlib import Path

import numpy as np
import pytest
import rclpy
from ros_world import ROBOT, N, command, joints, now_ns, repeat, wait_until
from sensor_msgs.msg import JointState
from so_arm_policy.msg import JointCommand, MotorStates, SafetyStatus
from so_arm_policy.srv import SelectSource

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.values import Proposal
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode
from so_arm_policy.ros.simulator_node import SimulatorNode


def hold_proposal(sequence, q=ROBOT.home, **changes):
    stamp = now_ns()
    proposal = Proposal(
        source="hold",
        sequence=sequence,
        stamp_ns=stamp,
        observation_stamp_ns=stamp,
        received_ns=0,
        joint_names=ROBOT.joint_names,
        q=np.asarray(q),
    )
    msg = convert.joint_command(proposal)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


class Supervised:
    """A supervisor that listens to `hold`, and the test as robot and source."""

    def __init__(self, graph):
        self.node = graph.run(SafetySupervisorNode())
        self.commands = graph.hear(topics.JOINT_COMMAND)
        self.statuses = graph.hear(topics.SAFETY_STATUS)
        self.say_joints = graph.say(topics.JOINT_STATES)
        self.say_proposal = graph.say(topics.proposal("hold"))
        self.sequence = 0
        self.tester = graph.tester

    def feed(self, until, make_proposal=hold_proposal):
        def make():
            self.sequence += 1
            if make_proposal is not None:
                self.say_proposal(make_proposal(self.sequence))
            return joints()

        repeat(self.say_joints, make, until)

    def state(self):
        return self.statuses[-1].state if self.statuses else None

    def ask(self, service, request):
        client = self.tester.create_client(service.type, service.name)
        wait_until(client.service_is_ready)
        future = client.call_async(request)
        wait_until(future.done)
        return future.result()


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_the_supervisor_passes_holds_stops_and_starts_again(graph):
    world = Supervised(graph)
    wait_until(lambda: world.state() == SafetyStatus.INIT)
    assert world.commands == []
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    # A busy machine may stall first: a hold too, for another reason.
    world.feed(lambda: world.statuses[-1].reason_code == "time.silent", make_proposal=None)
    assert world.state() == SafetyStatus.HOLD
    seen = len(world.commands)
    wait_until(lambda: len(world.commands) > seen + 20)
    np.testing.assert_allclose(world.commands[-1].position, ROBOT.home)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    assert world.ask(topics.ESTOP, topics.ESTOP.type.Request()).success
    wait_until(lambda: world.state() == SafetyStatus.ESTOP)
    world.feed(lambda: world.node.loop.ticks % 50 == 0)
    assert world.state() == SafetyStatus.ESTOP
    world.say_joints(joints())
    answer = world.ask(topics.SELECT, SelectSource.Request(source="autopilot"))
    assert not answer.success
    assert "autopilot" in answer.message
    assert world.ask(topics.SELECT, SelectSource.Request(source="pid")).success

    def reset():
        world.say_joints(joints())
        return world.ask(topics.RESET, topics.RESET.type.Request()).success

    wait_until(reset)
    wait_until(lambda: world.statuses[-1].source == "pid" and world.state() == SafetyStatus.HOLD)


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_doubts_are_shown_and_counted_while_the_proposals_pass(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)

    def doubtful(sequence):
        return hold_proposal(sequence, novelty=2.0)

    world.feed(lambda: list(world.statuses[-1].doubts) == ["policy.novelty"], doubtful)
    assert not world.statuses[-1].slowed
    world.feed(lambda: "policy.novelty" in world.statuses[-1].rules, doubtful)
    assert world.node.facts()["verdicts: policy.novelty"] > 0
    world.feed(lambda: not world.statuses[-1].doubts)


BAD_PROPOSALS = {
    "schema.nonfinite": {"position": [math.nan] * N},
    "schema.length": {"position": [0.0]},
    "schema.score": {"disagreement": math.nan},
    "schema.names": {"joint_names": ["a"] * N},
    "source.mismatch": {"source": "pid"},
    "limit.position_band": {"position": [9.0] * N},
}


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_the_supervisor_survives_every_bad_proposal_names_it_and_keeps_the_arm_still(graph):
    world = Supervised(graph)
    for code, changes in BAD_PROPOSALS.items():

        def one(sequence, changes=changes):
            """Only an active supervisor looks at every rule; one that holds (after a stall too) is led back first."""
            return hold_proposal(sequence, **(changes if world.state() == SafetyStatus.ACTIVE else {}))

        world.feed(lambda code=code: world.statuses and code in world.statuses[-1].rules, one)
    world.say_proposal(JointCommand())
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    for sent in world.commands:
        np.testing.assert_allclose(sent.position, ROBOT.home, atol=1e-9)


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_a_second_writer_of_joint_command_makes_the_supervisor_hold(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    other = graph.tester.create_publisher(JointState, "joint_command", topics.RELIABLE)
    world.feed(lambda: world.statuses[-1].reason_code == "source.unknown_publisher")
    assert "tester" in world.statuses[-1].reason_text
    assert world.state() == SafetyStatus.HOLD
    graph.tester.destroy_publisher(other)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_a_second_supervisor_counts_once_it_speaks_since_a_silent_one_may_be_a_killed_one_s_ghost(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    twin = rclpy.create_node("safety_supervisor", use_global_arguments=False)
    publisher = twin.create_publisher(JointState, "joint_command", topics.RELIABLE)
    world.feed(lambda: graph.tester.count_publishers("joint_command") == 2)
    world.node._writer.check()
    assert world.node._writer.faults == ()

    def both(sequence):
        publisher.publish(command(writer="safety_supervisor#twin"))
        return hold_proposal(sequence)

    world.feed(lambda: world.statuses[-1].reason_code == "source.unknown_publisher", both)
    assert "one that signs 'safety_supervisor#twin'" in world.statuses[-1].reason_text
    twin.destroy_publisher(publisher)
    twin.destroy_node()
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


def test_a_stop_that_takes_the_torque_gives_it_back_at_the_first_reset_and_the_motion_at_the_second(
    tmp_path, make_graph
):
    rules = tmp_path / "safety.yaml"
    rules.write_text(find_shipped("config", "safety.yaml").read_text().replace("estop_limp: false", "estop_limp: true"))
    supervisor = "safety_supervisor"
    graph = make_graph("-p", f"{supervisor}:source:=hold", "-p", f"{supervisor}:safety:={rules}")
    arm = graph.run(SimulatorNode())
    graph.run(HoldNode())
    world = Supervised(graph)
    motors, states = graph.hear(topics.MOTOR_STATES), graph.hear(topics.JOINT_STATES)
    wait_until(lambda: world.state() == SafetyStatus.ACTIVE)
    assert world.ask(topics.ESTOP, topics.ESTOP.type.Request()).success
    wait_until(lambda: motors and not any(motors[-1].torque_on))
    wait_until(lambda: world.statuses[-1].limp)
    assert arm.facts()["limp"]
    wait_until(lambda: np.abs(np.array(states[-1].position) - ROBOT.home).max() > 0.2)

    def reset():
        return world.ask(topics.RESET, topics.RESET.type.Request())

    wait_until(lambda: "the motors hold the arm again" in reset().message)
    wait_until(lambda: all(motors[-1].torque_on))
    assert world.state() == SafetyStatus.ESTOP
    wait_until(lambda: not world.statuses[-1].limp)
    wait_until(lambda: reset().success)
    wait_until(lambda: world.state() == SafetyStatus.ACTIVE)


@pytest.mark.parametrize("limp", [0, N - 1])
def test_a_motor_without_torque_stops_the_arm_and_the_black_box_says_what_was_before(tmp_path, make_graph, limp):
    graph = make_graph("-p", "source:=hold", "-p", f"black_box:={tmp_path}")
    world = Supervised(graph)
    say_motors = graph.say(topics.MOTOR_STATES)

    def motors(torque_on):
        names, unknown = list(reversed(ROBOT.joint_names)), [math.nan] * N
        return MotorStates(
            joint_names=names, load=unknown, temperature=unknown, voltage=unknown, torque_on=torque_on[::-1]
        )

    def well(sequence):
        say_motors(motors([True] * N))
        return hold_proposal(sequence)

    world.feed(lambda: world.state() == SafetyStatus.ACTIVE, well)
    say_motors(motors([i != limp for i in range(N)]))
    world.feed(lambda: world.state() == SafetyStatus.ESTOP)
    status = next(s for s in world.statuses if s.state == SafetyStatus.ESTOP)
    assert status.reason_code == "plant.torque_off"
    assert ROBOT.joint_names[limp] in status.reason_text
    assert status.black_box.startswith(str(tmp_path))
    assert status.black_box.endswith("plant-torque_off")
    wait_until(lambda: (Path(status.black_box) / "metadata.yaml").exists())


@pytest.mark.parametrize("graph", [("-p", "source:=hold")], indirect=True)
def test_two_nodes_that_speak_as_one_source_make_the_supervisor_hold(graph):
    world = Supervised(graph)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)
    impostor = rclpy.create_node("impostor", use_global_arguments=False)
    publisher = impostor.create_publisher(JointCommand, topics.proposal("hold").name, topics.BEST_EFFORT)
    world.feed(lambda: world.statuses[-1].reason_code == "source.unknown_publisher")
    assert "/impostor, /tester" in world.statuses[-1].reason_text
    assert world.state() == SafetyStatus.HOLD
    impostor.destroy_publisher(publisher)
    impostor.destroy_node()
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


@pytest.mark.parametrize("graph", [("-p", "source:=hold", "-p", "start_stopped:=true")], indirect=True)
def test_a_supervisor_that_starts_stopped_lets_nobody_move_until_a_reset(graph, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    world = Supervised(graph)
    world.feed(lambda: len(world.commands) > 60)
    assert {status.state for status in world.statuses} == {SafetyStatus.ESTOP}
    assert world.statuses[-1].reason_code == "estop.request"
    assert "start_stopped" in world.statuses[-1].reason_text
    assert np.ptp([command.position for command in world.commands], axis=0).max() == 0.0
    assert list(tmp_path.rglob("*.mcap")) == []

    def reset():
        world.say_joints(joints())
        return world.ask(topics.RESET, topics.RESET.type.Request()).success

    wait_until(reset)
    world.feed(lambda: world.state() == SafetyStatus.ACTIVE)


def test_starting_stopped_and_limp_stops_are_refused_together(make_graph, tmp_path):
    rules = tmp_path / "safety.yaml"
    rules.write_text(find_shipped("config", "safety.yaml").read_text().replace("estop_limp: false", "estop_limp: true"))
    make_graph("-p", f"safety:={rules}", "-p", "start_stopped:=true")
    with pytest.raises(ConfigError, match="start_stopped: got true with estop_limp"):
        SafetySupervisorNode()
