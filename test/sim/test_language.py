import re

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.policy.tokenizer import words_of
from so_arm_policy.sim import language
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.language import HANDOVER, PICK_PLACE, REACH, SORT, TRACK
from so_arm_policy.sim.scene import EVERYTHING, random_scene

ONE = [Goal((Step(1, place),)) for place in ("bowl", "plate")]
GOALS = {
    "reach": (REACH, [Goal((Step(2),))]),
    "track": (TRACK, [Goal((Step(0),))]),
    "pick_place": (PICK_PLACE, ONE),
    "sort": (SORT, [Goal((Step(0, "bowl"), Step(2, "plate"))), Goal((Step(1, "plate"), Step(0, "bowl")))]),
    "handover": (HANDOVER, ONE),
}


@pytest.mark.parametrize("name", sorted(GOALS))
@pytest.mark.parametrize("held_out", [False, True])
def test_every_phrase_is_read_back_to_what_it_means(name, held_out):
    phrasings, goals = GOALS[name]
    scene = random_scene(3, EVERYTHING)
    for number in range(len(phrasings.held_out if held_out else phrasings.train)):
        for goal in goals:
            text = phrasings.say(number, scene, goal, held_out=held_out)
            assert phrasings.read(scene, text) == goal
            assert phrasings.read(scene, f"  {text.upper()}. ") == goal


@pytest.mark.parametrize("name", sorted(GOALS))
def test_held_out_phrasings_are_new_but_of_known_words(name):
    phrasings, goals = GOALS[name]
    corpus = phrasings.corpus(EVERYTHING)
    words, said = set(words_of(corpus)), set(corpus)
    for seed in range(30):
        scene = random_scene(seed, EVERYTHING.with_held_out())
        for goal in goals:
            for number in range(len(phrasings.held_out)):
                text = phrasings.say(number, scene, goal, held_out=True)
                assert set(words_of([text])) <= words
                assert text not in said
            for number in range(len(phrasings.train)):
                assert set(words_of([phrasings.say(number, scene, goal)])) <= words


def test_eight_colours_three_kinds_and_several_phrasings_of_each_task():
    assert len(EVERYTHING.colors) >= 8
    assert len(EVERYTHING.kinds) >= 3
    for phrasings, _ in GOALS.values():
        assert len(set(phrasings.train)) >= 5
        assert len(set(phrasings.held_out)) >= 3
        assert not set(phrasings.train) & set(phrasings.held_out)


def test_what_is_not_there_or_not_said_means_nothing():
    scene = random_scene(3, EVERYTHING)
    there = scene.objects[0].words
    absent = next(f"{c} cube" for c in EVERYTHING.colors if f"{c} cube" not in [o.words for o in scene.objects])
    for text in (f"put the {absent} in the bowl", f"put the {there} in the sink", f"eat the {there}", "", "put the"):
        assert PICK_PLACE.read(scene, text) is None
    without_plate = random_scene(3)
    assert PICK_PLACE.read(without_plate, f"put the {without_plate.objects[0].words} on the plate") is None


def test_goals_that_no_scene_has_are_refused():
    for bad in (lambda: Step(3), lambda: Step(0, "sink"), lambda: Goal(())):
        with pytest.raises(ConfigError):
            bad()


def test_phrasings_have_only_known_fields():
    known = {"object", "in", "into", "object2", "in2", "into2"}
    for phrasings in (getattr(language, name) for name in ("FOUNDATION_REACH", *map(str.upper, GOALS))):
        for phrase in (*phrasings.train, *phrasings.held_out):
            assert set(re.findall(r"\{(\w+)\}", phrase)) <= known
