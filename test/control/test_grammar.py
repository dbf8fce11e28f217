"""Every sentence of the simulator is read as it was meant; whatever is not clear is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.control.grammar import MAX_CHARACTERS, Order, Said, parse, tokenise
from so_arm_policy.control.lexicon import FRAMES, WORDS
from so_arm_policy.control.lexicon import PLACES as PLACES_OF_WORDS
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.sim.goal import PLACES, Goal, Step
from so_arm_policy.sim.language import FOUNDATION_REACH, HANDOVER, PICK_PLACE, REACH, SORT, TRACK, filled
from so_arm_policy.sim.scene import EVERYTHING, HELD_OUT_PAIRS, random_scene

# Phrasings, what they order, with how many steps and whether with places.
TASKS = {
    "foundation_reach": (FOUNDATION_REACH, "reach", 1, False),
    "reach": (REACH, "reach", 1, False),
    "track": (TRACK, "track", 1, False),
    "pick_place": (PICK_PLACE, "put", 1, True),
    "sort": (SORT, "put", 2, True),
    "handover": (HANDOVER, "hand over", 1, True),
}
PHRASES = [
    pytest.param(name, number, held_out, id=f"{name}: {phrase}")
    for name, (phrasings, *_) in TASKS.items()
    for held_out, phrases in ((False, phrasings.train), (True, phrasings.held_out))
    for number, phrase in enumerate(phrases)
]
RED, BLUE = Said("red", "cube", "bowl"), Said("blue", "can", "plate")
A, B = "the red cube in the bowl", "the blue can on the plate"


def goal_of(order, scene):
    words = [thing.words for thing in scene.objects]
    return Goal(tuple(Step(words.index(said.words), said.place) for said in order.steps))


def some_goal(rng, steps, places):
    objects = rng.permutation(3)[:steps]
    return Goal(tuple(Step(int(i), str(rng.choice(PLACES)) if places else None) for i in objects))


@pytest.mark.parametrize(("name", "number", "held_out"), PHRASES)
def test_every_phrasing_is_read_as_it_was_meant(name, number, held_out):
    phrasings, verb, steps, places = TASKS[name]
    rng = np.random.default_rng(number)
    for seed in range(40):
        scene = random_scene(seed, HELD_OUT_PAIRS if seed % 2 else EVERYTHING)
        goal = some_goal(rng, steps, places)
        text = phrasings.say(number, scene, goal, held_out=held_out)
        order = parse(text)
        assert order.verb == verb
        assert goal_of(order, scene) == goal == phrasings.read(scene, text)


ORDERS_OF_TWO = [
    f"first put {A}, then put {B}",
    f"put {A} first and then put {B}",
    f"put {A} first, then {B}",
    f"put {A} first and put {B}",
    f"put {A} and {B}",
    f"put {A}. Put {B}.",
    f"put {A}, {B}",
    f"put {A} before you put {B}",
    f"put {A} first before you put {B}",
    f"put {A} before {B}",
    f"before you put {B}, put {A}",
    f"before you put {B}, first put {A}",
    f"before {B}, put {A}",
    f"put {B} after you put {A}",
    f"put {B} after {A}",
    f"after you put {A}, put {B}",
    f"after you put {A}, then put {B}",
    f"after {A}, {B}",
    f"first {A}, then {B}",
    f"put {B} and first put {A}",
    f"put {B} after you take the red cube and drop it into the bowl",
    "after you pick up the red cube and put it in the bowl, take the blue can and move it onto the plate",
    "before you pick the blue can up and put it on the plate, grab the red cube, then put it in the bowl",
    "first pick up and put the red cube in the bowl and then move the blue can to the plate",
    "take the red cube, put it in the bowl, take the blue can, put it on the plate",
]


@pytest.mark.parametrize("text", ORDERS_OF_TWO)
def test_order_words_tell_which_step_is_first(text):
    assert parse(text) == Order("put", (RED, BLUE))


NEW_SENTENCES = {
    "go to and touch a red cube": "reach",
    "bring the gripper to the red cube and touch it": "reach",
    "reach for the red cube, then touch it": "reach",
    "stay close and follow the red cube": "track",
    "go to the red cube and keep following it as it moves": "track",
    "keep the gripper with the red cube and stay close": "track",
    "please track the red cube": "track",
}
NEW_SENTENCES_TO_THE_BOWL = {
    "pick the red cube up and set it in the bowl": "put",
    "first pick up the red cube, then lay it in the bowl": "put",
    "take the red cube to put it in the bowl": "put",
    "grab and move the red cube to the bowl": "put",
    "put red cube in bowl": "put",
    "go and put the red cube in the bowl": "put",
    "reach for the red cube, pick it up and drop it into the bowl": "put",
    "the red cube: put it in the bowl": "put",
    "take the red cube, hand it over to the other arm, then put it in the bowl": "hand over",
    "give the right arm the red cube and drop it into the bowl": "hand over",
    "pass the red cube over from the left arm to the right arm and place it in the bowl": "hand over",
    "move the red cube to the other arm to put it in the bowl": "hand over",
}


@pytest.mark.parametrize(("text", "verb"), NEW_SENTENCES.items())
def test_known_words_say_new_things_about_an_object(text, verb):
    assert parse(text) == Order(verb, (Said("red", "cube", None),))


@pytest.mark.parametrize(("text", "verb"), NEW_SENTENCES_TO_THE_BOWL.items())
def test_known_words_say_new_things_about_an_object_and_a_place(text, verb):
    assert parse(text) == Order(verb, (RED,))


# What is refused -> what the error names.
REFUSED = {
    "": "''",
    " ,. ": "expected words such as",
    "please": "'please'",
    "put the red block in the bowl": "'block'",
    "do not put the red cube in the bowl": "'do', 'not'",
    "put the red cube in the sink": "'sink'",
    "put the red cube in the bowl 2": "'2'",
    "put": "got the end after 'put'",
    "put in the bowl": "got 'in' after 'put', expected an object",
    "put the red in the bowl": "got 'in' after 'put the red', expected 'cube', 'can', 'brick'",
    "put the cube in the bowl": "got 'cube' after 'put the'",
    "put the cube red in the bowl": "got 'cube' after 'put the'",
    "put it in the bowl": "got 'it' with 'put'",
    "follow it and touch the red cube": "got 'it' with 'follow'",
    "put the red cube": "got the end after 'put the red cube', expected 'in'",
    "put the red cube in the": "expected 'bowl', 'plate'",
    "put the red cube on the blue can": "got 'blue' after 'put the red cube on the', expected 'bowl', 'plate'",
    "move the red cube to the blue can": "got 'blue'",
    "move to the bowl": "got 'bowl' after 'move to the'",
    "touch the bowl": "got 'bowl' after 'touch the'",
    "touch the red cube in the bowl": "got 'in' after 'touch the red cube'",
    "pick up the red cube in the bowl": "got 'in' after 'pick up the red cube'",
    "pick up the red cube": "no place for the red cube",
    "hand over the red cube": "no place for the red cube",
    "hand the red cube to the left arm and put it in the bowl": "got 'left'",
    "pass the red cube from right to left and put it in the bowl": "got 'right'",
    "give the red cube and put it in the bowl": "got 'and' after 'give the red cube'",
    "the red cube": "no verb and no place for the red cube",
    "the red cube in the bowl": "no verb for the red cube",
    f"{A} and {B}": "no verb for the red cube",
    "put the red cube and the blue can in the bowl": "got 'and' after 'put the red cube'",
    f"put {A}, then the blue can": "no place for the blue can",
    "take the red cube and put the blue can in the bowl": "no place for the red cube",
    "put the red cube in the bowl on the plate": "'on the plate'",
    "put the red cube in the bowl and on the plate": "'on the plate'",
    "put the red cube in the bowl and put it on the plate": "'bowl' and 'plate'",
    "put the red cube in the bowl, then the red cube on the plate": "two steps",
    f"put {A}, {B} and the green brick in the bowl": "third object, green brick",
    "touch the red cube and the blue can": "no place for the blue can",
    "touch the red cube and touch the blue can": "'reach' of the red cube and 'reach' of the blue can",
    f"follow the red cube and put {B}": "'track' of the red cube and 'put' of the blue can",
    "follow the red cube and put it in the bowl": "got 'put' after other deeds",
    f"put {A} and touch it": "got 'touch' after other deeds",
    "touch the red cube as it moves": "got 'as'",
    f"first put {A} after {B}": "contradictory order, 'first' with the red cube, 'after' with the blue can",
    f"first put {A}, first put {B}": "may belong to each",
    f"first put {A} and first put {B}": "contradictory",
    f"put {A}, then {B} first": "contradictory",
    f"before you put {A}, then put {B}": "contradictory",
    f"put {A} first put {B}": "may belong to each",
    f"before you put {A} and put {B}": "got 'and'",
    f"put {A} and after you put {B}": "'and after'",
    f"before you put {A}": "only one step",
    f"put {B} before": "got the end after",
    f"then put {A}": "got 'then' before anything else",
    f"put the red cube before you put {B} in the bowl": "got 'before'",
    f"take the red cube and before you put it in the bowl, put {B}": "'and before'",
    f"take the red cube before you put it in the bowl, then put {B}": "got 'before' between two deeds",
    "pass the red cube over to put the blue can in the bowl": "another object, the blue can",
    "stay close": "got the end after 'stay close'",
    "reach for and": "got 'and'",
    "you the red cube": "got 'the' after 'you'",
}


@pytest.mark.parametrize(("text", "named"), REFUSED.items())
def test_what_is_not_clear_is_refused_and_named(text, named):
    with pytest.raises(InputError) as refused:
        parse(text)
    assert named in str(refused.value)
    assert "expected" in str(refused.value)


def test_a_text_may_be_as_long_as_is_stated_and_no_longer():
    text = f"put {A}"
    longest = text + " " * (MAX_CHARACTERS - len(text))
    assert parse(longest) == Order("put", (RED,))
    for length in (MAX_CHARACTERS + 1, 10**7):
        with pytest.raises(InputError, match=f"got {length} characters, expected at most {MAX_CHARACTERS}"):
            parse("put " * (length // 4) + " " * (length % 4))


def test_the_longest_sentences_fit():
    half = "take the yellow brick, hand it over to the other arm and put it onto the plate"
    assert 2 * len(f"before you {half}, ") <= MAX_CHARACTERS


def test_the_lexicon_knows_every_colour_kind_and_place_and_every_word_of_the_simulator():
    assert PLACES_OF_WORDS == PLACES
    assert set(COLORS) | set(KINDS) <= WORDS
    corpus = {
        word for phrasings, *_ in TASKS.values() for text in phrasings.corpus(EVERYTHING) for word in tokenise(text)
    }
    assert corpus <= WORDS
    assert not set(FRAMES) & (set(COLORS) | set(KINDS) | set(PLACES))


nouns = st.tuples(st.sampled_from(sorted(COLORS)), st.sampled_from(KINDS))
all_phrases = st.sampled_from([p for phrasings, *_ in TASKS.values() for p in (*phrasings.train, *phrasings.held_out)])
sentences = st.builds(
    lambda phrase, pair, places: filled(phrase, tuple(map(" ".join, pair)), places),
    all_phrases,
    st.lists(nouns, min_size=2, max_size=2, unique=True),
    st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)),
)
pieces = st.sampled_from(
    [*sorted(WORDS), A, B, "put it in the bowl", "the green brick", "the red can", "put", "and", "then", "on the plate"]
)
salads = st.lists(pieces, max_size=14).map(" ".join)


@st.composite
def disturbed(draw):
    words = draw(sentences).split()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words) - 1))
        words[at : at + draw(st.integers(0, 2))] = draw(st.lists(pieces, max_size=2))
        words = words or ["put"]
    return " ".join(words)


@given(st.one_of(st.text(), st.text(max_size=3 * MAX_CHARACTERS), salads, disturbed(), sentences))
def test_what_is_read_is_all_that_was_named_and_nothing_else(text):
    try:
        order = parse(text)
    except InputError:
        return
    words = tokenise(text)
    pairs = {(color, kind) for color, kind in zip(words, words[1:], strict=False) if color in COLORS}
    assert {(step.color, step.kind) for step in order.steps} == pairs
    assert {step.place for step in order.steps} - {None} == set(words) & set(PLACES)
    assert len(order.steps) == len(pairs) <= (2 if order.verb == "put" else 1)
    assert all((step.place is not None) == (order.verb in ("put", "hand over")) for step in order.steps)


@given(sentences, st.data())
def test_case_blanks_and_punctuation_make_no_difference(text, data):
    noise = st.lists(st.sampled_from([" ", "\t", "\n", ",", ".", "!", ";", ":", "?"]), max_size=3).map("".join)
    said_so = data.draw(noise)
    for word in text.replace(",", " ").split():
        cased = data.draw(st.sampled_from([word, word.upper(), word.title(), word.swapcase()]))
        said_so += cased + " " + data.draw(noise)
    if len(said_so) <= MAX_CHARACTERS:
        assert parse(said_so) == parse(text)


@given(sentences)
def test_a_sentence_that_lost_a_colour_a_kind_or_a_place_is_refused(text):
    words = list(tokenise(text))
    for at, word in enumerate(words):
        if word in (*COLORS, *KINDS, *PLACES):
            with pytest.raises(InputError):
                parse(" ".join(words[:at] + words[at + 1 :]))


def deed(verb, noun, place):
    return f"{verb} the {' '.join(noun)} {'in' if place == 'bowl' else 'onto'} the {place}"


@given(
    st.lists(nouns, min_size=2, max_size=2, unique=True),
    st.lists(st.sampled_from(PLACES), min_size=2, max_size=2),
    st.lists(st.sampled_from(["put", "place", "move", "drop", "set", "lay"]), min_size=2, max_size=2),
)
def test_the_same_order_is_read_whichever_way_round_it_is_said(pair, places, verbs):
    x, y = (deed(*parts) for parts in zip(verbs, pair, places, strict=True))
    order = Order("put", tuple(Said(*noun, place) for noun, place in zip(pair, places, strict=True)))
    for text in (
        f"first {x}, then {y}",
        f"before you {y}, {x}",
        f"{y} after you {x}",
        f"after you {x}, {y}",
        f"{x}, {y}",
    ):
        assert parse(text) == order
