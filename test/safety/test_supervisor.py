"""The state machine: hold, resume, emergency stop, reset, selection, handover, counts."""

import numpy as np
import pytest
from safety_world import PERIOD_NS, Referee, World

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor, initial_state, supervise
from so_arm_policy.safety.values import Action, Fault, Mode, TickInput

MS = 1_000_000


def test_before_the_first_joint_state_there_is_no_command(world):
    verdict = world.tick(sample=None)
    assert (verdict.mode, verdict.command, verdict.code) == (Mode.INIT, None, "time.no_state")
    verdict = world.silence()
    assert (verdict.mode, verdict.code) == (Mode.HOLD, "time.silent")
    np.testing.assert_array_equal(verdict.command, world.robot.home)


def test_an_emergency_stop_before_the_first_joint_state_latches(world):
    verdict = world.tick(sample=None, estop="button")
    assert (verdict.mode, verdict.command, verdict.action) == (Mode.ESTOP, None, Action.ESTOP)
    verdict = world.step()
    assert verdict.mode is Mode.ESTOP
    np.testing.assert_array_equal(verdict.command, world.robot.home)
    assert world.step(reset=True).mode is Mode.ACTIVE


def test_the_same_tick_twice_gives_the_same_verdict(world):
    world.start()
    world.advance()
    tick = TickInput(
        now_ns=world.now_ns,
        ros_now_ns=world.ros_ns,
        sample=world.sample(),
        proposals={"pid": world.proposal(world.q + 0.05)},
    )
    state = world.supervisor.state
    first, second = (supervise(world.supervisor.setup, state, tick) for _ in range(2))
    assert first[0].command.tobytes() == second[0].command.tobytes()
    assert first[0].code == second[0].code


@pytest.mark.parametrize("velocity", [0.5, 2.3])
def test_silence_brakes_to_a_hold_within_the_braking_time(world, velocity):
    world.run_up(velocity=velocity)
    referee = Referee(world.robot, world.q)
    referee.velocity = world.supervisor.state.output.step * 120
    codes = [world.silence().code for _ in range(80)]
    for command in world.commands[-80:]:
        referee.look_at(command)
    timeout_ticks = int(0.05 * 120)
    assert codes[:timeout_ticks] == ["time.gap"] * timeout_ticks
    assert set(codes[timeout_ticks:]) == {"time.silent"}
    a, j = world.robot.acceleration[0], world.robot.jerk[0]
    braking_ticks = int(np.ceil((velocity / a + a / j) * 120)) + 1
    rest = world.commands[-80:][timeout_ticks + braking_ticks :]
    assert all(np.array_equal(command, rest[0]) for command in rest)
    assert world.supervisor.mode is Mode.HOLD


def test_silence_never_carries_the_arm_past_the_last_wish_by_more_than_it_takes_to_stop(world):
    wish = world.run_up(velocity=2.0)
    for _ in range(80):
        world.silence()
    a, j = world.robot.acceleration[0], world.robot.jerk[0]
    assert (world.q - wish)[0] <= 2.0 * (2.0 / (2 * a) + a / (2 * j) + 1 / 120)


def test_a_source_that_was_silent_may_be_restarted_and_count_from_zero(world):
    world.start()
    for _ in range(10):
        world.silence()
    world.sequence = -1
    assert world.step().action is Action.PASS


def test_a_missed_tick_is_bridged_with_the_velocity_of_the_source(world):
    """The source sends 120 commands a second, but now and then two of them meet the same tick."""
    wish = world.run_up(velocity=1.0)
    dq = np.zeros(world.n)
    dq[0] = 1.0
    world.advance()
    wish[0] += 1.0 / 120
    world.tick(world.proposal(wish, dq=dq))
    before = world.q.copy()
    verdict = world.silence()
    assert (verdict.action, verdict.code) == (Action.CLAMP, "time.gap")
    assert (verdict.command - before)[0] == pytest.approx(1.0 / 120)
    wish[0] += 2.0 / 120
    world.advance()
    assert world.tick(world.proposal(wish, dq=dq)).action is Action.PASS


