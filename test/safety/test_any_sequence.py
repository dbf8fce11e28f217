"""Whatever arrives, in whatever order and at whatever time: the output keeps the limits and the state its diagram."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import example, given, settings
from safety_world import PERIOD_NS, Referee, World

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.rules import REASONS
from so_arm_policy.safety.values import Action, Fault, Mode

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
STALL_NS = 30_000_000

any_float = st.floats(allow_nan=True, allow_infinity=True)
near = st.floats(-0.3, 0.3)
any_vector = st.one_of(
    st.lists(near, min_size=N, max_size=N).map(lambda d: ("near", np.array(d))),
    st.lists(st.one_of(any_float, near), min_size=0, max_size=N + 2).map(lambda v: ("raw", np.array(v, dtype=float))),
)
any_names = st.one_of(
    st.just(ROBOT.joint_names),
    st.permutations(ROBOT.joint_names).map(tuple),
    st.lists(st.sampled_from([*ROBOT.joint_names, "shoulder_pan.pos", "x"]), max_size=N + 1).map(tuple),
)
shift = st.one_of(st.just(0), st.integers(-200_000_000, 200_000_000), st.integers(-(2**62), 2**62))
proposals = st.fixed_dictionaries(
    {"q": any_vector},
    optional={
        "names": any_names,
        "dq": st.one_of(st.none(), any_vector),
        "stamp": shift,
        "observation": shift,
        "received": shift,
        "sequence": st.integers(-3, 3),
        "source": st.sampled_from(["pid", "teleop", "hold", "stranger"]),
    },
)
events = st.fixed_dictionaries(
    {"proposal": st.one_of(st.none(), proposals, proposals)},
    optional={
        "repeat": st.integers(1, 15),
        "ns": st.one_of(st.just(0), st.integers(-(10**9), 10**9), st.integers(1, 2 * PERIOD_NS)),
        "ros_ns": st.one_of(st.just(0), st.integers(-(10**9), 10**9)),
        "sample": st.one_of(st.none(), any_vector, shift),
        "select": st.sampled_from(["pid", "teleop", "hold", "", "stranger"]),
        "reset": st.booleans(),
        "estop": st.sampled_from(["", "button"]),
        "fault": st.booleans(),
    },
)

DIAGRAM = {
    Mode.INIT: {Mode.INIT, Mode.HOLD, Mode.ACTIVE, Mode.ESTOP},
    Mode.HOLD: {Mode.HOLD, Mode.ACTIVE, Mode.FALLBACK, Mode.ESTOP},
    Mode.ACTIVE: {Mode.ACTIVE, Mode.HOLD, Mode.FALLBACK, Mode.ESTOP},
    Mode.FALLBACK: {Mode.FALLBACK, Mode.HOLD, Mode.ACTIVE, Mode.ESTOP},
    Mode.ESTOP: {Mode.ESTOP, Mode.HOLD, Mode.ACTIVE},
}


def values(world, drawn):
    kind, array = drawn
    return world.q + array if kind == "near" else array


def make_proposal(world, drawn):
    changes = {}
    if "names" in drawn:
        changes["joint_names"] = drawn["names"]
    if drawn.get("dq") is not None:
        changes["dq"] = values(world, drawn["dq"])
    for key, name, now in (
        ("stamp", "stamp_ns", world.ros_ns),
        ("observation", "observation_stamp_ns", world.ros_ns),
        ("received", "received_ns", world.now_ns),
    ):
        if key in drawn:
            changes[name] = now + drawn[key]
    if "sequence" in drawn:
        changes["sequence"] = world.sequence + drawn["sequence"]
    return world.proposal(values(world, drawn["q"]), source=drawn.get("source"), **changes)


def make_sample(world, drawn):
    if drawn is None:
        return None
    if isinstance(drawn, int):
        return world.sample(stamp_ns=world.ros_ns + drawn, received_ns=world.now_ns - drawn)
    return world.sample(q=values(world, drawn))


class Judge:
    """Follows the world's verdicts tick by tick."""

    def __init__(self, world):
        self.world, self.referee, self.mode, self.limp = world, None, Mode.INIT, False

    def tick(self, event):
        world = self.world
        ns = event.get("ns", PERIOD_NS)
        world.advance(ns, event.get("ros_ns", ns))
        changes = {key: event[key] for key in ("select", "reset", "estop") if key in event}
        if "sample" in event:
            changes["sample"] = make_sample(world, event["sample"])
        if event.get("fault"):
            changes["faults"] = (Fault(code="source.unknown_publisher", text="two writers"),)
        credit = world.supervisor.state.credit_ns
        first = world.supervisor.state.now_ns is None
        made = [] if event["proposal"] is None else [make_proposal(world, event["proposal"])]
        measured = changes.get("sample", world.sample())
        verdict = world.tick(*made, **changes)
        ros_ns = event.get("ros_ns", ns)
        paid = min(ros_ns, PERIOD_NS) if ns <= 0 < ros_ns else ns
        frozen = not first and min(credit + max(paid, 0), 2 * PERIOD_NS) < PERIOD_NS
        stood = not first and ns > STALL_NS and not 0 < ros_ns <= STALL_NS
        self.check(verdict, changes, measured, frozen, stood)

    def check(self, verdict, changes, measured, frozen, stood):
        reset = changes.get("reset", False) and "reset:" not in verdict.refused
        revived, self.limp = self.limp and not verdict.limp, verdict.limp
        assert verdict.mode in DIAGRAM[self.mode]
        if self.mode is Mode.ESTOP and verdict.mode is not Mode.ESTOP:
            assert reset
            assert "estop" not in changes
        if "estop" in changes:
            assert verdict.mode is Mode.ESTOP
        self.mode = verdict.mode
        assert (verdict.action is Action.PASS) == (verdict.code == "")
        assert verdict.code == "" or verdict.code in REASONS
        if verdict.command is None:
            assert self.referee is None
            return
        if self.referee is None:
            self.referee = Referee(self.world.robot, measured.q)
        elif revived:
            assert changes.get("reset", False)
            self.referee = Referee(self.world.robot, measured.q)
        elif reset:
            before = self.referee.q
            if np.abs(measured.q - before).max() > 0.15:
                self.referee = Referee(self.world.robot, measured.q)
        self.referee.look_at(verdict.command, frozen, stood)


@settings(max_examples=3 * settings.default.max_examples)
@example([{"proposal": {"q": ("near", np.full(N, 0.125))}}, {"proposal": None, "ns": 10**8, "ros_ns": -1}], None, False)
@given(st.lists(events, max_size=30), st.sampled_from([None, "hold"]), st.booleans())
def test_any_sequence_of_events_keeps_the_limits_and_the_diagram(sequence, fallback, limp):
    world = World(ROBOT, fallback=fallback, estop_limp=limp)
    judge = Judge(world)
    for event in sequence:
        for _ in range(event.get("repeat", 1)):
            judge.tick(event)


wishes = st.lists(st.floats(-0.24, 0.24), min_size=N, max_size=N).map(np.array)


@given(st.lists(st.tuples(wishes, st.integers(1, 20), st.booleans()), max_size=20))
def test_a_wild_source_that_is_let_in_keeps_the_limits(sequence):
    """Wishes within the bands, so that they go through the limiter instead of being rejected."""
    world = World(ROBOT)
    world.start()
    judge = Judge(world)
    judge.mode, judge.referee = Mode.ACTIVE, Referee(ROBOT, world.q)
    for wish, ticks, silent in sequence:
        target = world.q + wish
        for _ in range(ticks):
            judge.tick({"proposal": None if silent else {"q": ("raw", target)}})
