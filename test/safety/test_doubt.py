"""Doubts in a learned policy: when they begin and end, and what each answer does to the command."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import DT, PERIOD_NS, Referee, World

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.rules import RULES
from so_arm_policy.safety.values import Action, Mode

ROBOT = load_robot("so101")
NAMES = ("novelty", "disagreement")
TICKS = 37  # above a threshold until 0.3 s have passed
CLEAR_TICKS = 61


def step(world, q=None, source="pid", **changes):
    """One nominal tick with a proposal that scores so."""
    world.advance()
    return world.tick(world.proposal(q, source=source, **changes))


def steps(world, ticks, **changes):
    return [step(world, world.q, **changes) for _ in range(ticks)]


def wave(k, joint=0, size=0.5, hz=0.5):
    """Position of a joint that swings about home, at up to 1.6 rad/s, and begins at rest."""
    q = ROBOT.home.copy()
    q[joint] += size / 2.0 * (1.0 - np.cos(2.0 * np.pi * hz * k * DT))
    return q


@pytest.mark.parametrize("name", NAMES)
def test_a_score_above_its_threshold_is_a_doubt_after_a_time_and_for_a_time(world, name):
    world.start()
    above = [bool(v.doubts) for v in steps(world, 60, **{name: 1.01})]
    assert above.index(True) in (TICKS - 1, TICKS)  # 36 periods are a few nanoseconds short of 0.3 s
    assert all(above[above.index(True) :])
    below = [bool(v.doubts) for v in steps(world, 120, **{name: 1.0})]
    assert below.index(False) in (CLEAR_TICKS - 1, CLEAR_TICKS)
    assert not any(below[below.index(False) :])


@pytest.mark.parametrize("name", NAMES)
def test_a_score_that_is_above_for_a_moment_again_and_again_is_no_doubt(world, name):
    world.start()
    for k in range(400):
        assert step(world, world.q, **{name: 0.9 if k % 30 == 0 else 9.0}).doubts == ()
    assert world.supervisor.counts[f"policy.{name}"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_warning_is_counted_and_shown_and_the_proposal_passes_bit_for_bit(world, name):
    world.start()
    passed = world.supervisor.passed
    steps(world, 50, **{name: 3.0})
    q = world.q + 1e-4
    verdict = step(world, q, **{name: 3.0})
    assert (verdict.action, verdict.code, verdict.mode) == (Action.PASS, "", Mode.ACTIVE)
    assert (verdict.doubts, verdict.slowed) == ((f"policy.{name}",), False)
    assert verdict.command.tobytes() == q.tobytes()
    assert world.supervisor.passed == passed + 51
    assert 51 - TICKS <= world.supervisor.counts[f"policy.{name}"] <= 52 - TICKS


def test_old_pictures_are_a_doubt_long_before_they_are_refused(robot):
    world = World(robot, on_context_age="warn")
    world.start()
    stamp = world.ros_ns
    verdicts = [step(world, world.q, observation_stamp_ns=stamp) for _ in range(400)]
    first = next(k for k, v in enumerate(verdicts) if v.doubts)
    assert verdicts[first].doubts == ("policy.context_age",)
    assert first * DT == pytest.approx(1.5 + 0.3, abs=3 * DT)
    assert {v.code for v in verdicts[:359]} == {""}
    assert verdicts[-1].code == "time.observation"


@pytest.mark.parametrize("name", NAMES)
def test_the_threshold_of_a_doubt_can_be_moved(robot, name):
    world = World(robot, doubt_ratio=2.0)
    world.start()
    assert not steps(world, 100, **{name: 1.99})[-1].doubts
    assert steps(world, 100, **{name: 2.01})[-1].doubts


def test_a_slowed_source_moves_at_a_share_of_its_speed_within_all_limits():
    world = World(ROBOT, on_novelty="slow")
    world.start()
    referee = Referee(ROBOT, world.q)
    most = ROBOT.velocity * 0.25
    for k in range(1, 60):
        referee.look_at(step(world, wave(k)).command)
    slowed = 0
    for k in range(60, 400):
        before = world.q.copy()
        # A policy that is told that it is slowed begins anew near where the arm is.
        aim = world.q + np.clip(wave(k) - world.q, -0.1, 0.1)
        verdict = step(world, aim, novelty=2.0)
        referee.look_at(verdict.command)
        if verdict.slowed:
            slowed += 1
            beyond = bool((np.abs(aim - before) / DT > most).any())
            assert (verdict.code == "policy.novelty") == beyond
            if slowed > 40:  # the time to brake
                assert (np.abs(verdict.command - before) / DT <= most * (1.0 + 1e-6)).all()
    assert slowed > 200
    assert world.supervisor.counts["policy.novelty"] == slowed


def test_what_is_slow_anyway_passes_a_slowing_doubt_bit_for_bit(world):
    slow = World(world.robot, on_novelty="slow")
    for one in (world, slow):
        one.start()
        for k in range(300):
            q = one.robot.home + 0.05 * (1.0 - np.cos(2.0 * np.pi * 0.3 * k * DT))
            assert step(one, q, novelty=2.0).action is Action.PASS
    assert slow.supervisor.counts["policy.novelty"] > 200
    assert [c.tobytes() for c in slow.commands] == [c.tobytes() for c in world.commands]


def test_after_a_slowing_doubt_the_source_is_caught_up_with_within_limits():
    world = World(ROBOT, on_novelty="slow")
    world.start()
    referee = Referee(ROBOT, world.q)
    for k in range(700):
        aim = world.q + np.clip(wave(k) - world.q, -0.1, 0.1)
        verdict = step(world, aim, novelty=2.0 if 100 < k < 300 else 0.0)
        referee.look_at(verdict.command)
    assert verdict.action is Action.PASS
    assert not verdict.doubts


def test_without_a_fallback_a_doubt_brakes_and_holds_until_it_is_over(world):
    world = World(world.robot, on_disagreement="fallback")
    wish = world.run_up()
    referee = None
    for _ in range(80):
        wish = wish + np.where(np.arange(world.n) == 0, 0.002, 0.0)
        verdict = step(world, wish, disagreement=1.5)
        if verdict.mode is Mode.HOLD:
            referee = True
            assert verdict.code == "policy.disagreement"
            assert verdict.action is Action.REJECT
    assert referee
    assert world.supervisor.state.output.resting
    assert step(world, world.q, disagreement=0.5).mode is Mode.HOLD
    assert steps(world, 70, disagreement=0.5)[-1].mode is Mode.ACTIVE


def test_with_a_fallback_armed_a_doubt_hands_over_in_the_same_tick_and_the_new_source_is_not_doubted(robot):
    world = World(robot, on_novelty="fallback", fallback="hold")
    world.start()
    seen = []
    for _ in range(80):
        world.advance()
        seen.append(world.tick(world.proposal(world.q, novelty=1.5), world.proposal(world.q, source="hold")))
    first = next(k for k, v in enumerate(seen) if v.action is Action.FALLBACK)
    assert (seen[first].code, seen[first].source) == ("policy.novelty", "hold")
    assert all((v.mode, v.doubts) == (Mode.FALLBACK, ()) for v in seen[first + 1 :])
    world.advance()
    back = world.tick(world.proposal(world.q), world.proposal(world.q, source="hold"), select="pid")
    assert (back.mode, back.source, back.doubts) == (Mode.ACTIVE, "pid", ())


def test_a_selection_and_a_reset_end_doubts(world):
    world.start()
    for changes in ([{"select": "pid"}], [{"estop": "button"}, {"reset": True}]):
        assert steps(world, 50, novelty=2.0)[-1].doubts
        for change in changes:
            world.advance()
            verdict = world.tick(world.proposal(world.q, novelty=2.0), **change)
        assert verdict.doubts == ()


def test_a_proposal_without_a_usable_score_is_refused_and_neither_begins_nor_ends_a_doubt(world):
    world.start()
    assert steps(world, 50, novelty=2.0)[-1].doubts
    for bad in (np.nan, -1.0):
        for verdict in steps(world, 100, novelty=bad):
            assert verdict.code == "schema.score"
            assert verdict.doubts == ("policy.novelty",)


def test_other_rules_come_first(world):
    assert [rule.name for rule in RULES][-1] == "policy"
    world = World(world.robot, on_novelty="fallback")
    world.start()
    steps(world, 50, novelty=2.0)
    far = world.q.copy()
    far[1] += 1.0
    assert step(world, far, novelty=2.0).code == "continuity.far"
    assert step(world, np.full(world.n, np.nan), novelty=2.0).code == "schema.nonfinite"


@pytest.mark.parametrize("name", ["on_novelty", "on_disagreement", "on_context_age"])
def test_an_answer_must_be_known(name):
    with pytest.raises(ConfigError, match=f"{name} 'stop', expected one of .*'warn', 'slow', 'fallback'"):
        SupervisorConfig(**{name: "stop"})


@pytest.mark.parametrize("name", ["doubt_s", "doubt_clear_s", "doubt_ratio", "doubt_age_s", "doubt_speed"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e9])
def test_no_value_switches_a_doubt_off(name, value):
    with pytest.raises(ConfigError, match=f"got {name}"):
        SupervisorConfig(**{name: value})


ANSWERS = st.sampled_from(["warn", "slow", "fallback"])
MOVES = st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(moves=MOVES, answers=st.tuples(ANSWERS, ANSWERS, ANSWERS))
def test_while_no_score_is_above_its_threshold_nothing_is_changed(moves, answers):
    """The same proposals with scores below and without any: the same verdicts, to the bit, whatever the answers are."""
    on = dict(zip(("on_novelty", "on_disagreement", "on_context_age"), answers, strict=True))
    plain, scored = World(ROBOT), World(ROBOT, **on)
    for one in (plain, scored):
        one.start()
    for move, novelty, disagreement in moves:
        q = plain.q.copy()
        q[0] += move
        for _ in range(5):
            scores = {"novelty": novelty, "disagreement": disagreement}
            a, b = step(plain, q), step(scored, q, **scores)
            assert (a.action, a.code, a.text, a.margin, a.doubts) == (b.action, b.code, b.text, b.margin, b.doubts)
            assert a.command.tobytes() == b.command.tobytes()


SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 1e6, np.nan, -1.0, np.inf]), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    scores=SCORES, moves=st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=20), answers=st.tuples(ANSWERS, ANSWERS)
)
def test_whatever_a_policy_scores_the_limits_hold(scores, moves, answers):
    world = World(ROBOT, on_novelty=answers[0], on_disagreement=answers[1], doubt_s=0.02, doubt_clear_s=0.03)
    world.start()
    referee = Referee(ROBOT, world.q)
    for k, move in enumerate(moves):
        for j in range(8):
            q = world.q.copy()
            q[k % world.n] += move
            score = scores[(k + j) % len(scores)]
            referee.look_at(step(world, q, novelty=score, disagreement=scores[k % len(scores)]).command)


def test_the_clocks_of_a_doubt_are_monotonic(world):
    """A ROS clock that stands still or a stall ends no doubt, and neither makes one of a moment."""
    world.start()
    step(world, world.q, novelty=2.0)
    proposal = replace(world.proposal(world.q), novelty=2.0)
    for _ in range(3):
        world.advance(PERIOD_NS, ros_ns=0)
        assert world.tick(proposal).doubts == ()
