"""The leader is followed over ROS, through the supervisor, and only while a person wants that."""

import numpy as np
import pytest
from ros_world import GARBAGE, NAMES, ROBOT, diagnostics_of, joints, now_ns, repeat, wait_until
from sensor_msgs.msg import JointState
from so_arm_policy.msg import SafetyStatus
from std_srvs.srv import SetBool, Trigger

from so_arm_policy import cli
from so_arm_policy.control.teleop import Clutch
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.leader_hand_node import swung
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.teleop_node import TeleopNode
from so_arm_policy.ros.up import Stack

START_S = 180.0  # for processes on a busy machine
TELEOP_ACTS = SafetyStatus(state=SafetyStatus.ACTIVE, source="teleop")


def clutch(graph, engaged):
    return graph.ask(topics.CLUTCH, SetBool.Request(data=engaged))


def test_the_arm_follows_its_leader_through_the_supervisor_until_it_is_stopped(graph):
    led, states = graph.hear(topics.LEADER_JOINT_STATES), graph.hear(topics.JOINT_STATES)
    commands, statuses = graph.hear(topics.JOINT_COMMAND), graph.hear(topics.SAFETY_STATUS)
    said = graph.hear(topics.DIAGNOSTICS)
    specs = stack(StackOptions(control_source="teleop", cameras="none", leader_port="sim"))

    def acts():
        return bool(led and statuses) and statuses[-1].state == SafetyStatus.ACTIVE

    def clutch_is():
        facts = [s.values for m in said[-100:] for s in m.status if s.name == "teleop"]
        return {kv.key: kv.value for kv in facts[-1]}["clutch"] if facts else ""

    def moved(messages, since):
        return np.ptp([m.position for m in messages[since:]], axis=0).max() if len(messages) > since else 0.0

    def apart():
        return np.abs(np.array(states[-1].position) - led[-1].position).max()

    def follows():  # a busy machine may let the supervisor hold the arm, after which a person engages again
        return clutch_is() == "following" or (clutch(graph, True).success and False)

    with Stack(specs, lambda node, line: None):
        graph.spinner.start()
        wait_until(acts, START_S)
        swing, seen = len(led), len(commands)
        wait_until(lambda: len(led) > swing + 240 and len(commands) > seen + 100)
        assert moved(led, swing) > 0.1
        assert moved(commands, seen) < 0.05  # the leader swings, and the arm does not
        wait_until(follows, START_S)
        since = len(states)
        wait_until(lambda: moved(states, since) > 0.1 and apart() < 0.1)
        assert graph.ask(topics.ESTOP, Trigger.Request()).success
        wait_until(lambda: clutch_is() == "open")
        refused = clutch(graph, True)
        assert not refused.success
        assert "the supervisor has 'teleop' in ESTOP" in refused.message
        wait_until(lambda: graph.ask(topics.RESET, Trigger.Request()).success)
        wait_until(acts)
        still, seen = np.array(commands[-1].position), len(commands)
        wait_until(lambda: len(commands) > seen + 100)
        np.testing.assert_allclose(commands[-1].position, still, atol=0.03)  # nothing from before resumes


def test_what_a_leader_must_not_say_moves_nothing_and_is_named(graph):
    node = graph.run(TeleopNode())
    heard = graph.hear(topics.proposal("teleop"))
    say, lead = graph.say(topics.JOINT_STATES), graph.say(topics.LEADER_JOINT_STATES)
    status = graph.say(topics.SAFETY_STATUS)
    name = topics.LEADER_JOINT_STATES.name
    unheard = clutch(graph, True)
    assert not unheard.success
    assert "the supervisor has not been heard" in unheard.message
    status(TELEOP_ACTS)
    wait_until(lambda: node.counts["safety/status"] == 1)
    unled = clutch(graph, True)
    assert not unled.success
    assert "the leader has not been heard" in unled.message
    refused = [msg for kind, msg in GARBAGE.items() if kind != "velocity"]
    for number, msg in enumerate(refused, 1):
        lead(msg)
        wait_until(lambda number=number: node.counts[f"errors: {name}"] == number)
    assert name in diagnostics_of(node).message
    repeat(say, joints, lambda: len(heard) > 5)
    assert not clutch(graph, True).success
    np.testing.assert_array_equal([list(m.position) for m in heard], [ROBOT.home] * len(heard))


