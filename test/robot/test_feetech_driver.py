"""The driver on simulated servos: goals, state, and what each fault makes of both."""

import json

import numpy as np
import pytest
from servo_world import HASTY_S, PATIENT_S

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.robot.feetech import faults
from so_arm_policy.robot.feetech.arm import ArmPort
from so_arm_policy.robot.feetech.calibration import load_calibration
from so_arm_policy.robot.feetech.driver import DriverSettings, FeetechDriver
from so_arm_policy.robot.feetech.plugged import open_driver
from so_arm_policy.robot.feetech.settings import ServoSettings
from so_arm_policy.sim.servo_bus.protocol import Decoder

TICK_RAD = 2 * np.pi / 4096
RECOVER_TICKS = 70  # more than recover_s


@pytest.fixture
def world(servo_world):
    return servo_world()


def home(world, **moved):
    return np.array([moved.get(j.name, j.home) for j in world.robot.joints])


def goals(world):
    return [int.from_bytes(servo.read(42, 2), "little") for servo in world.servos]


def test_the_arm_goes_where_it_is_told_and_says_where_it_is(world):
    world.drive()
    target = home(world, shoulder_pan=0.4, gripper=1.0, elbow_flex=-0.3)
    reading = world.tick(target, 3)
    assert np.abs(world.q - target).max() <= TICK_RAD / 2
    assert np.abs(reading.q - world.q).max() <= TICK_RAD
    assert world.driver.faults == ()
    motors = reading.motors
    assert motors.torque_on.all()
    assert motors.voltage_v == pytest.approx([7.4] * 6)
    assert motors.temperature_c == pytest.approx([35.0] * 6)
    assert reading.current_a == pytest.approx([0.0] * 6)
    assert world.driver.packets["lost"] == world.driver.packets["corrupt"] == 0


def test_it_starts_by_holding_where_the_arm_stands(world):
    world.q = [j.rest for j in world.robot.joints]
    world.settle()
    before = list(world.q)
    world.drive()
    world.tick(None, 5)
    assert np.abs(np.subtract(world.q, before)).max() <= TICK_RAD
    assert all(servo.torque_share > 0 for servo in world.servos)


def test_without_commands_no_goal_is_written_and_the_arm_holds(world):
    world.drive()
    world.tick(home(world, shoulder_pan=0.1), 2)
    told = goals(world)
    for servo in world.servos:
        servo.write(42, b"\x00\x08")  # a goal written from now on would show
    world.tick(None, 4)
    assert goals(world) == [2048] * 6
    world.tick(home(world, shoulder_pan=0.1))
    assert goals(world) == told


@pytest.mark.parametrize(
    "wrong", [np.full(6, np.nan), [0.0, 0.0, np.inf, 0.0, 0.0, 0.0], np.zeros(5), np.zeros((6, 1))]
)
def test_goals_that_are_none_are_counted_and_the_arm_holds(world, wrong):
    world.drive()
    world.tick(home(world, shoulder_pan=0.1), 2)
    told = goals(world)
    reading = world.tick(wrong, 3)
    assert goals(world) == told
    assert world.driver.counts["refused_goals"] == 3
    assert np.isfinite(reading.q).all()


def test_limp_takes_the_torque_and_gives_it_back_where_the_arm_is(world):
    world.drive()
    world.tick(home(world), 2)
    world.driver.set_limp(True)
    world.tick(home(world, shoulder_pan=0.3), 2)
    assert [servo.memory[40] for servo in world.servos] == [0] * 6
    assert world.q[0] == pytest.approx(0.0, abs=TICK_RAD)
    assert world.driver.faults == ()
    world.q[0] = 0.9
    world.driver.set_limp(False)
    reading = world.tick(None, 3)
    assert world.q[0] == pytest.approx(0.9, abs=TICK_RAD)
    assert reading.motors.torque_on.all()


def test_one_lost_and_one_corrupt_packet_are_counted_and_skipped(servo_world):
    world = servo_world()
    world.drive(patience_s=HASTY_S, lost_in_a_row=60)
    for kind in ("lost", "corrupt"):
        before = world.driver.packets[kind]
        world.bus.inject("drop 1" if kind == "lost" else "corrupt 1")
        reading = world.tick(home(world))
        assert reading.q is None
        assert world.driver.packets[kind] > before
        assert world.driver.faults == ()
        while world.tick(home(world)).q is None:
            pass
    assert world.driver.halted is None