def test_a_lie_about_the_velocity_moves_the_arm_no_more_than_one_tick_may(world):
    world.start()
    world.advance()
    world.tick(world.proposal(world.q, dq=np.full(world.n, 1e300)))
    before = world.q.copy()
    for _ in range(60):
        world.silence()
    assert (np.abs(world.q - before) <= world.supervisor.setup.limits.velocity_step + 1e-9).all()


def test_emergency_stop_latches_and_only_a_reset_without_cause_ends_it(world):
    wish = world.run_up()
    world.step(wish, estop="button")
    for _ in range(50):
        verdict = world.step(world.q)
        assert (verdict.action, verdict.mode, verdict.code) == (Action.ESTOP, Mode.ESTOP, "estop.request")
    rest = world.q.copy()
    verdict = world.step(rest, estop="button", reset=True)
    assert verdict.mode is Mode.ESTOP
    assert "the cause persists" in verdict.refused
    verdict = world.step(rest, reset=True)
    assert (verdict.mode, verdict.refused) == (Mode.ACTIVE, "")
    np.testing.assert_array_equal(verdict.command, rest)


def test_reset_is_refused_while_the_arm_still_brakes(world):
    wish = world.run_up(velocity=2.0)
    world.step(wish, estop="button")
    verdict = world.step(wish, reset=True)
    assert verdict.mode is Mode.ESTOP
    assert "braking" in verdict.refused


def test_reset_is_refused_without_a_fresh_joint_state(world):
    world.start()
    world.step(estop="button")
    world.advance()
    verdict = world.tick(reset=True, sample=world.sample(received_ns=world.now_ns - 200 * MS))
    assert (verdict.mode, "time.state_stale" in verdict.refused) == (Mode.ESTOP, True)


def test_reset_is_refused_when_there_is_nothing_to_reset(world):
    world.start()
    assert "expected ESTOP or HOLD" in world.step(reset=True).refused


def test_a_latching_fault_stops_and_its_persistence_refuses_the_reset(world):
    world.start()
    fault = Fault(code="bus.lost", text="servo bus gone", latches=True)
    verdict = world.step(faults=(fault,))
    assert (verdict.action, verdict.code) == (Action.ESTOP, "bus.lost")
    assert world.supervisor.counts["bus.lost"] == 1
    assert world.step().mode is Mode.ESTOP
    assert "bus.lost" in world.step(faults=(fault,), reset=True).refused
    assert world.step(reset=True).mode is Mode.ACTIVE


def test_nothing_from_before_a_reset_acts(world):
    world.start()
    world.step(estop="button")
    world.advance()
    old = world.proposal()
    world.advance()
    assert world.tick(old, reset=True).code == "time.before_reset"
    world.advance()
    chunk_from_before = world.proposal(observation_stamp_ns=old.stamp_ns)
    assert world.tick(chunk_from_before).code == "time.before_reset"
    assert world.step().action is Action.PASS


def test_after_a_reset_the_hold_is_where_the_arm_is_when_it_was_moved_by_hand(world):
    world.start()
    for _ in range(3):
        world.step(estop="button")
    moved = world.robot.home.copy()
    moved[0] += 0.8
    world.carry(moved)
    world.advance()
    verdict = world.tick(reset=True)
    np.testing.assert_array_equal(verdict.command, moved)
    world.q = moved + 0.03
    world.step(estop="button")
    world.q = moved + 0.03
    world.advance()
    np.testing.assert_array_equal(world.tick(reset=True).command, moved)


def test_an_arm_that_swings_is_not_reset(world):
    world.start()
    world.step(estop="button")
    for _ in range(30):
        world.step()
    world.advance()
    dq = np.zeros(world.n)
    dq[2] = -0.3
    refused = world.tick(reset=True, sample=world.sample(dq=dq))
    assert "0.30 rad/s" in refused.refused
    assert refused.mode is Mode.ESTOP
    world.advance()
    assert world.tick(reset=True).mode is Mode.HOLD


