"""The bus over a pseudo-terminal: Feetech's own SDK, ours around it, and every byte of an answer flipped in turn."""

import pytest
import scservo_sdk
from servo_world import HASTY_S, PATIENT_S

from so_arm_policy.core.errors import DeviceError, InputError
from so_arm_policy.robot.feetech import registers as reg
from so_arm_policy.robot.feetech.bus import ServoBus, SilentServo
from so_arm_policy.robot.feetech.reading import BLOCK_LENGTH, BLOCK_START, read_block
from so_arm_policy.sim.servo_bus.protocol import Decoder, Packet, instruction, status


@pytest.fixture
def world(servo_world):
    return servo_world()


@pytest.fixture
def bus(world):
    made = ServoBus(world.wire.device, world.calibration.ids, patience_s=PATIENT_S)
    yield made
    made.close()


def test_the_sdk_alone_can_talk_to_the_simulated_servos(world):
    port = scservo_sdk.PortHandler(world.wire.device)
    assert port.openPort()
    port.setPacketTimeout = lambda length: port.setPacketTimeoutMillis(2000.0)  # for a busy test machine
    sdk = scservo_sdk.PacketHandler(0)
    try:
        assert sdk.ping(port, 3)[:2] == (777, scservo_sdk.COMM_SUCCESS)
        assert sdk.write2ByteTxRx(port, 3, 42, 2100) == (scservo_sdk.COMM_SUCCESS, 0)
        assert sdk.read2ByteTxRx(port, 3, 42) == (2100, scservo_sdk.COMM_SUCCESS, 0)
        reader = scservo_sdk.GroupSyncRead(port, sdk, 56, 2)
        writer = scservo_sdk.GroupSyncWrite(port, sdk, 42, 2)
        for servo in world.calibration.ids:
            reader.addParam(servo)
            writer.addParam(servo, [scservo_sdk.SCS_LOBYTE(2000 + servo), scservo_sdk.SCS_HIBYTE(2000 + servo)])
        assert writer.txPacket() == scservo_sdk.COMM_SUCCESS
        assert reader.txRxPacket() == scservo_sdk.COMM_SUCCESS
        for servo in world.servos:
            assert reader.getData(servo.id, 56, 2) == int.from_bytes(servo.read(56, 2), "little")
            assert int.from_bytes(servo.read(42, 2), "little") == 2000 + servo.id
    finally:
        port.closePort()


def test_single_registers_and_who_is_silent(world, bus):
    assert [bus.ping(servo) for servo in bus.ids] == [777] * 6
    assert bus.read(1, reg.HOMING_OFFSET) == 1453
    assert bus.read(2, reg.HOMING_OFFSET) == -1197
    bus.write(4, reg.TORQUE_LIMIT, 400)
    assert bus.read(4, reg.TORQUE_LIMIT) == 400
    world.bus.inject("drop 1")
    assert bus.read(1, reg.HOMING_OFFSET) == 1453
    assert bus.counts["lost"] == 1
    world.bus.inject("mute 6")
    assert bus.ping(6) is None
    with pytest.raises(SilentServo, match="no answer of servo 6 to torque_limit"):
        bus.read(6, reg.TORQUE_LIMIT)


def test_128_never_gets_into_register_40_and_the_eeprom_only_when_asked(world, bus):
    for forbidden in (128, 2, 255):
        with pytest.raises(InputError, match="torque_enable: got .*, expected 0 or 1"):
            bus.write(1, reg.TORQUE_ENABLE, forbidden)
        with pytest.raises(InputError, match="expected 0 or 1"):
            bus.sync_write(reg.TORQUE_ENABLE, {1: forbidden})
    with pytest.raises(InputError, match="a write to the EEPROM"):
        bus.write(1, reg.HOMING_OFFSET, 7)
    with pytest.raises(InputError, match="a write to the EEPROM"):
        bus.sync_write(reg.RETURN_DELAY, {1: 0})
    assert world.servos[0].homings_lost == 0
    bus.write_eeprom(1, {reg.HOMING_OFFSET: -7})
    world.servos[0].lose_power()
    assert bus.read(1, reg.HOMING_OFFSET) == -7
    assert bus.read(1, reg.LOCK) == 1


