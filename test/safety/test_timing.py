"""Rule 2, time, right at each of its limits: what is at the limit passes, one nanosecond beyond does not."""

from dataclasses import replace

import pytest
from safety_world import PERIOD_NS, World

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import timing
from so_arm_policy.safety.case import Case, Tick
from so_arm_policy.safety.values import Action, TickInput

ROBOT = load_robot("so101")
MS = 1_000_000


def following():
    """A world whose source acts, one nominal tick after its last proposal."""
    world = World(ROBOT)
    world.start()
    world.advance()
    return world


def holding():
    """A world that holds after 60 ms of silence."""
    world = World(ROBOT)
    world.start()
    for _ in range(8):
        world.silence()
    world.advance()
    return world


def tick(world, **changes):
    made = TickInput(now_ns=world.now_ns, ros_now_ns=world.ros_ns, sample=world.sample(), proposals={})
    return replace(made, **changes)


def of_tick(world, **changes):
    return timing.check_tick(Tick(world.supervisor.setup, world.supervisor.state, tick(world, **changes)))


def of_proposal(world, proposal):
    state = world.supervisor.state
    return timing.check_proposal(
        Case(world.supervisor.setup, state, tick(world), world.sample(), state.output.q, "pid", proposal)
    )


def said(finding):
    return finding and (finding.code, finding.action)


def test_ticks_are_paid_for_with_time_and_two_can_be_saved_up():
    world = World(ROBOT)
    setup, state = world.supervisor.setup, world.supervisor.state
    assert timing.pace(setup, state, tick(world)) == (2 * PERIOD_NS, world.now_ns)
    state = replace(state, now_ns=world.now_ns, ros_now_ns=world.ros_ns, ros_moved_ns=17, credit_ns=5)
    for ns, credit in (
        (-1, 5),
        (0, 5),
        (1, 6),
        (MS, MS + 5),
        (2 * PERIOD_NS - 6, 2 * PERIOD_NS - 1),
        (2 * PERIOD_NS - 5, 2 * PERIOD_NS),
        (2 * PERIOD_NS, 2 * PERIOD_NS),
        (900 * MS, 2 * PERIOD_NS),
    ):
        later = tick(world, now_ns=world.now_ns + ns)
        assert timing.pace(setup, state, later) == (credit, 17), "the ROS clock stood"
        for ros_ns in (1, -1) if ns > 0 else (-1,):
            moved = replace(later, ros_now_ns=world.ros_ns + ros_ns)
            assert timing.pace(setup, state, moved) == (credit, later.now_ns)


@pytest.mark.parametrize("ns", [0, -1, -MS])
def test_while_the_monotonic_clock_stands_the_ros_clock_pays_for_one_tick_at_a_time(ns):
    world = World(ROBOT)
    setup = world.supervisor.setup
    state = replace(world.supervisor.state, now_ns=world.now_ns, ros_now_ns=world.ros_ns, credit_ns=5)
    for ros_ns, credit in (
        (1, 6),
        (PERIOD_NS - 1, PERIOD_NS + 4),
        (PERIOD_NS, PERIOD_NS + 5),
        (900 * MS, PERIOD_NS + 5),
    ):
        later = tick(world, now_ns=world.now_ns + ns, ros_now_ns=world.ros_ns + ros_ns)
        assert timing.pace(setup, state, later) == (credit, later.now_ns)
        assert timing.stuck(state, later)
        assert not timing.stuck(replace(state, now_ns=None), later)
        finding = timing.check_tick(Tick(setup, state, later))
        assert said(finding) == ("time.tick", Action.HOLD)
    assert finding.text == "monotonic clock: did not advance in 900.000 ms by the ROS clock"
    for now_ns, ros_ns in ((1, 1), (1, 0), (0, 0), (-1, 0), (-1, -1)):
        assert not timing.stuck(state, tick(world, now_ns=world.now_ns + now_ns, ros_now_ns=world.ros_ns + ros_ns))