def test_the_clutch_opens_when_the_leader_goes_or_jumps_or_another_source_acts(graph):
    node = graph.run(TeleopNode())
    heard = graph.hear(topics.proposal("teleop"))
    say, lead = graph.say(topics.JOINT_STATES), graph.say(topics.LEADER_JOINT_STATES)
    status = graph.say(topics.SAFETY_STATUS)
    leader = {"q": ROBOT.home + 0.2, "speaks": True}

    def both():
        if leader["speaks"]:  # by other names, in another order, with a camera's joint besides
            names = [f"{n}_joint" for n in NAMES[::-1]] + ["head_joint"]
            msg = JointState(name=names, position=[*leader["q"][::-1], 0.5])
            msg.header.stamp = convert.time_msg(now_ns())
            lead(msg)
        return joints(heard[-1].position if heard else ROBOT.home)

    def engaged():
        say(both())
        return node._teleop.clutch is not Clutch.OPEN or clutch(graph, True).success

    def opened(by):
        repeat(say, both, lambda: by in node.facts()["clutch_opened"])
        assert node.facts()["clutch"] == "open"
        wait_until(lambda: by in diagnostics_of(node).message)

    status(TELEOP_ACTS)
    wait_until(lambda: node.counts["safety/status"] == 1)
    wait_until(engaged)
    repeat(say, both, lambda: node._teleop.clutch is Clutch.FOLLOWING)
    assert np.abs(heard[-1].position - leader["q"]).max() < 0.1
    assert convert.stamp_ns(heard[-1].observation_stamp) <= convert.stamp_ns(heard[-1].header.stamp)
    leader["q"] = ROBOT.home + 3.0
    opened("jumped")
    leader["q"] = ROBOT.home + 0.1
    wait_until(engaged)
    leader["speaks"] = False
    opened("silent")
    leader["speaks"] = True
    wait_until(engaged)
    status(SafetyStatus(state=SafetyStatus.ACTIVE, source="hold"))
    opened("the supervisor has 'hold' in ACTIVE")


@pytest.mark.parametrize("arguments", [["teleop"], ["teleop", "grab"]])
def test_the_command_line_knows_engage_and_release_alone(arguments):
    with pytest.raises(SystemExit):
        cli.main(arguments)


def test_the_hand_begins_at_home_and_moves_as_fast_as_it_says():
    times = np.linspace(0.0, 20.0, 2401)
    q, dq = (np.array(column) for column in zip(*(swung(ROBOT, t, 0.25) for t in times), strict=True))
    np.testing.assert_array_equal(q[0], ROBOT.home)
    assert (q >= ROBOT.lower).all()
    assert (q <= ROBOT.upper).all()
    measured = np.gradient(q, times, axis=0)[1:-1, :5]  # the gripper stays shut where it would swing beyond
    np.testing.assert_allclose(dq[1:-1, :5], measured, atol=1e-3)
    assert np.ptp(q, axis=0).min() > 0.3


def test_a_stack_with_teleop_has_leaders_real_or_not_for_every_robot():
    options = StackOptions(control_source="teleop", cameras="none", leader_port="sim")
    specs = stack(options)
    assert [s.name for s in specs] == ["simulator", "leader_hand", "leader", "teleop", "safety_supervisor"]
    assert specs[1].parameters["port"] == specs[2].parameters["port"]
    real = {"leader_port": "/dev/ttyACM1", "leader_calibration": "leader.json"}
    specs = stack(StackOptions(control_source="teleop", cameras="none", **real))
    assert [s.name for s in specs] == ["simulator", "leader", "teleop", "safety_supervisor"]
    two = stack(StackOptions(control_source="teleop", cameras="none", leader_port="sim", description="so101_bimanual"))
    assert len(two[1].parameters["port"].split(",")) == 2
    with pytest.raises(ConfigError, match="expected both or none"):
        StackOptions(leader_port="sim", leader_calibration="leader.json")