FAULTS = [
    ("mute 3", {faults.SILENT}),
    ("mute", {faults.SILENT_BUS}),
    ("hot 2 75", {faults.HOT}),
    ("hot 2 66", {faults.HOT}),  # beyond the robot's limit, not yet the servo's
    ("supply 5.2", {faults.UNDER_VOLTAGE}),
    ("supply 9.0", {faults.OVER_VOLTAGE}),
    ("overload 4", {faults.OVERLOAD}),
    ("encoder 5", {faults.ENCODER}),
    ("restart 1", {faults.TORQUE_OFF}),
]


@pytest.mark.parametrize(("fault", "codes"), FAULTS)
def test_each_fault_has_its_name_and_stops_the_goals(world, fault, codes):
    world.drive()
    world.tick(home(world), 2)
    world.driver._arms[0].bus._patience_s = HASTY_S
    world.bus.inject(fault)
    for _ in range(8):
        world.tick(None)
    assert world.codes() == codes
    assert world.driver.halted.code in codes
    held = goals(world)
    world.tick(home(world, shoulder_pan=0.05))
    assert goals(world)[1:] == held[1:]
    assert world.driver.counts["refused_goals"] == 1
    assert world.driver.counts["halts"] == 1


def test_after_a_fault_only_a_command_near_the_arm_is_followed_again(world):
    world.drive()
    world.tick(home(world, shoulder_pan=0.5), 2)
    world.bus.inject("hot 2 75")
    world.tick(home(world, shoulder_pan=0.6), 2)
    world.bus.inject("well")
    world.tick(home(world, shoulder_pan=0.5), 2)
    assert world.driver.faults == ()
    assert world.driver.halted is not None  # too early
    world.tick(None, RECOVER_TICKS)
    world.tick(home(world, shoulder_pan=1.2))
    assert world.driver.halted is not None  # too far
    world.tick(home(world, shoulder_pan=0.55), 2)
    assert world.driver.halted is None
    assert world.q[0] == pytest.approx(0.55, abs=TICK_RAD)


def test_an_overloaded_servo_holds_where_it_is_instead_of_pressing_on(world):
    world.drive()
    world.tick(home(world, elbow_flex=0.6), 2)
    world.servos[2].write(42, (2047 + 900).to_bytes(2, "little"))
    world.servos[2].memory[40] = 0  # it does not get there
    world.bus.inject("overload 3")
    world.tick(None, 2)
    assert world.calibration.radians(goals(world))[2] == pytest.approx(0.6, abs=2 * TICK_RAD)


def test_a_servo_that_lost_its_power_gets_torque_only_by_being_limp_first(world):
    world.drive()
    world.tick(home(world), 2)
    world.bus.inject("restart 2")
    world.tick(None, 8)
    assert world.codes() == {faults.TORQUE_OFF}
    world.tick(home(world), RECOVER_TICKS)
    assert world.servos[1].memory[40] == 0
    world.driver.set_limp(True)
    world.tick(None, 8)
    world.driver.set_limp(False)
    reading = world.tick(None, RECOVER_TICKS)
    assert reading.motors.torque_on.all()
    world.tick(home(world, wrist_roll=0.1), 2)
    assert world.q[4] == pytest.approx(0.1, abs=TICK_RAD)


def test_an_adapter_that_was_unplugged_is_found_again_and_no_old_motion_resumes(world):
    world.drive(retry_s=0.1)
    world.tick(home(world, shoulder_pan=0.4), 2)
    world.wire.unplug()
    reading = world.tick(home(world, shoulder_pan=0.5), 2)
    assert world.codes() == {faults.UNPLUGGED}
    assert reading.q is None
    assert reading.motors is None
    world.wire.plug()
    world.tick(home(world, shoulder_pan=1.0), 20)
    assert world.driver.counts["reopened"] == 1
    assert world.q[0] == pytest.approx(0.4, abs=TICK_RAD)
    world.tick(None, RECOVER_TICKS)
    world.tick(home(world, shoulder_pan=0.45), 2)
    assert world.q[0] == pytest.approx(0.45, abs=TICK_RAD)
    assert world.driver.packets["halts"] == 1


def test_no_instruction_of_a_whole_life_writes_128_to_register_40_or_the_eeprom(world):
    heard = []
    hear = world.bus.hear
    world.bus.hear = lambda data: heard.append(data) or hear(data)
    world.drive()
    world.tick(home(world, shoulder_pan=0.3), 8)
    world.driver.set_limp(True)
    world.tick(None, 2)
    world.driver.set_limp(False)
    world.tick(home(world), 8)
    writes = [p.parameters for p in Decoder().feed(b"".join(heard)) if p.instruction == 3]
    assert {p[0] for p in writes} == {40, 41, 42, 46, 48}
    assert {p[1] for p in writes if p[0] == 40} == {0, 1}
    syncs = [p.parameters for p in Decoder().feed(b"".join(heard)) if p.instruction == 0x83]
    assert {p[0] for p in syncs} == {42}
    assert all(servo.homings_lost == 0 for servo in world.servos)