def test_a_tick_that_is_not_paid_for_moves_nothing():
    world = following()
    setup, state = world.supervisor.setup, world.supervisor.state
    assert timing.check_pace(setup, state, tick(world), PERIOD_NS) is None
    finding = timing.check_pace(setup, state, tick(world), PERIOD_NS - 1)
    assert said(finding) == ("time.burst", Action.HOLD)
    assert finding.text == "got a tick after 8.333 ms, expected 8.333"
    soon = tick(world, now_ns=state.now_ns + 1)
    assert timing.check_pace(setup, state, soon, 0).code == "time.burst"
    for ns in (0, -1, -MS):
        assert said(timing.check_pace(setup, state, replace(soon, now_ns=state.now_ns + ns), 0)) == (
            "time.tick",
            Action.HOLD,
        )
    assert timing.check_pace(setup, replace(state, now_ns=None), soon, 0) is None


def late(world, ns, ros_ns):
    """A tick so long after the last one, with a joint state of that moment."""
    state = world.supervisor.state
    now_ns, ros_now_ns = state.now_ns + ns, state.ros_now_ns + ros_ns
    sample = world.sample(received_ns=now_ns, stamp_ns=ros_now_ns)
    return tick(world, now_ns=now_ns, ros_now_ns=ros_now_ns, sample=sample)


def test_a_tick_may_be_30_ms_late_by_either_clock():
    world = following()
    setup, state = world.supervisor.setup, world.supervisor.state
    for ns, ros_ns in ((30 * MS, 30 * MS), (30 * MS + 1, 30 * MS), (30 * MS, 30 * MS + 1), (900 * MS, 1)):
        assert not timing.stalled(setup, state, late(world, ns, ros_ns))
        finding = timing.check_tick(Tick(setup, state, late(world, ns, ros_ns)))
        assert finding is None
    for ns, ros_ns in ((30 * MS + 1, 30 * MS + 1), (30 * MS + 1, -1), (30 * MS + 1, 0)):
        assert timing.stalled(setup, state, late(world, ns, ros_ns))
        assert not timing.stalled(setup, replace(state, now_ns=None), late(world, ns, ros_ns))
    finding = timing.check_tick(Tick(setup, state, late(world, 30 * MS + 1, 30 * MS + 1)))
    assert said(finding) == ("time.stall", Action.HOLD)
    assert finding.text == "tick: 30.0 ms since the last, limit 30.0"


def test_the_ros_clock_may_stand_but_not_go_back():
    world = following()
    last = world.supervisor.state.ros_now_ns
    standing = {"ros_now_ns": last, "sample": world.sample(stamp_ns=last)}
    assert of_tick(world, **standing) is None
    finding = of_tick(world, **standing | {"ros_now_ns": last - 2 * MS})
    assert said(finding) == ("time.clock_back", Action.HOLD)
    assert "went back 2.000 ms" in finding.text
    state = world.supervisor.state
    assert not timing.clock_back(state, tick(world, ros_now_ns=last))
    assert timing.clock_back(state, tick(world, ros_now_ns=last - 1))
    assert not timing.clock_back(replace(state, now_ns=None), tick(world, ros_now_ns=last - 1))


def test_the_ros_clock_may_stand_for_200_ms():
    world = following()
    state = world.supervisor.state
    stood = replace(state, ros_moved_ns=world.now_ns - 200 * MS)
    standing = tick(world, ros_now_ns=state.ros_now_ns, sample=world.sample(stamp_ns=state.ros_now_ns))
    assert timing.check_tick(Tick(world.supervisor.setup, stood, standing)) is None
    stood = replace(state, ros_moved_ns=world.now_ns - 200 * MS - 1)
    finding = timing.check_tick(Tick(world.supervisor.setup, stood, standing))
    assert said(finding) == ("time.clock_paused", Action.HOLD)
    assert finding.text == "ROS clock: stands still for 200 ms, limit 200"
    assert timing.check_tick(Tick(world.supervisor.setup, stood, tick(world))) is None, "it goes on in this tick"


