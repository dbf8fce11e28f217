"""The supervisor again from a bag that lost messages: what is lost is counted, and what differs is told."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from judge_world import BEGIN_NS, CONFIG, ROBOT, TICKS, Kept, again, altered, recorded

from so_arm_policy.evaluate.bags.judge_again import BEFORE
from so_arm_policy.evaluate.bags.recent import Parity
from so_arm_policy.ros.traces import SupervisorTrace
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput


def test_the_run_is_one_of_every_kind():
    _, run = recorded()
    codes = {t.reason_code for t in run.ticks}
    assert {"", "time.no_state", "time.silent", "continuity.blend", "time.burst", "estop.request"} <= codes
    assert any(code.startswith("limit.") for code in codes), codes
    assert any(t.slowed for t in run.ticks)
    assert {t.state for t in run.ticks} == {Mode.INIT, Mode.ACTIVE, Mode.HOLD, Mode.ESTOP}
    assert [t.sequence for t in run.ticks] == list(range(TICKS))
    _, run = recorded(**WORLDS["blocked"])
    assert any(t.reason_code == "plant.following" for t in run.ticks)
    assert any(s.plant is not None and s.plant.pressing_ns.any() for s in run.states)
    assert any(t.limp for t in recorded(**WORLDS["limp"])[1].ticks)


def test_all_verdicts_come_out_the_same_where_nothing_was_lost():
    assert again(recorded()).parity == Parity(compared=TICKS, same=TICKS)


def same(a, b):
    """Whether two values of a state are the same to the bit, however deep."""
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b


UNSURE = {"credit_ns", "epoch_ns", "ros_moved_ns", "plant", "doubts", "sample_stamp_ns"}


def check_states(run, judge, i):
    """The supervisor's true state lies between those that the judge holds for possible."""
    states, true = judge.states, run.states[i]
    if len(states) == 1:
        assert same(states[0], true), i
    if len(states) < 2:
        return
    mild, strict = states
    unheard = {"heard"} if true.mode is Mode.ESTOP else set()  # forgotten with the reset
    for name in {f.name for f in fields(true)} - UNSURE - unheard:
        assert same(getattr(mild, name), getattr(true, name)), (i, name, getattr(mild, name), getattr(true, name))
        assert same(getattr(strict, name), getattr(true, name)), (i, name)
    assert mild.credit_ns >= true.credit_ns >= strict.credit_ns, i
    assert mild.epoch_ns <= true.epoch_ns <= strict.epoch_ns or unheard, i
    assert mild.ros_moved_ns >= true.ros_moved_ns >= strict.ros_moved_ns
    assert (mild.plant is None) is (true.plant is None)
    if true.plant is not None:
        for name, enough in (("lagging_ns", 10**12), ("pressing_ns", 10**12), ("standing_ns", 10**8), ("repeats", 3)):
            low, value, high = (np.minimum(getattr(s.plant, name), enough) for s in (mild, true, strict))
            assert np.all(low <= value), (i, name, low, value)
            assert np.all(value <= high), (i, name, value, high)
    each = [[d.turned_ns for d in s.doubts.each] if s.doubts else [None] * 3 for s in (strict, true, mild)]
    for early, turned, late in zip(*each, strict=True):
        assert (early is None) is (turned is None) is (late is None), i
        assert turned is None or early <= turned <= late, i


DROPPED = {
    "every 2nd": set(range(0, TICKS, 2)),
    "every 3rd": set(range(1, TICKS, 3)),
    "every 7th": set(range(3, TICKS, 7)),
    "every 50th": set(range(20, TICKS, 50)),
    "one": {200},
    "a block": set(range(200, 320)),
    "the stop": set(range(550, 560)),
    "the reset": {579, 580, 581},
    "a doubt's begin": set(range(745, 770)),
    "selections": {950, 1000},
    "the burst": {1051, 1052},
    "the beginning": set(range(100)),
    "most": set(range(900)),
    "at random": set(np.flatnonzero(np.random.default_rng(1).random(TICKS) < 0.02).tolist()),
}


WORLDS = {
    "plain": {},
    "fallback": {"fallback": "hold"},
    "no reports of motors": {"motors": False},
    "limp": {"estop_limp": True},
    "blocked": {"blocked": True},
}
CASES = [("plain", name) for name in DROPPED]
CASES += [(w, name) for w in WORLDS if w != "plain" for name in ("every 50th", "the stop", "the reset", "at random")]


@pytest.mark.parametrize(("world", "name"), CASES)
def test_lost_ticks_are_counted_and_no_difference_is_told(world, name):
    made, lost = recorded(**WORLDS[world]), DROPPED[name]
    judge = again(made, lost, look=lambda judge, i: check_states(made[1], judge, i))
    parity = judge.parity
    assert parity.same == parity.compared == sum(judge.actions.values()), parity
    assert parity.compared + parity.missing.total() == TICKS - len(lost)
    first = next(i for i in range(TICKS) if i not in lost)
    assert parity.lost == sum(first < i for i in lost)