def test_one_lost_and_one_corrupt_packet_cost_nothing_of_the_others(world, bus):
    world.bus.inject("mute 2")
    bus._patience_s = HASTY_S
    bus.request(BLOCK_START, BLOCK_LENGTH)
    assert 2 not in bus.collect()
    world.bus.inject("well")
    bus._patience_s = PATIENT_S
    world.bus.inject("corrupt 1")
    bus._patience_s = HASTY_S
    bus.request(BLOCK_START, BLOCK_LENGTH)
    answers = bus.collect()
    assert 1 not in answers
    assert bus.counts["corrupt"] == 1


def test_every_byte_of_every_answer_flipped_in_turn_gives_the_truth_or_nothing(world, bus):
    bus._patience_s = HASTY_S / 4
    world.bus.servo(3).write(42, b"\xff\xff")
    truth = {}
    while len(truth) < 6:
        bus.request(BLOCK_START, BLOCK_LENGTH)
        truth = bus.collect()
    q = read_block(truth, world.calibration).q
    size = BLOCK_LENGTH + 6
    for place in range(size):
        for how in (0x01, 0x80, 0xFF):
            world.bus.faults.flip = [(place, how)]
            bus.request(BLOCK_START, BLOCK_LENGTH)
            answers = bus.collect()
            assert all(answers[servo] == truth[servo] for servo in answers), (place, how)
            reading = read_block(answers, world.calibration)
            assert ((reading.q == q) | (reading.error < 0)).all()
    assert bus.counts["corrupt"] > 0


def test_what_fills_the_wire_for_ever_is_not_waited_for(world, bus):
    bus._patience_s = PATIENT_S
    world.bus.hear = lambda data: [(0.0, status(9, 0, bytes(BLOCK_LENGTH)))] * 400
    bus.request(BLOCK_START, BLOCK_LENGTH)
    assert bus.collect() == {}


def test_late_answers_do_not_answer_the_next_question(world, bus):
    bus._patience_s = HASTY_S
    hear = world.bus.hear
    world.bus.hear = lambda data: [(0.1, packet) for _, packet in hear(data)][:1]
    bus.request(BLOCK_START, BLOCK_LENGTH)
    assert bus.collect() == {}
    world.bus.hear = hear
    assert bus.read(2, reg.HOMING_OFFSET) == -1197


def test_a_port_that_is_not_there_or_taken_or_gone_is_a_named_error(world, bus):
    with pytest.raises(DeviceError, match="servo bus /dev/ttyNONE: got .*, expected a serial port that is free"):
        ServoBus("/dev/ttyNONE", [1])
    with pytest.raises(DeviceError, match="expected a serial port that is free"):
        ServoBus(world.wire.device, [1])
    world.wire.unplug()
    with pytest.raises(DeviceError, match="expected the adapter to stay"):
        bus.read(1, reg.MODEL)


class TestDecoder:
    """What a simulated servo makes of what it hears."""

    def test_a_stream_in_any_pieces_gives_the_same_packets(self):
        whole = instruction(1, 2, b"\x38\x0f") + instruction(254, 0x83, b"\x2a\x02\x01\xff\x0f")
        expected = [Packet(1, 2, b"\x38\x0f"), Packet(254, 0x83, b"\x2a\x02\x01\xff\x0f")]
        for cut in range(len(whole)):
            decoder = Decoder()
            assert decoder.feed(whole[:cut]) + decoder.feed(whole[cut:]) == expected

    def test_every_byte_flipped_never_makes_another_instruction(self):
        whole = instruction(1, 3, b"\x28\x01")
        for place in range(len(whole)):
            for how in range(1, 256):
                broken = bytearray(whole)
                broken[place] ^= how
                assert Decoder().feed(bytes(broken)) == []
        assert Decoder().feed(b"\xff" + whole) == [Packet(1, 3, b"\x28\x01")]
