"""Registers of the STS3215: signs as LeRobot and Feetech have them."""

import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.robot.feetech import registers as reg

EVERY = [r for r in vars(reg).values() if isinstance(r, reg.Register)]


@pytest.mark.parametrize(
    ("register", "value", "data"),
    [
        (reg.HOMING_OFFSET, 1453, b"\xad\x05"),
        (reg.HOMING_OFFSET, -1453, b"\xad\x0d"),  # bit 11
        (reg.HOMING_OFFSET, -2047, b"\xff\x0f"),
        (reg.PRESENT_LOAD, -82, b"\x52\x04"),  # bit 10
        (reg.PRESENT_VELOCITY, -1, b"\x01\x80"),  # bit 15
        (reg.PRESENT_POSITION, -100, b"\x64\x80"),
        (reg.GOAL_POSITION, 4095, b"\xff\x0f"),
        (reg.PRESENT_TEMPERATURE, 200, b"\xc8"),
    ],
)
def test_numbers_are_a_magnitude_and_a_sign_bit(register, value, data):
    assert register.encode(value) == data
    assert register.decode(data) == value


@pytest.mark.parametrize("register", EVERY, ids=lambda r: r.name)
def test_every_value_survives_the_way_there_and_back(register):
    least = 0 if register.sign_bit is None else -register.largest
    for value in {least, least // 2, 0, 1, register.largest}:
        assert register.decode(register.encode(value)) == value
    for value in (least - 1, register.largest + 1):
        with pytest.raises(InputError, match=f"{register.name}: got {value}, expected {least}"):
            register.encode(value)


def test_two_zeros_are_one():
    assert reg.HOMING_OFFSET.decode(b"\x00\x08") == 0


def test_no_register_overlaps_another():
    taken = [place for r in EVERY for place in range(r.address, r.address + r.size)]
    assert len(taken) == len(set(taken))