def test_a_measured_state_may_be_100_ms_old_by_either_clock():
    world = following()
    for name, now in (("received_ns", world.now_ns), ("stamp_ns", world.ros_ns)):
        state = replace(world.supervisor.state, sample_stamp_ns=0)
        for ns, code in ((100 * MS, None), (100 * MS + 1, "time.state_stale")):
            old = tick(world, sample=world.sample(**{name: now - ns}))
            finding = timing.check_tick(Tick(world.supervisor.setup, state, old))
            assert (finding and finding.code) == code
    assert finding.action is Action.HOLD
    assert finding.text == "joint state: 100.0 ms old, limit 100.0"


def test_a_measured_state_may_be_20_ms_ahead():
    world = following()
    assert of_tick(world, sample=world.sample(stamp_ns=world.ros_ns + 20 * MS)) is None
    finding = of_tick(world, sample=world.sample(stamp_ns=world.ros_ns + 20 * MS + 1))
    assert said(finding) == ("time.state_future", Action.HOLD)
    assert "a stamp 20.0 ms ahead of now" in finding.text
    assert of_tick(world, sample=world.sample(received_ns=world.now_ns + 20 * MS)) is None
    finding = of_tick(world, sample=world.sample(received_ns=world.now_ns + 20 * MS + 1))
    assert said(finding) == ("time.state_stale", Action.HOLD)


def test_a_measured_state_may_not_be_before_an_earlier_one():
    world = following()
    earlier = world.supervisor.state.sample_stamp_ns
    assert of_tick(world, sample=world.sample(stamp_ns=earlier)) is None
    finding = of_tick(world, sample=world.sample(stamp_ns=earlier - MS))
    assert said(finding) == ("time.state_backwards", Action.HOLD)
    assert "1.0 ms before an earlier one" in finding.text
    assert of_tick(world, sample=world.sample(stamp_ns=earlier - 1)).code == "time.state_backwards"
    assert said(of_tick(world, sample=None)) == ("time.no_state", Action.HOLD)


@pytest.mark.parametrize("name", ["stamp_ns", "observation_stamp_ns"])
@pytest.mark.parametrize("ns", [0, -1])
def test_an_empty_stamp_is_refused(name, ns):
    world = following()
    finding = of_proposal(world, world.proposal(**{name: ns}))
    assert said(finding) == ("time.zero", Action.REJECT)
    assert of_proposal(world, world.proposal(**{name: 1})).code != "time.zero"


@pytest.mark.parametrize(
    ("name", "clock"), [("stamp_ns", "ros_ns"), ("observation_stamp_ns", "ros_ns"), ("received_ns", "now_ns")]
)
def test_a_proposal_may_be_20_ms_ahead(name, clock):
    world = following()
    now = getattr(world, clock)
    assert of_proposal(world, world.proposal(**{name: now + 20 * MS})) is None
    finding = of_proposal(world, world.proposal(**{name: now + 20 * MS + 1}))
    assert said(finding) == ("time.future", Action.REJECT)
    assert finding.text == "got a stamp 20.0 ms ahead, limit 20.0"


@pytest.mark.parametrize("name", ["stamp_ns", "observation_stamp_ns"])
def test_what_is_from_before_a_reset_does_not_count(name):
    world = following()
    world.supervisor.state = replace(world.supervisor.state, epoch_ns=world.ros_ns)
    assert of_proposal(world, world.proposal()) is None
    finding = of_proposal(world, world.proposal(**{name: world.ros_ns - 1}))
    assert said(finding) == ("time.before_reset", Action.HOLD)


@pytest.mark.parametrize(("name", "clock"), [("stamp_ns", "ros_ns"), ("received_ns", "now_ns")])
def test_a_proposal_may_be_50_ms_old_on_arrival(name, clock):
    world = holding()
    now = getattr(world, clock)
    assert of_proposal(world, world.proposal(**{name: now - 50 * MS})) is None
    finding = of_proposal(world, world.proposal(**{name: now - 50 * MS - 1}))
    assert said(finding) == ("time.stale", Action.REJECT)
    assert finding.text == "got a command 50.0 ms old, limit 50.0"


def test_a_proposal_may_follow_from_a_measurement_3_s_old():
    world = following()
    assert of_proposal(world, world.proposal(observation_stamp_ns=world.ros_ns - 3000 * MS)) is None
    finding = of_proposal(world, world.proposal(observation_stamp_ns=world.ros_ns - 3000 * MS - 1))
    assert said(finding) == ("time.observation", Action.REJECT)
    assert finding.text == "follows a measurement 3000 ms old, limit 3000"