@pytest.mark.parametrize("world", WORLDS)
def test_what_a_tick_followed_from_may_be_lost_too(world):
    made = recorded(**WORLDS[world])
    judge = again(
        made,
        lost_samples=set(range(100, TICKS, 60)),
        lost_proposals=set(range(300, len(made[1].proposals), 150)),
        look=lambda judge, i: check_states(made[1], judge, i),
    )
    parity = judge.parity
    assert parity.same == parity.compared
    assert parity.compared > TICKS * 0.7
    assert parity.compared + parity.missing.total() == TICKS
    assert parity.missing["joint_states"] == len(range(100, TICKS, 60))
    assert 0 < parity.missing["proposals"] < 50
    assert parity.lost == 0


LOSSES = {"none": set(), "one": {200}, "every 50th": DROPPED["every 50th"], "the beginning": set(range(100))}


@pytest.mark.parametrize("name", LOSSES)
def test_verdicts_that_are_others_are_told_whatever_was_lost_elsewhere(name):
    (config, run), lost, compared = recorded(), LOSSES[name], {}
    whole = again((config, run), lost, look=lambda judge, i: compared.update({i: judge.parity.compared})).parity
    places = [240, 300, 400, 565, 640, 765, 799, 960, 1140]
    assert all(compared[i] == compared[i - 1] + 1 for i in places), "these are to be compared"
    changes = [
        {"reason_code": "time.future"},
        {"verdict": "REJECT"},
        {"doubts": ["policy.context_age"]},
        *({"command": np.nextafter(run.ticks[i].command, 9.0)} for i in places[3:]),
    ]
    parity = again((config, altered(run, dict(zip(places, changes, strict=True)))), lost).parity
    assert parity == replace(whole, same=whole.compared - len(places), first=parity.first)
    assert f"{run.ticks[places[0]].header.stamp.nanosec} ns" in parity.first


def test_a_tick_for_which_there_may_have_been_no_time_is_not_comparable_unless_it_is_neither():
    config, run = recorded()
    known, compared = {}, {}

    def look(judge, i):
        known[i], compared[i] = len(judge.states), judge.parity.compared

    again((config, run), {200}, look=look)
    doubtful = [i for i in range(204, 240) if known[i - 1] == 2 and compared[i] == compared[i - 1]]
    assert doubtful
    assert all(known[i] == 2 for i in doubtful), "the record tells that there was time"
    i = doubtful[0]
    parity = again((config, altered(run, {i: {"verdict": "REJECT"}})), {200}).parity
    assert parity.same == parity.compared - 1
    assert f"{run.ticks[i].header.stamp.nanosec} ns" in parity.first


@pytest.mark.parametrize("name", ["one", "every 7th", "every 50th", "the beginning", "at random"])
def test_other_rules_are_told_whatever_was_lost(name):
    config, run = recorded()
    parity = again(
        (config, run), DROPPED[name], config=replace(config, proposal_timeout_s=0.03, velocity_scale=0.2)
    ).parity
    assert parity.compared - parity.same > 10


def test_a_supervisor_that_was_started_again_begins_anew():
    config, run = recorded()
    twice = replace(run, ticks=[*run.ticks[:700], *run.ticks])
    parity = again((config, twice)).parity
    assert parity == Parity(compared=TICKS + 700, same=TICKS + 700)


def test_a_supervisor_that_was_started_again_unheard_is_taken_up():
    config, run = recorded()
    twice = replace(run, ticks=[*run.ticks[:700], *run.ticks[30:]])
    parity = again((config, twice)).parity
    assert parity.same == parity.compared > TICKS + 700 - 30 - 20
    assert parity.lost == 30
    assert parity.compared + parity.missing.total() == TICKS + 700 - 30


@pytest.mark.parametrize("lost", [set(), set(range(100))])
def test_ticks_without_numbers_are_compared_as_far_as_the_first_tells(lost):
    config, run = recorded()
    ticks = list(altered(run, {i: {} for i in range(TICKS)}).ticks)
    for tick in ticks:
        del tick.sequence
    parity = again((config, replace(run, ticks=ticks)), lost).parity
    assert parity.compared == TICKS - len(lost) - bool(lost)
    assert parity.missing == ({BEFORE: 1} if lost else {})
    assert parity.lost == 0
    assert parity.same == parity.compared if not lost else parity.same > 0.5 * parity.compared


def test_ticks_that_nobody_hears_are_counted_too():
    class Deaf(Kept):
        def get_subscription_count(self):
            return 0

    supervisor, deaf = Supervisor(CONFIG, ROBOT, "system1"), Deaf()
    trace = SupervisorTrace(deaf)
    given = TickInput(now_ns=1, ros_now_ns=BEGIN_NS, sample=None, proposals={})
    verdict = supervisor.step(given)
    for _ in range(3):
        trace.say(given, verdict, "system1")
    assert deaf == []
    trace._publisher = kept = Kept()
    trace.say(given, verdict, "system1")
    assert [t.sequence for t in kept] == [3]
