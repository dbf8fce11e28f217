"""Rules 4 and 5 right at each of their limits, with a command that stands at zero."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import World

from so_arm_policy.core.values import JointSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import bands, continuity
from so_arm_policy.safety.case import Case
from so_arm_policy.safety.values import Action, Mode, Output, SupervisorState, TickInput

ROBOT = load_robot("so101")
WORLD = World(ROBOT)
N = WORLD.n


def at(value, joint=1):
    q = np.zeros(N)
    q[joint] = value
    return q


def beyond(value):
    return float(np.nextafter(value, np.copysign(np.inf, value)))


def case(wish, mode=Mode.ACTIVE, joining=False, output=None, measured=None):
    output = np.zeros(N) if output is None else output
    sample = JointSample(
        stamp_ns=WORLD.ros_ns,
        received_ns=WORLD.now_ns,
        q=output if measured is None else measured,
        dq=np.zeros(N),
    )
    state = SupervisorState(mode=mode, selected="pid", acting="pid", output=Output.at_rest(output), joining=joining)
    tick = TickInput(now_ns=WORLD.now_ns, ros_now_ns=WORLD.ros_ns, sample=sample, proposals={})
    return Case(WORLD.supervisor.setup, state, tick, sample, output, "pid", WORLD.proposal(wish))


def refused(rule, case):
    finding = rule.check_proposal(case)
    assert finding is None or finding.action is Action.REJECT
    return finding and finding.code


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_wish_may_be_a_tenth_outside_of_a_position_limit(way):
    for joint in (0, 4):
        limit = (ROBOT.upper if way > 0 else ROBOT.lower)[joint]
        near = at(limit, joint)
        assert refused(bands, case(near + at(0.0999 * way, joint), output=near)) is None
        finding = bands.check_proposal(case(near + at(0.1001 * way, joint), output=near))
        assert finding.code == "limit.position_band"
        assert f"{ROBOT.joint_names[joint]!r}: got {limit + 0.1001 * way:.4f} rad, expected within 0.1" in finding.text


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_right_at_the_band_a_wish_is_accepted(way):
    """With numbers that are exact: a command that stands outside counts as the limit."""
    outside = at(4.0 * way)
    setup = World(ROBOT, position_band_rad=0.125).supervisor.setup
    for step, code in ((0.125, None), (0.1251, "limit.position_band")):
        assert refused(bands, replace(case(outside + at(step * way), output=outside), setup=setup)) == code


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.FALLBACK])
def test_a_source_that_acts_may_step_a_quarter_from_the_command_wherever_the_arm_is(mode, way):
    for measured in (None, at(0.3 * way), at(-0.1 * way)):
        assert refused(bands, case(at(0.25 * way), mode, measured=measured)) is None
        made = case(at(beyond(0.25 * way), joint=3), mode, measured=measured)
        finding = bands.check_proposal(made)
        assert finding.code == "limit.step_band"
        assert f"'wrist_flex': got {0.25 * way:.4f} rad, expected within 0.25 of 0.0000" in finding.text


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize(("mode", "joining"), [(Mode.HOLD, False), (Mode.ACTIVE, True), (Mode.FALLBACK, True)])
def test_a_source_that_joins_may_also_step_a_quarter_from_the_measured_pose(mode, joining, way):
    pressed = at(0.5 * way)
    assert refused(bands, case(at(0.75 * way), mode, joining, measured=pressed)) is None
    assert refused(bands, case(at(beyond(0.75 * way)), mode, joining, measured=pressed)) == "limit.step_band"
    assert refused(bands, case(at(0.25 * way), mode, joining, measured=pressed)) is None
    assert refused(bands, case(at(-0.25 * way), mode, joining, measured=pressed)) is None
    assert refused(bands, case(at(beyond(-0.25 * way)), mode, joining, measured=pressed)) == "limit.step_band"


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_an_arm_further_than_twice_the_band_from_its_command_was_moved_by_somebody(way):
    assert refused(bands, case(at(0.4 * way), Mode.HOLD, measured=at(0.5 * way))) is None
    assert refused(bands, case(at(0.4 * way), Mode.HOLD, measured=at(beyond(0.5 * way)))) == "limit.step_band"


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("joint", [0, 5])
def test_the_first_command_is_within_015_of_the_measured_or_of_the_held_position(joint, way):
    measured = at(-0.4 * way, joint)
    for wish in (0.15, -0.15, -0.2501, -0.5499):
        assert refused(continuity, case(at(wish * way, joint), Mode.HOLD, measured=measured)) is None
    for wish in (beyond(0.15), beyond(-0.15), -0.2499, -0.5501):
        made = case(at(wish * way, joint), Mode.HOLD, measured=measured)
        finding = continuity.check_proposal(made)
        assert finding.code == "continuity.far"
        assert finding.action is Action.REJECT
        assert ROBOT.joint_names[joint] in finding.text
        assert f"of measured {-0.4 * way:.4f} or held 0.0000" in finding.text


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_right_at_the_distance_from_the_measured_pose_a_source_may_begin(way):
    held = at(0.5 * way)
    assert refused(continuity, case(at(0.0), Mode.HOLD, output=held, measured=at(0.15 * way))) is None
    assert refused(continuity, case(at(0.0), Mode.HOLD, output=held, measured=at(beyond(0.15 * way)))) == (
        "continuity.far"
    )


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_place_across_zero_is_far(way):
    held, across = at(0.5 * way), at(-0.5 * way)
    assert refused(continuity, case(across, Mode.HOLD, output=held, measured=held)) == "continuity.far"
    assert refused(continuity, case(across, Mode.HOLD, output=held, measured=across)) is None
    assert refused(continuity, case(across, Mode.HOLD, output=across, measured=held)) is None
    assert refused(bands, case(across, output=held, measured=across)) == "limit.step_band"


def test_only_who_did_not_act_before_must_start_near():
    assert refused(continuity, case(at(1.0), Mode.HOLD)) == "continuity.far"
    assert refused(continuity, case(at(1.0), Mode.INIT)) == "continuity.far"
    assert refused(continuity, case(at(1.0), Mode.ACTIVE)) is None
    assert refused(continuity, case(at(1.0), Mode.FALLBACK)) is None