@pytest.mark.parametrize("sequence", [lambda k: 5, lambda k: -k], ids=["stands", "falls"])
def test_a_source_whose_sequence_does_not_grow_moves_nothing_however_long(world, sequence):
    wish = world.run_up(velocity=1.0)
    for _ in range(30):
        wish = wish.copy()
        wish[0] += 1.0 / 120
        world.step(wish)
    ahead = []
    for k in range(120):
        wish = wish.copy()
        wish[0] += 1.0 / 120
        world.advance()
        verdict = world.tick(world.proposal(wish, sequence=sequence(k)))
        ahead.append(verdict.command[0])
    assert verdict.code == "time.sequence"
    assert ahead[-1] == ahead[30]


def test_a_source_comes_back_after_a_stranger_s_large_sequence_number(world):
    world.start()
    world.advance()
    world.tick(world.proposal(sequence=10**9))
    codes = [world.step().code for _ in range(10)]
    assert codes[0] == "time.sequence"
    assert codes[-1] == ""


def test_an_arm_far_from_its_hold_is_not_joined_before_a_reset(world):
    world.start()
    for _ in range(10):
        world.silence()
    moved = world.robot.home.copy()
    moved[0] += 0.8
    verdict = world.carry(moved)
    assert (verdict.mode, verdict.code) == (Mode.ESTOP, "plant.following")
    assert 0.2 < verdict.command[0] < 0.5  # where the arm was when it was noticed
    assert world.carry(moved).mode is Mode.ESTOP
    world.q = moved.copy()
    assert world.step(moved, reset=True).action is Action.PASS


def test_an_arm_away_from_its_hold_is_not_joined_far_from_either(world):
    world.start()
    for _ in range(10):
        world.silence()
    moved = world.robot.home.copy()
    moved[0] += 0.25
    world.carry(moved)
    far = moved.copy()
    far[0] += 0.26
    world.advance()
    assert world.tick(world.proposal(far)).code == "continuity.far"


def test_an_arm_held_while_it_presses_is_led_away_from_where_it_is(world):
    """The command is 0.29 rad ahead of an arm that something blocks; the source starts again from the arm."""
    world.start()
    for _ in range(10):
        world.silence()
    blocked = world.robot.home.copy()
    blocked[2] -= 0.29
    world.carry(blocked)
    referee = Referee(world.robot, world.supervisor.state.output.q)
    for _ in range(120):
        world.q = blocked.copy()
        world.advance()
        verdict = world.tick(world.proposal(blocked))
        assert verdict.action in (Action.CLAMP, Action.PASS)
        referee.look_at(verdict.command)
    np.testing.assert_array_equal(verdict.command, blocked)
    assert verdict.action is Action.PASS


def test_joint_state_silence_holds_and_recovers(world):
    world.start()
    last = world.sample()
    codes = []
    for _ in range(20):
        world.advance()
        codes.append(world.tick(world.proposal(), sample=last).code)
    assert codes[0] == ""
    assert codes[-1] == "time.state_stale"
    assert world.step().action is Action.PASS


def test_selection_hands_over_at_speed_without_a_jump(world):
    wish = world.run_up(velocity=1.0)
    referee = Referee(world.robot, world.q)
    referee.velocity = world.supervisor.state.output.step * 120
    other = wish.copy()
    other[1] += 0.1
    for k in range(100):
        world.advance()
        verdict = world.tick(world.proposal(other, source="teleop"), select="teleop" if k == 0 else None)
        referee.look_at(verdict.command)
    assert (verdict.source, verdict.code) == ("teleop", "")
    np.testing.assert_array_equal(verdict.command, other)
    assert world.supervisor.counts["continuity.blend"] > 0


def test_an_unknown_selection_is_refused_and_changes_nothing(world):
    world.start()
    verdict = world.step(select="planer")
    assert "planer" in verdict.refused
    assert "planner" in verdict.refused
    assert (verdict.action, verdict.source) == (Action.PASS, "pid")


