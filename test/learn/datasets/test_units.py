import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.units import (
    Units,
    check_units,
    from_radians,
    joint_columns,
    lerobot_names,
    to_radians,
)
from so_arm_policy.robot.description import load_robot

SO101 = load_robot("so101")


@pytest.mark.parametrize("units", Units)
@given(share=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6))
def test_units_lead_there_and_back(units, share):
    q = SO101.lower + np.array(share) * (SO101.upper - SO101.lower)
    np.testing.assert_allclose(to_radians(from_radians(q, SO101, units), SO101, units), q, atol=1e-12)


def test_degrees_are_degrees_and_the_gripper_is_a_percentage():
    q = to_radians(
        np.array([[90.0, -90.0, 0.0, 45.0, 10.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 100.0]]), SO101, Units.DEGREES
    )
    np.testing.assert_allclose(q[0, :5], np.radians([90, -90, 0, 45, 10]))
    assert (q[0, 5], q[1, 5]) == pytest.approx((SO101.lower[5], SO101.upper[5]))


def test_normalized_is_a_share_of_the_range():
    ends = np.array([[-100.0] * 5 + [0.0], [100.0] * 6])
    np.testing.assert_allclose(to_radians(ends, SO101, Units.NORMALIZED), [SO101.lower, SO101.upper])


def test_two_grippers_are_two_percentages():
    robot = load_robot("so101_bimanual")
    middle = from_radians((robot.lower + robot.upper) / 2, robot, Units.DEGREES)
    grippers = [name for name, value in zip(robot.joint_names, middle, strict=True) if value == pytest.approx(50.0)]
    assert grippers == ["left_gripper", "right_gripper"]


def test_names_of_lerobot_map_onto_the_robot_in_any_order():
    names = list(reversed(lerobot_names(SO101)))
    assert names[-1] == "shoulder_pan.pos"
    assert joint_columns(SO101, names, "state") == (5, 4, 3, 2, 1, 0)
    assert joint_columns(SO101, SO101.joint_names, "state") == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (None, "got no names"),
        (["motor_0", *lerobot_names(SO101)[1:]], r"unknown joints \['motor_0'\], expected those of so101"),
        (lerobot_names(load_robot("so101_bimanual")), "unknown joints .*left_shoulder_pan.pos"),
        (lerobot_names(SO101)[:5], r"\['gripper'\] missing"),
        ([*lerobot_names(SO101), "gripper_joint"], r"\['gripper'\] double"),
    ],
)
def test_other_names_are_refused(names, says):
    with pytest.raises(InputError, match=says):
        joint_columns(SO101, names, "state")


def test_right_units_pass_and_wrong_ones_are_told_which_fit():
    q = np.linspace(SO101.lower, SO101.upper, 50)
    stored = {units: from_radians(q, SO101, units) for units in Units}
    for units in Units:
        check_units(stored[units], SO101, units, "state")
    with pytest.raises(InputError, match="expected degrees of so101; they fit radians"):
        check_units(stored[Units.RADIANS], SO101, Units.DEGREES, "state")
    with pytest.raises(InputError, match="got shoulder_pan within -110.*, expected radians of so101; they fit degrees"):
        check_units(stored[Units.DEGREES], SO101, Units.RADIANS, "state")
    with pytest.raises(InputError, match="they fit no units of so101"):
        check_units(stored[Units.DEGREES] * 5, SO101, Units.DEGREES, "state")