def test_a_source_may_be_silent_for_50_ms():
    world = following()
    heard, last = world.supervisor.state.heard, world.proposals["pid"]
    world.now_ns, world.ros_ns = heard.received_ns + 50 * MS, heard.stamp_ns + 50 * MS
    assert of_proposal(world, last) is None
    world.now_ns, world.ros_ns = heard.received_ns + 50 * MS + 1, heard.stamp_ns
    finding = of_proposal(world, last)
    assert said(finding) == ("time.silent", Action.HOLD)
    assert finding.text == "source 'pid': nothing new for 50.0 ms, limit 50.0"
    world.now_ns, world.ros_ns = heard.received_ns, heard.stamp_ns + 50 * MS + 1
    assert said(of_proposal(world, last)) == ("time.silent", Action.HOLD)


def test_after_a_hold_the_last_proposal_says_nothing_any_more():
    world = following()
    last = world.proposals["pid"]
    assert of_proposal(world, last) is None
    world.tick(sample=None)
    finding = of_proposal(world, last)
    assert said(finding) == ("time.silent", Action.HOLD)
    assert finding.text == "source 'pid': nothing new since the hold began"


def test_a_stamp_is_newer_than_the_last():
    world = following()
    stamp = world.supervisor.state.heard.stamp_ns
    assert of_proposal(world, world.proposal(stamp_ns=stamp + 1)) is None
    assert said(of_proposal(world, world.proposal(stamp_ns=stamp))) == ("time.repeated", Action.REJECT)
    finding = of_proposal(world, world.proposal(stamp_ns=stamp - 2 * MS))
    assert said(finding) == ("time.backwards", Action.REJECT)
    assert "2.000 ms before the previous one" in finding.text


def test_the_same_proposal_with_another_number_or_time_of_arrival_is_a_new_one():
    world = following()
    last = world.proposals["pid"]
    for changes in ({"sequence": last.sequence + 1}, {"received_ns": last.received_ns + 1}):
        assert said(of_proposal(world, replace(last, **changes))) == ("time.repeated", Action.REJECT)
    assert of_proposal(world, replace(last, stamp_ns=last.stamp_ns + 1)).code == "time.sequence"
    assert of_proposal(world, last) is None


def test_a_sequence_number_grows_unless_the_source_was_silent_for_50_ms():
    world = following()
    last = world.proposals["pid"]
    for sequence, code in ((last.sequence - 1, "time.sequence"), (last.sequence, "time.sequence")):
        assert said(of_proposal(world, world.proposal(sequence=sequence))) == (code, Action.REJECT)
    assert of_proposal(world, world.proposal(sequence=last.sequence + 1)) is None
    world.now_ns = last.received_ns + 50 * MS
    assert of_proposal(world, world.proposal(sequence=0)).code == "time.sequence"
    world.now_ns += 1
    assert of_proposal(world, world.proposal(sequence=0)) is None


def test_what_was_refused_meanwhile_breaks_the_silence_too():
    world = holding()
    state = world.supervisor.state
    assert of_proposal(world, world.proposal(sequence=0)) is None
    world.supervisor.state = replace(state, arrived_ns=world.now_ns - 50 * MS)
    assert of_proposal(world, world.proposal(sequence=0)).code == "time.sequence"


def test_while_a_source_acts_its_accepted_number_counts_and_else_the_one_that_came_last():
    world = following()
    world.supervisor.state = replace(world.supervisor.state, arrived_sequence=10)
    assert of_proposal(world, world.proposal(sequence=9)) is None
    world.tick(sample=None)
    world.advance()
    world.supervisor.state = replace(world.supervisor.state, arrived_sequence=10)
    finding = of_proposal(world, world.proposal(sequence=10))
    assert said(finding) == ("time.sequence", Action.REJECT)
    assert "got sequence 10 after 10" in finding.text
    assert of_proposal(world, world.proposal(sequence=11)) is None