def test_goals_beyond_the_recorded_range_are_kept_in_and_counted(world):
    world.drive()
    world.tick(home(world, shoulder_pan=2.5))
    assert goals(world)[0] == 3299
    assert world.driver.packets["goals_clamped"] == 1


def test_another_arm_s_file_is_refused(world, tmp_path):
    data = {j.name: dict(vars(s)) for j, s in zip(world.robot.joints, world.calibration.servos, strict=True)}
    data["elbow_flex"]["homing_offset"] += 40
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data))
    port = ArmPort(device=world.wire.device, calibration=load_calibration(str(path), world.robot))
    why = "homing_offset -986 in the servo of joint 'elbow_flex', expected -946 .*of another arm"
    with pytest.raises(ConfigError, match=why):
        FeetechDriver(world.robot, [port], DriverSettings())
    world.drive()  # the port was given back


@pytest.mark.parametrize(
    ("address", "data", "why"),
    [
        (33, b"\x01", "operating mode 1, expected 0"),
        (18, b"\x1c", "phase 28, expected"),
    ],
)
def test_servos_that_are_not_set_up_for_this_are_refused(world, address, data, why):
    world.servos[0].write(address, data)
    with pytest.raises(ConfigError, match=why):
        world.drive()
    assert all(servo.memory[40] == 0 for servo in world.servos)


def test_protective_settings_are_looked_at_and_written_only_when_asked(world):
    world.servos[0].write(7, b"\xfa")
    world.servos[5].write(16, (1000).to_bytes(2, "little"))
    driver = world.drive()
    assert any("servo 1 has return_delay 250 (expected 0)" in text for text in driver.warnings)
    assert any("servo 6 has max_torque_limit 1000 (expected 500)" in text for text in driver.warnings)
    assert world.servos[0].memory[7] == 250
    assert int.from_bytes(world.servos[5].read(48, 2), "little") == 500  # in the memory that power ends
    driver.close()
    driver = world.drive(servos=ServoSettings(write_eeprom=True, torque_limit=0.8))
    assert driver.warnings == []
    world.servos[0].lose_power()
    assert world.servos[0].memory[7] == 0
    assert int.from_bytes(world.servos[1].read(48, 2), "little") == 800


def test_a_joint_beyond_the_jump_of_its_encoder_gets_no_torque(world):
    world.q[5] = 3.0  # the gripper, turned by hand past 4095
    world.settle()
    with pytest.raises(ConfigError, match=r"\['gripper'\] beyond 0..4095 ticks, expected them moved back by hand"):
        world.drive()
    assert all(servo.memory[40] == 0 for servo in world.servos)


def test_a_leader_arm_never_gets_torque(world):
    for servo in world.servos:
        servo.write(40, b"\1")
    world.drive(follows=False)
    world.q[1] = -1.0
    reading = world.tick(home(world), 8)
    assert [servo.memory[40] for servo in world.servos] == [0] * 6
    assert reading.q[1] == pytest.approx(-1.0, abs=TICK_RAD)
    world.driver.set_limp(False)
    world.tick(home(world), 8)
    assert [servo.memory[40] for servo in world.servos] == [0] * 6
    assert world.driver.faults == ()


def test_a_servo_that_is_not_there_yet_is_waited_for(world):
    world.bus.inject("mute 4")
    tries = []

    def ended():
        tries.append(1)
        if len(tries) == 2:
            world.bus.inject("well")
        return len(tries) > 2

    settings = DriverSettings(patience_s=PATIENT_S)
    with pytest.raises(DeviceError, match=r"no answer of servos \[4\]"):
        open_driver(world.robot, [world.port], settings)
    assert all(servo.memory[40] == 0 for servo in world.servos)
    world.driver = open_driver(world.robot, [world.port], settings, wait_s=60.0, ended=ended)
    assert len(tries) == 2
    assert world.tick(None).q is not None


def test_a_port_that_does_not_open_is_a_named_error(world):
    port = ArmPort(device="/dev/ttyNONE", calibration=world.calibration)
    with pytest.raises(DeviceError, match="/dev/ttyNONE"):
        FeetechDriver(world.robot, [port], DriverSettings())


def test_settings_that_judge_nothing_are_refused():
    for wrong in ({"lost_in_a_row": 1}, {"recover_s": 0.0}, {"rejoin_rad": float("nan")}, {"patience_s": 9.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            DriverSettings(**wrong)
    with pytest.raises(ConfigError, match="torque_limit"):
        ServoSettings(torque_limit=0.0)
