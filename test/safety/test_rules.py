"""Each rule: the input that breaks it, the reason it gives, and that the arm then brakes and holds."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safety_world import DT, PERIOD_NS, World

from so_arm_policy.safety.rules import REASONS
from so_arm_policy.safety.values import Action, Fault, Mode
from so_arm_policy.sim.clearance import KINDS

MS = 1_000_000


def moved(world, rad, joint=1):
    q = world.q.copy()
    q[joint] += rad
    return q


def bad_value(value):
    def make(world):
        q = world.q.copy()
        q[1] = value
        return world.proposal(q)

    return make


BAD_PROPOSALS = {
    "schema.nonfinite": [
        bad_value(np.nan),
        bad_value(np.inf),
        bad_value(-np.inf),
        lambda w: w.proposal(w.q, dq=np.full(w.n, np.nan)),
        lambda w: w.proposal(np.full(w.n, np.nan)),
    ],
    "schema.length": [
        lambda w: w.proposal(w.q[:-1]),
        lambda w: w.proposal(w.q, joint_names=w.robot.joint_names[:-1]),
        lambda w: w.proposal(np.append(w.q, 0.0), joint_names=(*w.robot.joint_names, "extra")),
        lambda w: w.proposal(np.array([]), joint_names=()),
        lambda w: w.proposal(w.q[None, :]),
        lambda w: w.proposal(w.q, dq=np.zeros(w.n - 1)),
    ],
    "schema.score": [
        *(lambda w, x=x: w.proposal(w.q, novelty=x) for x in (np.nan, np.inf, -1e-9)),
        *(lambda w, x=x: w.proposal(w.q, disagreement=x) for x in (np.nan, np.inf, -1e-9)),
    ],
    "schema.names": [
        lambda w: w.proposal(w.q, joint_names=(*w.robot.joint_names[:-1], "elbow")),
        lambda w: w.proposal(w.q, joint_names=(*w.robot.joint_names[:-1], w.robot.joint_names[0])),
        lambda w: w.proposal(w.q, joint_names=(*w.robot.joint_names[:-1], w.robot.joint_names[0] + ".pos")),
    ],
    "time.zero": [lambda w: w.proposal(w.q, stamp_ns=0), lambda w: w.proposal(w.q, observation_stamp_ns=0)],
    "time.future": [
        lambda w: w.proposal(w.q, stamp_ns=w.ros_ns + 21 * MS),
        lambda w: w.proposal(w.q, observation_stamp_ns=w.ros_ns + 21 * MS),
        lambda w: w.proposal(w.q, received_ns=w.now_ns + 21 * MS),
    ],
    "time.stale": [
        lambda w: w.proposal(w.q, stamp_ns=w.ros_ns - 51 * MS),
        lambda w: w.proposal(w.q, received_ns=w.now_ns - 51 * MS),
    ],
    "time.observation": [lambda w: w.proposal(w.q, observation_stamp_ns=w.ros_ns - 3001 * MS)],
    "time.repeated": [lambda w: w.proposal(w.q, stamp_ns=w.ros_ns - PERIOD_NS)],
    "time.backwards": [lambda w: w.proposal(w.q, stamp_ns=w.ros_ns - PERIOD_NS - 1)],
    "time.sequence": [
        lambda w: w.proposal(w.q, sequence=w.sequence),
        lambda w: w.proposal(w.q, sequence=0),
    ],
    "source.mismatch": [lambda w: replace(w.proposal(w.q), source="teleop")],
    "limit.position_band": [
        lambda w: w.proposal(np.where(np.arange(w.n) == 1, w.robot.upper + 0.11, w.q)),
        lambda w: w.proposal(np.rad2deg(w.q)),
        lambda w: w.proposal(np.full(w.n, 1e308)),
    ],
    "limit.step_band": [
        lambda w: w.proposal(moved(w, 0.26)),
        lambda w: w.proposal(moved(w, -0.26)),
        lambda w: w.proposal(-w.q),
    ],
}


@pytest.mark.parametrize(
    ("code", "make"),
    [pytest.param(code, m, id=f"{code}-{i}") for code in BAD_PROPOSALS for i, m in enumerate(BAD_PROPOSALS[code])],
)
def test_a_bad_proposal_is_rejected_and_the_source_may_go_on_afterwards(robot, code, make):
    world = World(robot)
    world.start()
    world.advance()
    proposal = make(world)
    before = world.q.copy()
    verdict = world.tick(**{"proposals": {"pid": proposal}})
    assert (verdict.action, verdict.code, verdict.mode) == (Action.REJECT, code, Mode.HOLD)
    assert "got" in verdict.text or "limit" in verdict.text
    np.testing.assert_array_equal(verdict.command, before)
    assert world.supervisor.counts[code] == 1
    verdict = world.step(world.q)
    assert (verdict.action, verdict.mode) == (Action.PASS, Mode.ACTIVE)


def test_the_edges_of_the_times_are_accepted(world):
    world.start()
    for changes in (
        {"stamp_ns": world.ros_ns + PERIOD_NS + 20 * MS},
        {"observation_stamp_ns": world.ros_ns + PERIOD_NS + 20 * MS},
    ):
        other = World(world.robot)
        other.start()
        other.advance()
        changes = {k: other.ros_ns + 20 * MS for k in changes}
        assert other.tick(other.proposal(**changes)).action is Action.PASS
    for shift in ({"stamp_ns": 50 * MS}, {"received_ns": 50 * MS}, {"observation_stamp_ns": 3000 * MS}):
        other = World(world.robot)
        other.tick()
        other.advance()
        proposal = other.proposal()
        proposal = replace(proposal, **{k: getattr(proposal, k) - v for k, v in shift.items()})
        assert other.tick(proposal).action is Action.PASS


BAD_TICKS = {
    "schema.state": lambda w: {"sample": w.sample(q=np.where(np.arange(w.n) == 2, np.nan, w.q))},
    "time.no_state": lambda w: {"sample": None},
    "time.state_stale": lambda w: {"sample": w.sample(received_ns=w.now_ns - 101 * MS)},
    "time.state_future": lambda w: {"sample": w.sample(stamp_ns=w.ros_ns + 21 * MS)},
    "time.state_backwards": lambda w: {"sample": w.sample(stamp_ns=w.ros_ns - PERIOD_NS - 1)},
    "time.clock_back": lambda w: {"ros_now_ns": w.ros_ns - PERIOD_NS - 1},
    "source.unknown_publisher": lambda w: {"faults": (Fault(code="source.unknown_publisher", text="two writers"),)},
}


@pytest.mark.parametrize("code", BAD_TICKS)
def test_a_bad_tick_brakes_the_arm_whatever_the_source_says(robot, code):
    world = World(robot)
    wish = world.run_up()
    world.advance()
    before, step = world.q.copy(), world.supervisor.state.output.step
    verdict = world.tick(world.proposal(wish), **BAD_TICKS[code](world))
    assert (verdict.action, verdict.code, verdict.mode) == (Action.HOLD, code, Mode.HOLD)
    taken = (verdict.command - before)[0]
    assert 0.0 < taken < step[0]
    assert taken == pytest.approx(step[0] - world.supervisor.setup.limits.jerk_step[0])


@pytest.mark.parametrize("q", [np.zeros(3), np.zeros((6, 1)), np.zeros(13)])
def test_a_state_of_the_wrong_shape_holds(world, q):
    world.start()
    world.advance()
    assert world.tick(sample=world.sample(q=q)).code == "schema.state"


def test_an_old_ros_stamp_of_the_state_holds_too(world):
    world.start()
    for _ in range(13):
        world.advance()
        sample = world.sample(stamp_ns=world.ros_ns - 101 * MS)
        verdict = world.tick(world.proposal(), sample=sample)
    assert verdict.code == "time.state_stale"


def test_a_stalled_tick_moves_nothing_and_the_source_joins_again(world):
    wish = world.run_up()
    before = world.q.copy()
    world.advance(500 * MS)
    wish = wish + 0.12
    verdict = world.tick(world.proposal(wish))
    assert (verdict.code, verdict.mode) == ("time.stall", Mode.HOLD)
    np.testing.assert_array_equal(verdict.command, before)
    verdict = world.step(wish)
    assert verdict.code == "continuity.blend"
    assert (np.abs(verdict.command - before) <= world.supervisor.setup.limits.acceleration_step * (1 + 1e-9)).all()


def test_a_late_tick_authorises_one_nominal_step(world):
    wish = world.run_up(velocity=2.3)
    before, step = world.q.copy(), world.supervisor.state.output.step
    world.advance(29 * MS)
    wish = wish.copy()
    wish[0] += 2.3 * 0.029
    verdict = world.tick(world.proposal(wish))
    assert verdict.action is Action.CLAMP
    most = step[0] + world.supervisor.setup.limits.acceleration_step[0]
    assert (verdict.command - before)[0] <= min(most, world.supervisor.setup.limits.velocity_step[0]) + 1e-12


def test_a_burst_of_ticks_moves_no_further_than_time_has_passed(world):
    wish = world.run_up(velocity=1.0)
    start, frozen = world.q.copy(), 0
    for _ in range(50):
        world.advance(MS // 10)
        wish = wish.copy()
        wish[0] += 1.0 / 120
        frozen += world.tick(world.proposal(wish)).code == "time.burst"
    assert frozen >= 48
    assert (world.q - start)[0] <= 2.5 / 120


@pytest.mark.parametrize("ns", [0, -1, -500 * MS])
def test_a_clock_that_does_not_advance_moves_nothing(world, ns):
    wish = world.run_up()
    while world.supervisor.state.credit_ns >= PERIOD_NS:
        world.advance(0, ros_ns=1000)
        world.tick(world.proposal(wish + 0.001))
    before = world.q.copy()
    world.advance(ns, ros_ns=1000)
    verdict = world.tick(world.proposal(wish + 0.002))
    assert (verdict.action, verdict.code) == (Action.HOLD, "time.tick")
    np.testing.assert_array_equal(verdict.command, before)


def test_jitter_of_the_loop_is_no_burst(world):
    world.start()
    rng = np.random.default_rng(0)
    late = rng.uniform(0.0, 0.8, 500) * PERIOD_NS
    world.advance(PERIOD_NS + int(late[0]))
    for k in range(1, 500):
        world.advance(PERIOD_NS + int(late[k]) - int(late[k - 1]))
        assert world.tick(world.proposal()).action is Action.PASS


def test_a_paused_ros_clock_holds_and_then_goes_on(world):
    world.start()
    codes = []
    for _ in range(40):
        world.advance(ros_ns=0)
        codes.append(world.tick(world.proposal(stamp_ns=world.ros_ns)).code)
    assert codes[0] == "time.repeated"
    assert codes[-1] == "time.clock_paused"
    assert world.step().action is Action.PASS


def test_after_the_ros_clock_went_back_its_new_time_counts(world):
    world.start()
    world.advance(ros_ns=-3_000 * MS)
    old = world.proposal(stamp_ns=world.ros_ns + 3_000 * MS, observation_stamp_ns=world.ros_ns + 3_000 * MS)
    assert world.tick(old).code == "time.clock_back"
    world.advance()
    assert world.tick().code == "time.future"
    assert world.step().action is Action.PASS


def test_names_in_any_order_and_aliases_pass_bit_for_bit(world):
    world.start()
    q = world.q + np.linspace(-1e-4, 1e-4, world.n)
    order = np.random.default_rng(1).permutation(world.n)
    names = tuple(world.robot.joint_names[i] + (".pos" if i % 2 else "") for i in order)
    world.advance()
    verdict = world.tick(world.proposal(q[order], joint_names=names))
    assert verdict.action is Action.PASS
    assert verdict.command.tobytes() == q.tobytes()


def test_the_command_does_not_change_when_the_sender_writes_to_its_array_again(world):
    world.start()
    q = world.q + 1e-4
    world.advance()
    proposal = world.proposal(q)
    verdict = world.tick(proposal)
    before = verdict.command.copy()
    proposal.q[:] = 9.0
    np.testing.assert_array_equal(verdict.command, before)
    with pytest.raises(ValueError, match="read-only"):
        verdict.command[0] = 1.0


def test_only_the_selected_source_is_heard(world):
    world.start()
    world.advance()
    q = world.q + 1e-4
    teleop = world.proposal(np.full(world.n, np.nan), source="teleop")
    stranger = world.proposal(world.q + 1.0, source="stranger")
    verdict = world.tick(world.proposal(q), teleop, stranger)
    assert verdict.action is Action.PASS
    np.testing.assert_array_equal(verdict.command, q)


@pytest.mark.parametrize(
    ("rad", "code"), [(0.15, "continuity.blend"), (0.1501, "continuity.far"), (3.0, "continuity.far")]
)
@pytest.mark.parametrize("when", ["start", "hold", "select", "reset"])
def test_the_first_command_must_be_near_the_arm(robot, when, rad, code):
    world = World(robot)
    world.q = (robot.lower + robot.upper) / 2
    q = world.q.copy()
    world.tick()
    if when != "start":
        world.start(q)
    if when == "hold":
        for _ in range(10):
            world.silence()
    changes = {}
    if when == "select":
        world.source = "teleop"
        changes["select"] = "teleop"
    if when == "reset":
        world.step(q, estop="button")
        changes["reset"] = True
    q[0] += rad
    if rad == 0.15:
        q[0] -= 1e-9
    verdict = world.step(q, **changes)
    assert verdict.code == code
    assert (np.abs(verdict.command - world.supervisor.state.output.q) == 0).all()


def test_a_sagging_arm_may_be_joined_from_the_measured_pose_or_from_the_held_one(robot):
    for near_measured in (True, False):
        world = World(robot)
        world.start(robot.home)
        for _ in range(10):
            world.silence()
        held, sag = world.q.copy(), np.full(world.n, -0.04)
        world.q = held + sag
        wish = world.q + 0.0 if near_measured else held
        world.advance()
        verdict = world.tick(world.proposal(wish))
        assert verdict.mode is Mode.ACTIVE
        assert verdict.code == ("continuity.blend" if near_measured else "")


def test_every_reason_is_in_the_table_and_in_the_documentation(world):
    """A reason that the table does not list would not be counted from the start."""
    root = Path(__file__).resolve().parents[2]
    sources = "".join(p.read_text() for p in (root / "so_arm_policy" / "safety").glob("*.py") if p.name != "rules.py")
    used = set(re.findall(r'"((?:schema|time|source|plant|continuity|limit|policy|estop)\.[a-z_]+)"', sources))
    kinds = {f"geometry.{kind}" for kind in KINDS}
    assert used | kinds | {"source.unknown_publisher"} == set(REASONS) == set(world.supervisor.counts)
    page = (root / "docs" / "safety.md").read_text()
    assert [code for code in REASONS if f"`{code}`" not in page] == []


def test_an_arm_brakes_while_the_monotonic_clock_stands_and_the_ros_clock_goes_on(world):
    world.run_up(velocity=1.0)
    codes = []
    for _ in range(30):
        world.advance(0, ros_ns=PERIOD_NS)
        verdict = world.tick(world.proposal())
        codes.append((verdict.code, verdict.mode))
    assert set(codes) == {("time.tick", Mode.HOLD)}
    assert world.supervisor.state.output.resting
    steps = np.abs(np.diff([q[0] for q in world.commands[-31:]]))
    assert steps.max() <= 1.0 * DT + 1e-9
    assert (np.diff(steps) >= -world.robot.acceleration[0] * DT**2 - 1e-9).all(), "stopped at once"


def test_a_jump_of_the_ros_clock_pays_for_one_tick_of_a_burst(world):
    world.run_up(velocity=1.0)
    start = world.q.copy()
    world.advance(0, ros_ns=10 * PERIOD_NS)
    codes = [world.tick().code for _ in range(10)]  # at once, by both clocks
    assert codes[-5:] == ["time.tick"] * 5
    assert (world.q - start)[0] <= 3.0 * DT


def test_a_jump_of_the_monotonic_clock_alone_is_no_stall(world):
    wish = world.run_up(velocity=1.0)
    wish = wish + np.where(np.arange(world.n) == 0, DT, 0.0)
    world.advance(10**9, ros_ns=PERIOD_NS)
    assert world.tick(world.proposal(wish)).code != "time.stall"
    assert not world.supervisor.state.output.resting


def test_a_late_tick_after_which_the_ros_clock_is_back_is_a_stall(world):
    """How long it was, nobody knows: the arm is taken to stand."""
    world.run_up(velocity=1.0)
    world.advance(10**9, ros_ns=-PERIOD_NS)
    assert world.tick(world.proposal()).code == "time.clock_back"
    assert world.supervisor.state.output.resting
