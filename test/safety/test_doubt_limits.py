"""Rule 8, policy, right at each of its limits: one doubt at a time, and what several of them do together."""

from dataclasses import replace

import numpy as np
import pytest
from safety_world import World

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import doubt
from so_arm_policy.safety.case import Case
from so_arm_policy.safety.doubt import Doubt, Doubts
from so_arm_policy.safety.values import Action, Finding, Mode, Output, TickInput

ROBOT = load_robot("so101")
MS = 1_000_000
NOVELTY, DISAGREEMENT, AGE = ("policy.novelty", "policy.disagreement", "policy.context_age")


def heard(before, level, now_ns):
    return before.heard(level, now_ns, begin_ns=300, end_ns=500)


def test_a_doubt_begins_right_when_its_time_is_over():
    turned = heard(Doubt(), 1.5, 1000)
    assert turned == Doubt(1.5, False, 1000)
    assert heard(turned, 1.4, 1299) == Doubt(1.4, False, 1000)
    assert heard(turned, 1.4, 1300) == Doubt(1.4, True)
    assert heard(turned, 1.0, 1300) == Doubt(1.0, False), "at its threshold a score is no doubt"


def test_a_doubt_ends_right_when_its_time_is_over():
    turned = heard(Doubt(2.0, True), 1.0, 1000)
    assert turned == Doubt(1.0, True, 1000)
    assert heard(turned, 0.0, 1499) == Doubt(0.0, True, 1000)
    assert heard(turned, 0.0, 1500) == Doubt(0.0, False)
    assert heard(turned, 1.1, 1500) == Doubt(1.1, True)


@pytest.mark.parametrize("level", [-0.1, np.nan])
def test_what_is_no_score_changes_nothing(level):
    before = Doubt(0.5, True, 7)
    assert heard(before, level, 1000) is before


def doubted(world, *scores, before=None):
    """What is remembered after ticks of `scores`, 100 ms apart."""
    state = replace(world.supervisor.state, doubts=before)
    for disagreement, novelty, age_ns in scores:
        world.advance(100 * MS)
        proposal = world.proposal(
            disagreement=disagreement, novelty=novelty, observation_stamp_ns=world.ros_ns - age_ns
        )
        tick = TickInput(
            now_ns=world.now_ns, ros_now_ns=world.ros_ns, sample=world.sample(), proposals={"pid": proposal}
        )
        state = doubt.observe(world.supervisor.setup, state, tick)
    return state.doubts


def test_nothing_is_remembered_while_nothing_is_doubtful():
    world = World(ROBOT)
    assert doubted(world, (1.0, 1.0, 1500 * MS)) is None
    assert doubted(world, (1.001, 0.0, 0)).each[1] == Doubt(1.001, False, world.now_ns)
    assert doubted(world, (0.0, 1.001, 0)).each[0] == Doubt(1.001, False, world.now_ns)
    assert doubted(world, (0.0, 0.0, 1500 * MS + 1)).each[2].turned_ns == world.now_ns
    assert doubted(world, (0.0, 0.0, -5 * MS)) is None
    for stamp_ns, doubtful in ((0, False), (-1, False), (1, True)):
        age_ns = world.ros_ns + 100 * MS - stamp_ns
        assert (doubted(world, (0.0, 0.0, age_ns)) is not None) is doubtful, "an empty stamp says nothing of an age"
    assert doubted(world, (2.0, 0.0, 0), (0.5, 0.0, 0)) is None, "it was over before it began"
    assert doubted(world, *[(2.0, 0.0, 0)] * 4, (0.5, 0.0, 0)).codes == (DISAGREEMENT,)
    assert doubted(world, *[(2.0, 0.0, 0)] * 4, *[(0.5, 0.0, 0)] * 6) is None


def test_every_doubt_that_lasts_is_told_and_answered():
    world = World(ROBOT, on_novelty="slow", on_disagreement="fallback", on_context_age="warn")
    for scores, codes, slow, reject in (
        ((0.0, 2.0, 0), (NOVELTY,), True, False),
        ((2.0, 0.0, 0), (DISAGREEMENT,), False, True),
        ((0.0, 0.0, 3000 * MS), (AGE,), False, False),
        ((2.0, 2.0, 3000 * MS), (NOVELTY, DISAGREEMENT, AGE), True, True),
    ):
        found = doubted(world, *[scores] * 4)
        assert (found.codes, found.slow, found.reject) == (codes, slow, reject)
        assert found.source == "pid"
        assert doubted(world, *[scores] * 3).codes == ()


