"""Values of the supervisor, and proposals as they arrive."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import World

from so_arm_policy.core.errors import InputError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import schema, sources
from so_arm_policy.safety.case import Case, Tick
from so_arm_policy.safety.inbox import DEPTH, Inbox
from so_arm_policy.safety.values import Action, Fault, Finding, Mode, Output, TickInput

ROBOT = load_robot("so101")
N = len(ROBOT.joints)


def test_a_command_at_rest_is_a_read_only_copy():
    q = np.arange(3.0)
    made = Output.at_rest(q)
    q[0] = 9.0
    np.testing.assert_array_equal(made.q, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(made.step, np.zeros(3))
    np.testing.assert_array_equal(made.bend, np.zeros(3))
    assert made.resting
    assert not made.q.flags.writeable


def test_a_command_that_moved_knows_how():
    first = Output.at_rest(np.zeros(2)).moved(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(first.bend, [1.0, 0.0])
    then = first.moved(np.array([1.5, 0.0]), np.array([0.5, 0.0]))
    np.testing.assert_array_equal(then.bend, [-0.5, 0.0])
    assert not then.q.flags.writeable
    assert not then.step.flags.writeable


def test_a_command_rests_when_it_neither_moves_nor_is_about_to():
    zero, one = np.zeros(2), np.array([0.0, 1e-12])
    assert Output(zero, zero, zero).resting is True
    assert Output(one, zero, zero).resting is True
    assert Output(zero, one, zero).resting is False
    assert Output(zero, zero, one).resting is False


def case(proposal, world=None, **changes):
    world = world or World(ROBOT)
    tick = TickInput(now_ns=world.now_ns, ros_now_ns=world.ros_ns, sample=world.sample(), proposals={})
    state = replace(world.supervisor.state, **changes)
    return Case(world.supervisor.setup, state, tick, tick.sample, world.q, "pid", proposal)


def test_positions_and_velocities_are_put_into_the_order_of_the_robot():
    world = World(ROBOT)
    names = ROBOT.joint_names[::-1]
    made = case(world.proposal(np.arange(6.0), joint_names=names, dq=10.0 + np.arange(6.0)))
    np.testing.assert_array_equal(made.q, np.arange(6.0)[::-1])
    np.testing.assert_array_equal(made.dq, 10.0 + np.arange(6.0)[::-1])
    assert made.q is made.q
    assert case(world.proposal()).dq is None
    assert case(world.proposal(dq=np.array([]))).dq is None


@pytest.mark.parametrize("what", ["position", "velocity"])
def test_what_cannot_be_put_into_order_says_of_what_it_is(what):
    world, bad = World(ROBOT), np.zeros(6)
    bad[2] = np.nan
    for values in (bad, np.zeros(5)):
        proposal = world.proposal(**({"q": values} if what == "position" else {"dq": values}))
        made = case(proposal)
        with pytest.raises(InputError, match=f"^{what}: got"):
            _ = made.q if what == "position" else made.dq


def test_a_proposal_in_our_order_is_copied_as_float64():
    world = World(ROBOT)
    proposal = replace(world.proposal(), q=np.arange(6, dtype=np.float32))
    made = case(proposal)
    assert made.q.dtype == np.float64
    proposal.q[:] = 7.0
    np.testing.assert_array_equal(made.q, np.arange(6.0))


def test_the_schema_says_what_it_got_and_expected():
    world = World(ROBOT)
    for proposal, code, text in (
        (
            world.proposal(np.zeros(5)),
            "schema.length",
            "got 6 joint names, positions (5,), velocities (0,), expected 6",
        ),
        (world.proposal(dq=np.zeros(7)), "schema.length", "velocities (7,)"),
        (world.proposal(joint_names=()), "schema.length", "got 0 joint names"),
        (world.proposal(np.full(6, np.inf)), "schema.nonfinite", "position: got [inf, "),
        (world.proposal(dq=np.full(6, np.nan)), "schema.nonfinite", "velocity: got [nan, "),
        (world.proposal(joint_names=("x",) * 6), "schema.names", "got joint 'x' twice"),
        (world.proposal(disagreement=-0.1), "schema.score", "disagreement: got -0.1, expected"),
        (world.proposal(novelty=np.inf), "schema.score", "novelty: got inf, expected"),
    ):
        finding = schema.check_proposal(case(proposal))
        assert (finding.code, finding.action) == (code, Action.REJECT)
        assert text in finding.text.replace("np.float64(", "").replace(")", "") or text in finding.text
    for proposal in (world.proposal(), world.proposal(dq=np.zeros(6)), world.proposal(dq=np.array([]))):
        assert schema.check_proposal(case(proposal)) is None


def test_the_schema_of_a_measured_state():
    world = World(ROBOT)

    def judged(sample):
        tick = TickInput(now_ns=1, ros_now_ns=1, sample=sample, proposals={})
        return schema.check_tick(Tick(world.supervisor.setup, world.supervisor.state, tick))

    assert judged(None) is None
    assert judged(world.sample()) is None
    for q, text in ((np.zeros(5), "got shape (5,), expected (6,)"), (np.full(6, np.nan), "expected finite positions")):
        finding = judged(world.sample(q=q))
        assert (finding.code, finding.action) == ("schema.state", Action.HOLD)
        assert text in finding.text


def test_the_first_fault_is_told_and_holds():
    world = World(ROBOT)

    def judged(*faults):
        tick = TickInput(now_ns=1, ros_now_ns=1, sample=None, proposals={}, faults=faults)
        return sources.check_tick(Tick(world.supervisor.setup, world.supervisor.state, tick))

    assert judged() is None
    first, second = Fault(code="a.b", text="one"), Fault(code="c.d", text="two", latches=True)
    assert judged(first, second) == Finding("a.b", "one", Action.HOLD)


def test_a_proposal_in_the_name_of_another_is_told():
    world = World(ROBOT)
    assert sources.check_proposal(case(world.proposal())) is None
    finding = sources.check_proposal(case(replace(world.proposal(), source="teleop")))
    assert (finding.code, finding.action) == ("source.mismatch", Action.REJECT)
    assert "got source 'teleop', expected 'pid'" in finding.text


@pytest.mark.parametrize(("mode", "joined"), [(m, m in (Mode.ACTIVE, Mode.FALLBACK)) for m in Mode])
def test_who_acted_in_the_tick_before_has_joined(mode, joined):
    assert case(World(ROBOT).proposal(), mode=mode).joined is joined


def test_an_inbox_keeps_two_for_each_source_and_shows_the_last_one_again():
    assert DEPTH == 2
    world, inbox = World(ROBOT), Inbox(["pid", "hold"])
    assert inbox.take(following=True) == {}
    first, second, third = (world.proposal() for _ in range(3))
    for proposal in (first, second, third):
        inbox.put("pid", proposal)
    shown = inbox.take(following=True)
    assert shown == {"pid": second}
    shown.clear()
    assert inbox.take(following=True) == {"pid": third}
    assert inbox.take(following=False) == {"pid": third}