def test_selecting_a_source_in_an_emergency_stop_does_not_end_it(world):
    world.start()
    world.step(estop="button")
    world.advance()
    verdict = world.tick(world.proposal(source="teleop"), select="teleop")
    assert (verdict.mode, verdict.source) == (Mode.ESTOP, "teleop")


def both(world, wish, other):
    world.advance()
    return world.tick(world.proposal(wish), world.proposal(other, source="hold"))


def test_the_fallback_takes_over_in_the_same_tick_and_keeps_acting(robot):
    world = World(robot, fallback="hold")
    for _ in range(3):
        both(world, world.q, world.q)
    verdict = both(world, np.full(world.n, np.nan), world.q)
    assert (verdict.action, verdict.mode, verdict.code, verdict.source) == (
        Action.FALLBACK,
        Mode.FALLBACK,
        "schema.nonfinite",
        "hold",
    )
    verdict = both(world, world.q, world.q)
    assert (verdict.action, verdict.mode, world.supervisor.source) == (Action.PASS, Mode.FALLBACK, "pid")
    world.advance()
    verdict = world.tick(world.proposal(world.q), select="pid")
    assert (verdict.action, verdict.mode) == (Action.PASS, Mode.ACTIVE)


def test_when_the_fallback_fails_too_the_arm_holds_and_the_fallback_may_return(robot):
    world = World(robot, fallback="hold")
    nan = np.full(world.n, np.nan)
    for _ in range(3):
        both(world, world.q, nan)
    assert (both(world, nan, nan).mode, world.supervisor.mode) == (Mode.HOLD, Mode.HOLD)
    assert both(world, world.q, nan).mode is Mode.ACTIVE
    assert both(world, nan, world.q).mode is Mode.FALLBACK
    assert both(world, nan, nan).mode is Mode.HOLD
    assert both(world, world.q, world.q).mode is Mode.FALLBACK


def test_the_fallback_does_not_start_what_the_selected_source_has_not(robot):
    world = World(robot, fallback="hold")
    world.tick()
    world.advance()
    assert world.tick(world.proposal(source="hold")).mode is Mode.HOLD


def test_counts_and_margins(world):
    world.start(ticks=5)
    assert world.supervisor.passed == 5
    assert 0.0 < world.supervisor.take_worst_margin() <= 1.0
    assert world.supervisor.take_worst_margin() == 1.0
    wish = world.q.copy()
    wish[0] += 0.05
    world.step(wish)
    assert world.supervisor.counts["limit.velocity"] == 1
    assert world.supervisor.worst_margin < 0.0
    assert sum(world.supervisor.counts.values()) == 1


def test_the_margin_is_the_share_of_the_limit_that_is_left(world):
    world.start()
    wish = world.q.copy()
    wish[0] += 0.25 * world.robot.acceleration[0] / 120**2
    nearest = (
        np.minimum(wish - world.robot.lower, world.robot.upper - wish) / (world.robot.upper - world.robot.lower) * 2
    )
    assert world.step(wish).margin == pytest.approx(min(nearest.min(), 0.75))


def test_the_arm_may_start_outside_its_limits_and_move_inward(robot):
    world = World(robot)
    world.q = robot.home.copy()
    world.q[0] = robot.upper[0] + 0.2
    outside = world.q.copy()
    world.tick()
    np.testing.assert_array_equal(world.silence().command, outside)
    wish = outside.copy()
    for _ in range(100):
        wish[0] = max(wish[0] - 0.005, 1.0)
        verdict = world.step(wish)
    assert verdict.action is Action.PASS
    assert world.q[0] < robot.upper[0]


@pytest.mark.parametrize("selected", ["", "system3", "PID"])
def test_an_unknown_first_source_refuses_to_start(robot, selected):
    with pytest.raises(ConfigError, match="expected one of"):
        Supervisor(SupervisorConfig(), robot, selected)


def test_state_starts_empty():
    state = initial_state("pid")
    assert (state.mode, state.selected, state.acting, state.output) == (Mode.INIT, "pid", "pid", None)
    assert PERIOD_NS == 8_333_333