def case(world, doubts, wish=None, target=None):
    state = replace(
        world.supervisor.state,
        mode=Mode.ACTIVE,
        output=Output.at_rest(np.zeros(world.n)),
        target=target,
        doubts=doubts,
    )
    tick = TickInput(now_ns=world.now_ns, ros_now_ns=world.ros_ns, sample=world.sample(), proposals={})
    return Case(world.supervisor.setup, state, tick, world.sample(), state.output.q, "pid", world.proposal(wish))


LASTS, OVER = Doubt(1.25, True), Doubt(0.5)


def test_the_doubt_that_the_fallback_answers_is_named():
    world = World(ROBOT, on_novelty="warn", on_disagreement="fallback", on_context_age="fallback")
    doubts = Doubts("pid", (LASTS, OVER, Doubt(3.0, True)), (NOVELTY, AGE), reject=True)
    text = "source 'pid': context_age 3.00 of what begins a doubt, expected at most 1 for 0.5 s"
    assert doubt.check_proposal(case(world, doubts)) == Finding(AGE, text, Action.REJECT)
    assert doubt.check_proposal(case(world, replace(doubts, source="hold"))) is None
    assert doubt.check_proposal(case(world, replace(doubts, reject=False))) is None
    assert doubt.check_proposal(case(world, None)) is None


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_slowing_doubt_leaves_a_move_of_a_share_of_the_limit(way):
    world = World(ROBOT, on_novelty="warn", on_disagreement="slow")
    most = float(world.supervisor.setup.doubt_step[0])
    doubts = Doubts("pid", (LASTS, LASTS, OVER), (NOVELTY, DISAGREEMENT), slow=True)
    wish = np.zeros(world.n)
    wish[0] = most * way
    assert doubt.slowed(case(world, doubts), wish) is None, "right at the share"
    wish[1] = 4.0 * most
    target = np.zeros(world.n)
    target[2] = 8.0 * most * way
    found = doubt.slowed(case(world, doubts, target=target), wish)
    np.testing.assert_allclose(found.wish, wish / 4.0)
    np.testing.assert_allclose(found.before, target / 8.0)
    text = "source 'pid': disagreement 1.25 of what begins a doubt, expected at most 1 for 0.5 s"
    assert found.finding == Finding(DISAGREEMENT, text, Action.CLAMP)
    assert doubt.slowed(case(world, doubts), wish).before is None
    assert doubt.slowed(case(world, replace(doubts, slow=False)), wish) is None
    assert doubt.slowed(case(world, replace(doubts, source="hold")), wish) is None
    assert doubt.slowed(case(world, None), wish) is None


def test_only_doubts_in_the_acting_source_are_told():
    world = World(ROBOT)
    doubts = Doubts("pid", (LASTS, OVER, OVER), (NOVELTY,), slow=True)
    state = replace(world.supervisor.state, doubts=doubts)
    assert (doubt.codes(state), doubt.slows(state)) == ((NOVELTY,), True)
    for other in (replace(state, acting="hold"), replace(state, doubts=None)):
        assert (doubt.codes(other), doubt.slows(other)) == ((), False)
    assert doubt.slows(replace(state, doubts=replace(doubts, slow=False))) is False


def test_doubts_in_one_source_are_forgotten_when_another_acts():
    world = World(ROBOT)
    doubts = Doubts("hold", (LASTS, OVER, OVER), (NOVELTY,))
    assert doubted(world, (0.0, 0.0, 0), before=doubts) is None
    found = doubted(world, (0.0, 2.0, 0), before=doubts)
    assert (found.source, found.codes, found.each[0].lasts) == ("pid", (), False)
    silent = TickInput(now_ns=1, ros_now_ns=1, sample=None, proposals={})
    state = replace(world.supervisor.state, doubts=doubts)
    assert doubt.observe(world.supervisor.setup, state, silent).doubts is None
    own = replace(state, doubts=replace(doubts, source="pid"))
    assert doubt.observe(world.supervisor.setup, own, silent) is own
