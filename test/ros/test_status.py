"""What safety/status tells the sources: who moves the arm, and whether anybody does."""

import pytest
from ros_world import ROBOT, now_ns
from so_arm_policy.msg import SafetyStatus

from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.ros.status import moves, stands, status_msg
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput

FAR = ROBOT.home + 1.0


def test_a_fallback_that_acts_is_told_so_and_the_selected_source_is_not():
    config = SupervisorConfig(sources=("system1", "planner"), fallback="planner")
    supervisor, start = Supervisor(config, ROBOT, "system1"), now_ns()

    def step(tick, system1):
        at = start + tick * NS // CONTROL_HZ
        proposals = {
            name: Proposal(
                source=name,
                sequence=tick,
                stamp_ns=at,
                observation_stamp_ns=at,
                received_ns=at,
                joint_names=ROBOT.joint_names,
                q=q,
            )
            for name, q in (("system1", system1), ("planner", ROBOT.home))
        }
        sample = JointSample(stamp_ns=at, received_ns=at, q=ROBOT.home, dq=0 * ROBOT.home)
        verdict = supervisor.step(TickInput(now_ns=at, ros_now_ns=at, sample=sample, proposals=proposals))
        return verdict, status_msg(supervisor, verdict, at)

    for tick in range(5):
        verdict, said = step(tick, ROBOT.home)
    assert verdict.mode is Mode.ACTIVE
    assert (moves(said, "system1"), moves(said, "planner"), stands(said)) == (True, False, False)
    for tick in range(5, 10):
        verdict, said = step(tick, FAR)
        assert verdict.mode is Mode.FALLBACK
        assert (moves(said, "system1"), moves(said, "planner"), stands(said)) == (False, True, False)


@pytest.mark.parametrize(
    ("state", "source", "expected"),
    [
        (SafetyStatus.HOLD, "pid", True),
        (SafetyStatus.ESTOP, "pid", True),
        (SafetyStatus.INIT, "pid", True),
        (SafetyStatus.ACTIVE, "pid", False),
        (SafetyStatus.FALLBACK, "pid", False),
        (SafetyStatus.ACTIVE, "hold", True),
    ],
)
def test_nobody_moves_the_arm_in_a_hold_a_stop_or_a_pause(state, source, expected):
    assert stands(SafetyStatus(state=state, source=source)) is expected
