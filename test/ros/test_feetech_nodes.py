"""The driver, the leader and the simulated bus as nodes, over real pseudo-terminals."""

import numpy as np
import pytest
from ros_world import ROBOT, command, repeat, wait_until
from std_msgs.msg import String

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.ros import topics
from so_arm_policy.ros.feetech_node import FeetechNode
from so_arm_policy.ros.leader_node import LeaderNode
from so_arm_policy.ros.servo_bus_node import ServoBusNode
from so_arm_policy.sim.servo_bus.arms import sim_servos
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.wire import Wire

CALIBRATED = ("-p", "feetech:patience_s:=1.0", "-p", "feetech:calibration:=simulated")
APART = [f"servo_bus:{name}:=servo_bus/{name}" for name in ("joint_states", "motor_states", "joint_command")]


@pytest.fixture
def wire(tmp_path):
    servos = sim_servos(ROBOT, 0)
    for servo, q in zip(servos, ROBOT.home, strict=True):
        servo.sense(q, 0.0, 0.0, 0.01)
    made = Wire(SimBus(servos), tmp_path / "port", paced=False)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def driver_graph(make_graph, wire):
    def make(*more):
        return make_graph(*CALIBRATED, "-p", f"feetech:port:={wire.device}", *more)

    return make


def goal(wire, index):
    return int.from_bytes(wire.bus.servos[index].read(42, 2), "little")


def test_the_driver_follows_one_supervisor_and_says_what_the_motors_say(driver_graph, wire):
    graph = driver_graph()
    node = graph.run(FeetechNode())
    states, motors = graph.hear(topics.JOINT_STATES), graph.hear(topics.MOTOR_STATES)
    say = graph.say(topics.JOINT_COMMAND)
    q = ROBOT.home.copy()
    q[0] = 0.1
    say(command(q, writer="somebody"))
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    assert goal(wire, 0) == pytest.approx(2047.5, abs=1)
    say(command(q))
    wait_until(lambda: goal(wire, 0) == round(2047.5 + 0.1 * 4096 / (2 * np.pi)))
    wait_until(lambda: states and motors)
    assert list(states[-1].name) == list(ROBOT.joint_names)
    assert np.abs(np.array(states[-1].position) - ROBOT.home).max() < 0.002
    assert motors[-1].temperature[0] == 35.0
    assert all(motors[-1].torque_on)
    limp = command(q)
    limp.effort = [0.0] * 6
    say(limp)
    wait_until(lambda: not any(servo.memory[40] for servo in wire.bus.servos))
    wait_until(lambda: not any(motors[-1].torque_on))
    say(command(ROBOT.home))
    wait_until(lambda: all(motors[-1].torque_on))
    assert node.facts()["faults"] == ""


def test_a_fault_is_named_in_the_diagnostics_and_a_silent_commander_makes_limp_when_told_so(driver_graph, wire):
    graph = driver_graph("-p", "feetech:limp_after_s:=0.05")
    node = graph.run(FeetechNode())
    say = graph.say(topics.JOINT_COMMAND)
    say(command())
    wait_until(lambda: not any(servo.memory[40] for servo in wire.bus.servos))
    repeat(say, command, lambda: all(servo.memory[40] == 1 for servo in wire.bus.servos))
    wire.bus.inject("encoder 3")
    wait_until(lambda: node.counts["errors: servo.encoder"] > 0)
    assert node.facts()["halted"] == "servo.encoder"
    wire.unplug()
    wait_until(lambda: node.facts()["faults"] == "bus.unplugged")


def test_what_the_driver_cannot_use_is_refused_at_the_start(driver_graph, make_graph, wire):
    with pytest.raises(ConfigError, match=r"calibration: got \[\], expected 1 for so101"):
        driver_graph("-p", "feetech:calibration:=''").run(FeetechNode())


def test_a_port_that_is_not_there_is_refused_at_the_start(make_graph):
    graph = make_graph("-p", "calibration:=simulated", "-p", "port:=/dev/ttyNONE")
    with pytest.raises(DeviceError, match=r"got \['/dev/ttyNONE'\], not there"):
        graph.run(FeetechNode())


def test_leaders_are_read_and_never_held(make_graph, wire):
    graph = make_graph("-p", "calibration:=simulated", "-p", f"port:={wire.device}")
    heard = graph.hear(topics.LEADER_JOINT_STATES)
    graph.run(LeaderNode())
    graph.spinner.start()
    wait_until(lambda: heard)
    assert np.abs(np.array(heard[-1].position) - ROBOT.home).max() < 0.002
    assert not any(servo.memory[40] for servo in wire.bus.servos)


def test_the_physics_behind_simulated_servos_goes_where_the_driver_is_told(make_graph, tmp_path):
    port = ("-p", f"servo_bus:port:={tmp_path / 'bus'}", "-p", f"feetech:port:={tmp_path / 'bus'}")
    graph = make_graph(*CALIBRATED, *port, *(word for rule in APART for word in ("-r", rule)))
    bus = graph.run(ServoBusNode())
    node = graph.run(FeetechNode())
    states, break_it = graph.hear(topics.JOINT_STATES), graph.say(topics.SERVO_BUS_FAULT)
    say = graph.say(topics.JOINT_COMMAND)
    q = ROBOT.home.copy()
    q[0] = 0.1
    say(command(q))
    wait_until(lambda: abs(bus.simulator.q[0] - 0.1) < 0.02)
    wait_until(lambda: abs(states[-1].position[0] - 0.1) < 0.02)
    break_it(String(data="hot 2 80"))
    wait_until(lambda: "servo.over_temperature" in node.facts()["faults"])
    break_it(String(data="nonsense"))
    wait_until(lambda: bus.counts["errors: servo_bus/fault"] == 1)
