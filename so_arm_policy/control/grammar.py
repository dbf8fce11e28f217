"""Instructions read by a small grammar: words -> actions -> steps in the order in which they are to be done.

    sentence  = action+
    action    = ["and"] [order word | "to"] (["you"] verb frame ["as it moves"] | object [place]) ["first"]
    object    = [article] colour kind | "it"
    place     = ("in" | "into" | "on" | "onto" | "to") [article] ("bowl" | "plate")

Actions on one object are one step ("take the red cube and put it in the bowl"). Of two steps, the one after "before" or
"then" is the second, the one after "after" or "first" or in front of "first" is the first; without such words they are
done as said. Punctuation means nothing. What can be read in two ways is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal

from so_arm_policy.control.clauses import Action, Reader
from so_arm_policy.control.lexicon import EARLY, FILLERS, LATE, SUBORDINATORS, WORDS, Sense
from so_arm_policy.core.errors import InputError

Verb = Literal["reach", "track", "put", "hand over"]
# Two steps with every part said at length take less than 250.
MAX_CHARACTERS = 400


@dataclass(frozen=True)
class Said:
    """One object, and the place where it goes ("bowl", "plate"; None for "reach" and "track")."""

    color: str
    kind: str
    place: str | None

    @property
    def words(self) -> str:
        """What people call it, e.g. "red cube"."""
        return f"{self.color} {self.kind}"


@dataclass(frozen=True)
class Order:
    """What to do. steps: in the order in which they are to be done; two only of "put", otherwise one."""

    verb: Verb
    steps: tuple[Said, ...]


def parse(text: str) -> Order:
    """Return what `text` orders. Raises InputError unless it is one order that can be read in one way."""
    actions = Reader(tokenise(text)).sentence()
    steps = _steps(actions)
    verbs = [_verb(step, steps) for step in steps]
    if len(set(verbs)) > 1 or (len(steps) > 1 and verbs[0] != "put"):
        got = " and ".join(f"{verb!r} of the {step.words}" for verb, step in zip(verbs, steps, strict=True))
        raise InputError(f"instruction: got {got}, expected one of them, or 'put' of both")
    said = tuple(Said(*step.thing, step.place) for step in _in_order(steps))
    return Order(verb=verbs[0], steps=said)


def tokenise(text: str) -> tuple[str, ...]:
    """Return the words of `text` in lower case, punctuation left out. Raises InputError: long, empty, unknown words."""
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"instruction: got {len(text)} characters, expected at most {MAX_CHARACTERS}")
    words = tuple(word for word in re.findall(r"[^\s.,;:!?]+", text.lower()) if word not in FILLERS)
    if not words:
        raise InputError(f"instruction: got {text!r}, expected words such as 'put the red cube in the bowl'")
    unknown = [word for word in dict.fromkeys(words) if word not in WORDS]
    if unknown:
        raise InputError(f"instruction: got unknown words {unknown}, expected some of {sorted(WORDS)}")
    return words


@dataclass
class _Step:
    """Actions on one object, while they are read."""

    thing: tuple[str, str]
    senses: list[Sense]
    place: str | None
    lead: str
    first: bool = False

    @property
    def words(self) -> str:
        return " ".join(self.thing)

    @property
    def early(self) -> bool:
        return self.first or self.lead in EARLY

    @property
    def late(self) -> bool:
        return self.lead in LATE

    def add(self, action: Action) -> None:
        """Take in what `action` does with the object. Raises InputError where it cannot be done after the rest."""
        if action.place is not None and self.place is not None:
            got = f"{self.place!r} and {action.place!r}"
            raise InputError(f"instruction: got places {got} for the {self.words}, expected one")
        if action.sense is not None:
            before = max(self.senses, default=Sense.REACH)
            mixed = Sense.TRACK in (before, action.sense) and max(before, action.sense) > Sense.TRACK
            if action.sense < before or mixed:
                raise InputError(
                    f"instruction: got {action.verb!r} after other deeds with the {self.words}, expected to reach, "
                    "take, hand over and put it, in this order, or to reach and follow it"
                )
            self.senses.append(action.sense)
        self.place = self.place or action.place
        self.first |= action.first


def _steps(actions: tuple[Action, ...]) -> list[_Step]:
    """Join actions on the same object; `waiting` are those whose object comes with a later verb."""
    steps: list[_Step] = []
    waiting: list[Action] = []
    for action in actions:
        if action.forward:
            waiting.append(action)
            continue
        if action.thing is None and not steps:
            raise InputError(f"instruction: got 'it' with {action.verb!r} before any object, expected its name")
        group = (*waiting, action)
        waiting = []
        if action.thing is None or _same_again(steps, action):
            _continues(steps, group)
        else:
            _begins(steps, group, action.thing)
        for part in group:
            steps[-1].add(part)
    return steps


def _same_again(steps: list[_Step], action: Action) -> bool:
    return bool(steps) and steps[-1].thing == action.thing and steps[-1].place is None


def _continues(steps: list[_Step], group: tuple[Action, ...]) -> None:
    """Check that `group` goes on with the object of the last step."""
    lead = group[0].lead
    if lead not in ("", "then", "to"):
        raise InputError(
            f"instruction: got {lead!r} between two deeds with the {steps[-1].words}, expected 'and' or 'then'"
        )


def _begins(steps: list[_Step], group: tuple[Action, ...], thing: tuple[str, str]) -> None:
    """Add the step that `group` begins, still without its deeds."""
    head, words = group[0], " ".join(thing)
    if head.lead == "to":
        raise InputError(f"instruction: got 'to {head.verb}' of another object, the {words}, expected 'it'")
    if len(steps) > 1:
        named = ", ".join(step.words for step in steps)
        raise InputError(f"instruction: got a third object, {words}, after {named}, expected at most two")
    if any(step.thing == thing for step in steps):
        raise InputError(f"instruction: got the {words} in two steps, expected two objects, or one with one place")
    if not steps and head.lead == "then":
        raise InputError("instruction: got 'then' before anything else, expected a step that comes before it")
    if steps and head.joined and steps[0].lead in SUBORDINATORS:
        raise InputError(f"instruction: got 'and' after what follows {steps[0].lead!r}, expected the other step")
    steps.append(_Step(thing=thing, senses=[], place=None, lead=head.lead))


def _verb(step: _Step, steps: list[_Step]) -> Verb:
    """Return what is done with the object as a whole."""
    if not step.senses:
        # "first the red cube in the bowl, then the blue can on the plate": only where the other step or the order tells
        # that something is to be done, for "the red cube in the bowl" may be no more than what is seen.
        told = any(other.senses or other.early or other.late for other in steps)
        if step.place is None or len(steps) == 1 or not told:
            lacks = "verb" if step.place else "verb and no place"
            raise InputError(f"instruction: got no {lacks} for the {step.words}, expected such as 'put it in the bowl'")
        return "put"
    deed = max(step.senses)
    if deed in (Sense.TAKE, Sense.HAND_OVER):
        raise InputError(
            f"instruction: got no place for the {step.words}, expected 'and put it in the bowl' or 'on the plate'"
        )
    if deed is Sense.PUT:
        return "hand over" if Sense.HAND_OVER in step.senses else "put"
    if step.place is not None:
        raise InputError(f"instruction: got place {step.place!r} for the {step.words}, expected none to reach or track")
    return "track" if deed is Sense.TRACK else "reach"


def _in_order(steps: list[_Step]) -> list[_Step]:
    """Return the steps in the order in which they are to be done. Raises InputError for a contradictory order."""
    if len(steps) == 1:
        if steps[0].lead in SUBORDINATORS:
            raise InputError(f"instruction: got {steps[0].lead!r} and only one step, expected two")
        return steps
    one, two = steps
    as_said, swapped = one.early or two.late, two.early or one.late
    if as_said and swapped:
        got = [f"{step.lead or 'first'!r} with the {step.words}" for step in steps if step.early or step.late]
        raise InputError(f"instruction: got contradictory order, {', '.join(got)}; expected one of the two to be first")
    return [two, one] if swapped else steps
