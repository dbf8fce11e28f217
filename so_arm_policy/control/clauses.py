"""Words of an instruction -> actions: recursive descent, with the words expected where no reading gets further."""

from collections.abc import Iterable
from dataclasses import dataclass

from so_arm_policy.control.lexicon import (
    ARTICLES,
    FRAMES,
    GIVER,
    PLACE_PREPOSITIONS,
    PLACES,
    RECEIVERS,
    SUBORDINATORS,
    Sense,
)
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import COLORS, KINDS

_CONTEXT_WORDS = 6


@dataclass(frozen=True, kw_only=True)
class Action:
    """One verb with what it takes, or an object without verb.

    thing: colour and kind, None for "it" and where it is left out; forward: left out here, it comes with the next verb.
    lead: order word or "to" in front, or ""; joined: "and" is in front; first: "first" comes after it.
    """

    verb: str
    sense: Sense | None
    thing: tuple[str, str] | None
    forward: bool
    place: str | None
    lead: str
    joined: bool
    first: bool


@dataclass(frozen=True)
class _Filled:
    """How far a frame has been read, and with what."""

    at: int
    thing: tuple[str, str] | None = None
    forward: bool = False
    place: str | None = None


class Reader:
    """Reads the actions of one sentence. Methods that take `at` read from there and return where they got to."""

    def __init__(self, words: tuple[str, ...]) -> None:
        """Begin before the first of `words`."""
        self._words = words
        self._named = False  # whether an object has been named
        self._furthest = 0
        self._expected: dict[str, None] = {}

    def sentence(self) -> tuple[Action, ...]:
        """Return all actions, at least one. Raises InputError that names the word that does not fit."""
        actions: list[Action] = []
        at = 0
        while at < len(self._words):
            at, action = self._action(at, actions)
            actions.append(action)
            self._named |= action.thing is not None
        return tuple(actions)

    def _word(self, at: int) -> str:
        return self._words[at] if at < len(self._words) else ""

    def _fail(self, at: int, expected: Iterable[str]) -> None:
        """Note that one of `expected` would have let the sentence go on at `at`; the furthest place counts."""
        if at > self._furthest:
            self._furthest, self._expected = at, {}
        if at == self._furthest:
            self._expected |= dict.fromkeys(expected)

    def _error(self) -> InputError:
        at = self._furthest
        got = repr(self._word(at)) if at < len(self._words) else "the end"
        before = " ".join(self._words[max(0, at - _CONTEXT_WORDS) : at])
        where = f" after {before!r}" if before else " at the beginning"
        return InputError(f"instruction: got {got}{where}, expected {', '.join(self._expected)}")

    def _action(self, at: int, before: list[Action]) -> tuple[int, Action]:
        joined = bool(before) and self._word(at) == "and"
        at += joined
        lead = self._lead(at, before)
        self._refuse_at_once(at, lead, before, joined=joined)
        at += bool(lead)
        you = self._word(at) == "you"
        at += you
        verb = self._word(at)
        if verb in FRAMES:
            sense, filled = self._verb_phrase(verb, at + 1)
        else:
            verb, sense = "", None
            filled = self._fragment(at, you=you, goes_on=bool(before) and not joined and not lead)
        first = self._first_behind(filled.at, [*(action.lead for action in before), lead])
        return filled.at + first, Action(
            verb=verb,
            sense=sense,
            thing=filled.thing,
            forward=filled.forward,
            place=filled.place,
            lead=lead,
            joined=joined,
            first=first,
        )

    def _lead(self, at: int, before: list[Action]) -> str:
        """Return the order word at `at`, or "to" before a verb, or ""."""
        word = self._word(at)
        if word in ("first", "then", *SUBORDINATORS):
            return word
        return "to" if word == "to" and before and self._word(at + 1) in FRAMES else ""

    def _refuse_at_once(self, at: int, lead: str, before: list[Action], *, joined: bool) -> None:
        word = self._word(at)
        if joined and lead in SUBORDINATORS:  # "put ... and after you put ...": whether it ends here is not clear
            raise InputError(f"instruction: got 'and {lead}', expected {lead!r} alone, or 'and then'")
        if not lead and word in PLACE_PREPOSITIONS and before and before[-1].place is not None:
            got = " ".join(self._words[at : at + 3])
            raise InputError(
                f"instruction: got {got!r} after 'the {before[-1].place}', expected one place for one object"
            )

    def _first_behind(self, at: int, leads: list[str]) -> bool:
        """Whether a "first" at `at` belongs to the action before it: "put ... first, then ..."."""
        if self._word(at) != "first":
            return False
        if self._word(at + 1) in ("", "and", "then", *SUBORDINATORS):
            return True
        if "before" in leads:  # "before you ..., first ..."
            return False
        raise InputError(
            "instruction: got 'first' between two steps, where it may belong to each; expected it at the beginning, "
            "or 'then' after it"
        )

    def _fragment(self, at: int, *, you: bool, goes_on: bool) -> _Filled:
        """Read an object without verb, with its place if there is one."""
        word = self._word(at)
        if you or not (word in ARTICLES or word in COLORS):
            if goes_on:
                self._fail(at, ("the end", "'and'", "'then'", "'before'", "'after'"))
            self._fail(at, ("a verb such as 'put'", *(() if you else ("an object such as 'the red cube'",))))
            raise self._error()
        thing = self._noun(at)
        if thing is None:
            raise self._error()
        filled = _Filled(thing[0], thing[1])
        return self._place(filled) or filled

    def _verb_phrase(self, verb: str, at: int) -> tuple[Sense, _Filled]:
        """Read the longest frame of `verb`."""
        found = [(filled, sense) for frame, sense in FRAMES[verb].items() if (filled := self._frame(frame, at))]
        if not found:
            raise self._error()
        filled, sense = max(found, key=lambda one: one[0].at)
        if self._word(filled.at) == "as" and sense is Sense.TRACK:
            end = self._literals(("as", "it", "moves"), filled.at)
            if end is None:
                raise self._error()
            filled = _Filled(end, filled.thing, filled.forward, filled.place)
        return sense, filled

    def _frame(self, frame: str, at: int) -> _Filled | None:
        slots = frame.split()
        filled: _Filled | None = _Filled(at)
        for number, slot in enumerate(slots):
            assert filled is not None
            last = number == len(slots) - 1
            filled = self._slot(slot, filled, last=last)
            if filled is None:
                return None
        return filled

    def _slot(self, slot: str, filled: _Filled, *, last: bool) -> _Filled | None:
        if slot == "OBJ":
            return self._object(filled, may_come_later=last)
        if slot == "PLACE":
            return self._place(filled)
        if slot == "SAME" and self._named:
            return filled
        if slot in ("SAME", "NEXT"):
            return self._comes_later(filled)
        if slot == "GRIPPER":
            end = self._with_article(filled.at, ("gripper",))
        elif slot == "ARM":
            end = self._arm(filled.at, RECEIVERS, named=True)
        elif slot == "TO_ARM":
            end = self._to_arm(filled.at)
        else:
            end = self._literals((slot,), filled.at)
        return None if end is None else _Filled(end, filled.thing, filled.forward, filled.place)

    def _literals(self, words: tuple[str, ...], at: int) -> int | None:
        for word in words:
            if self._word(at) != word:
                self._fail(at, (repr(word),))
                return None
            at += 1
        return at

    def _with_article(self, at: int, words: Iterable[str]) -> int | None:
        """Read an article, which may be missing, and one of `words`."""
        at += self._word(at) in ARTICLES
        if self._word(at) in words:
            return at + 1
        self._fail(at, map(repr, words))
        return None

    def _object(self, filled: _Filled, *, may_come_later: bool) -> _Filled | None:
        if self._word(filled.at) == "it":
            return _Filled(filled.at + 1, None, False, filled.place)
        later = self._comes_later(filled) if may_come_later else None
        if later is not None:
            return later
        self._fail(filled.at, ("an object such as 'the red cube'",))
        thing = self._noun(filled.at)
        return None if thing is None else _Filled(thing[0], thing[1], False, filled.place)

    def _comes_later(self, filled: _Filled) -> _Filled | None:
        """Read no object where another verb is next: "reach for and touch the red cube"."""
        if self._word(filled.at) == "and" and self._word(filled.at + 1) in FRAMES:
            return _Filled(filled.at, None, True, filled.place)
        self._fail(filled.at, ("an object such as 'the red cube'",))
        return None

    def _noun(self, at: int) -> tuple[int, tuple[str, str]] | None:
        at += self._word(at) in ARTICLES
        if self._word(at) not in COLORS:
            self._fail(at, map(repr, COLORS))
            return None
        end = at + 1
        if self._word(end) not in KINDS:
            self._fail(end, map(repr, KINDS))
            return None
        return end + 1, (self._word(end - 1), self._word(end))

    def _place(self, filled: _Filled) -> _Filled | None:
        if self._word(filled.at) not in PLACE_PREPOSITIONS:
            self._fail(filled.at, map(repr, PLACE_PREPOSITIONS))
            return None
        end = self._with_article(filled.at + 1, PLACES)
        return None if end is None else _Filled(end, filled.thing, filled.forward, self._word(end - 1))

    def _to_arm(self, at: int) -> int | None:
        """Read "to the other arm", or "from left to right" with or without "arm"."""
        from_left = self._word(at) == "from"
        if from_left:
            end = self._arm(at + 1, GIVER, named=False)
            if end is None:
                return None
            at = end
        end = self._literals(("to",), at)
        return None if end is None else self._arm(end, RECEIVERS, named=not from_left)

    def _arm(self, at: int, which: tuple[str, ...], *, named: bool) -> int | None:
        end = self._with_article(at, which)
        if end is not None and (named or self._word(end) == "arm"):
            return self._literals(("arm",), end)
        return end
