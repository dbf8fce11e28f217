"""What people say: phrasings of each task, said from a meaning and read back to it.

A phrasing is a text with fields: {object} is "red cube"; {in} is "in the bowl" or "on the plate", {into} "into the
bowl" or "onto the plate"; {object2}, {in2}, {into2} are those of the second step. Held-out phrasings say the same with
words of the others, in an order that no training sees.
"""

import re
from dataclasses import dataclass
from functools import cache

from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.sim.goal import PLACES, Goal, Step
from so_arm_policy.sim.scene import ObjectSet, Scene

IN = {"bowl": "in the bowl", "plate": "on the plate"}
INTO = {"bowl": "into the bowl", "plate": "onto the plate"}


@dataclass(frozen=True)
class Phrasings:
    """Ways to say one task: those that training uses, and those kept for tests."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    def corpus(self, objects: ObjectSet) -> list[str]:
        """Every training phrasing with every object that is not held out: every word, also those of tests."""
        pairs = [(color, kind) for kind in objects.kinds for color in objects.colors]
        nouns = [" ".join(pair) for pair in pairs if pair not in objects.held_out]
        said: dict[str, None] = {}
        for phrase in self.train:
            for i, noun in enumerate(nouns):
                for here, there in zip(PLACES, reversed(PLACES), strict=True):
                    said[filled(phrase, (noun, nouns[(i + 1) % len(nouns)]), (here, there))] = None
        return list(said)

    def say(self, number: int, scene: Scene, goal: Goal, *, held_out: bool = False) -> str:
        """Return `goal` in phrasing number `number`."""
        phrase = (self.held_out if held_out else self.train)[number]
        nouns = tuple(scene.objects[step.object].words for step in goal.steps)
        return filled(phrase, nouns, tuple(step.place or "bowl" for step in goal.steps))

    def read(self, scene: Scene, instruction: str) -> Goal | None:
        """Return what `instruction` means in `scene`; None where no phrasing or no object fits."""
        text = " ".join(re.sub(r"[.,!]", " ", instruction.lower()).split())
        for phrase in (*self.train, *self.held_out):
            match = _pattern(phrase).fullmatch(text)
            goal = None if match is None else _goal(scene, match.groupdict())
            if goal is not None:
                return goal
        return None


def in_two_steps(steps: tuple[str, ...], orders: tuple[str, ...], *, verb_twice: bool = True) -> tuple[str, ...]:
    """Return each of `orders` said with each of `steps`, twice the same: "first put ..., then put ...".

    verb_twice: whether the verb comes again; if not: "first put the red cube in the bowl, then the blue one ...".
    """
    said = []
    for order in orders:
        for step in steps:
            after = re.sub(r"{(\w+)}", r"{\g<1>2}", step)
            after = after if verb_twice else after.partition(" ")[2]
            said.append(order.replace("{1}", step).replace("{2}", after))
    return tuple(said)


# The reach bundles of the foundation know these three only.
FOUNDATION_REACH = Phrasings(("touch the {object}", "reach for the {object}", "go to the {object}"))
REACH = Phrasings(
    (
        *FOUNDATION_REACH.train,
        "move to the {object}",
        "reach the {object} and touch it",
        "bring the gripper to the {object}",
    ),
    ("go and touch the {object}", "move the gripper to the {object}", "reach for and touch the {object}"),
)
TRACK = Phrasings(
    (
        "follow the {object}",
        "keep following the {object}",
        "stay with the {object}",
        "track the {object} as it moves",
        "follow the {object} and stay close",
        "keep the gripper close to the {object}",
    ),
    ("keep close to the {object} as it moves", "stay close to the {object}", "keep with the {object} and follow it"),
)
PICK_PLACE = Phrasings(
    (
        "put the {object} {in}",
        "place the {object} {in}",
        "move the {object} {into}",
        "pick up the {object} and put it {in}",
        "take the {object} and place it {in}",
        "pick the {object} and drop it {into}",
    ),
    ("take the {object} and put it {into}", "drop the {object} {into}", "pick up the {object} and move it {into}"),
)
# What one step is told with, and in which orders two of them are said; {1} is done before {2}.
_STEPS = ("put the {object} {in}", "place the {object} {in}", "move the {object} {into}", "drop the {object} {into}")
_ORDERS = (
    "first {1}, then {2}",
    "{1}, then {2}",
    "{1} and then {2}",
    "{1} first, then {2}",
    "{1} before you {2}",
    "before you {2}, {1}",
    "{2} after you {1}",
    "after you {1}, {2}",
)
_ORDERS_OF_ONE_VERB = (
    "first {1}, then {2}",
    "{1}, then {2}",
    "{1} and then {2}",
    "{1} first, then {2}",
    "{1} before {2}",
)
_SORT_HELD_OUT = (
    "first place the {object} {in}, then place the {object2} {in2}",
    "after you place the {object} {in}, place the {object2} {in2}",
    "put the {object} {in} first and then the {object2} {in2}",
)
_SORT = (
    "first put the {object} {in}, then the {object2} {in2}",
    "first the {object} {in}, then the {object2} {in2}",
    "put the {object} {in} and then the {object2} {in2}",
    "move the {object} {into} first, then the {object2} {into2}",
    "place the {object} {in} before the {object2} {in2}",
    "put the {object2} {in2} after the {object} {in}",
    *in_two_steps(_STEPS, _ORDERS),
    *in_two_steps(_STEPS, _ORDERS_OF_ONE_VERB, verb_twice=False),
)
SORT = Phrasings(tuple(said for said in dict.fromkeys(_SORT) if said not in _SORT_HELD_OUT), _SORT_HELD_OUT)
HANDOVER = Phrasings(
    (
        "hand over the {object} and put it {in}",
        "pass the {object} to the other arm and put it {in}",
        "pass the {object} over and place it {in}",
        "hand the {object} to the right arm and put it {in}",
        "pass the {object} from left to right and place it {in}",
        "give the {object} to the other arm to put it {in}",
    ),
    (
        "hand the {object} over to the other arm and place it {in}",
        "pass the {object} to the right arm to put it {in}",
        "give the {object} over and put it {in}",
    ),
)


def filled(phrase: str, nouns: tuple[str, ...], places: tuple[str, ...]) -> str:
    """Return `phrase` about nouns ("red cube") and places, one of each for each step."""
    fields: dict[str, str] = {}
    for number, noun, place in zip(("", "2"), nouns, places, strict=False):
        fields |= {f"object{number}": noun, f"in{number}": IN[place], f"into{number}": INTO[place]}
    return phrase.format(**fields)


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """Compile a phrasing into what recognises it; commas are optional, "in" and "into" mean the same."""
    place = "(?:{}) the (?P<{{}}>{})".format("in|into|on|onto", "|".join(PLACES))
    noun = f"(?:{'|'.join(COLORS)}) (?:{'|'.join(KINDS)})"
    pattern = re.escape(" ".join(phrase.replace(",", " ").split())).replace(r"\ ", " ")
    for number in ("", "2"):
        pattern = pattern.replace(rf"\{{object{number}\}}", f"(?P<object{number}>{noun})")
        for word in ("in", "into"):
            pattern = pattern.replace(rf"\{{{word}{number}\}}", place.format(f"place{number}"))
    return re.compile(pattern)


def _goal(scene: Scene, said: dict[str, str]) -> Goal | None:
    words = [thing.words for thing in scene.objects]
    steps = []
    for number in ("", "2"):
        if f"object{number}" not in said:
            continue
        place = said.get(f"place{number}")
        if said[f"object{number}"] not in words or (place == "plate" and scene.plate_x is None):
            return None
        steps.append(Step(object=words.index(said[f"object{number}"]), place=place))
    return Goal(steps=tuple(steps))
