"""Faults of the servo bus under a moving arm, and whether their judge sees when one is not noticed."""

from dataclasses import replace

import numpy as np
import pytest

from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.faults.bus import CASES, ONSET, BusStage, bus_table, swing
from so_arm_policy.robot.feetech import faults

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def stage():
    return BusStage()


def test_the_arm_is_in_the_midst_of_a_swing_when_a_fault_begins():
    home = np.zeros(6)
    assert abs(swing(home, ONSET + 1) - swing(home, ONSET))[0] * CONTROL_HZ > 1.5


@pytest.mark.parametrize("name", ["noisy_wire", "unplugged", "hot_servo", "no_commands", "other_arm", "wrong_model"])
def test_a_fault_is_named_and_the_arm_holds(stage, name):
    result = stage.run(BY_NAME[name])
    assert result.why == ()
    assert "1 of 1 as they must be" in bus_table([result])


def test_a_fault_that_nobody_names_and_an_arm_that_goes_on_are_noticed(stage):
    unnoticed = stage.run(replace(BY_NAME["warm_servo"], words="drop 1"))
    assert any("it did not say servo.over_temperature" in why for why in unnoticed.why)
    assert any("the arm still moves" in why for why in unnoticed.why)
    assert unnoticed.reaction is None
    bad = stage.run(replace(BY_NAME["lost_packet"], words="encoder 3"))
    assert any(faults.ENCODER in why for why in bad.why)
    accepted = stage.run(replace(BY_NAME["velocity_mode"], spoil=None))
    assert accepted.why == ("it was not refused", "a servo got torque")
    assert "0 of 3 as they must be" in bus_table([unnoticed, bad, accepted])


def test_every_name_is_there_once():
    assert len(BY_NAME) == len(CASES)
    stopping = {faults.UNPLUGGED, faults.SILENT_BUS, faults.SILENT, faults.HOT, faults.UNDER_VOLTAGE, faults.OVERLOAD}
    assert stopping <= {case.code for case in CASES}
