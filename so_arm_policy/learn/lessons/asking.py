"""Instructions for any picture, with what System 2 should answer: the same picture is asked many different things."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.policy.tokenizer import Tokenizer
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.language import Phrasings, filled
from so_arm_policy.sim.tasks.task import Task

DONE = 2  # progress: step under way, 0 or 1, or this
NOUNS = [[f"{color} {kind}" for kind in KINDS] for color in COLORS]


@dataclass(frozen=True)
class Question:
    """An instruction in words: its phrase, and the object (number in the scene) and place of each step."""

    phrase: str
    objects: tuple[int, ...]
    places: tuple[int, ...] | None


@dataclass(frozen=True)
class Answer:
    """What is to be done now: with which object, where to (None: to the object itself), and the step under way."""

    object: int
    place: int | None
    progress: int


def draw_question(
    rng: np.random.Generator,
    tasks: tuple[Task, ...],
    objects: int,
    places: int = len(PLACES),
    *,
    held_out: bool = False,
) -> Question:
    """Draw a task, one of its phrases, and what it is about. objects, places: how many the scene has.

    held_out: of the phrases that no training sees.
    """
    phrasings: Phrasings = tasks[int(rng.integers(len(tasks)))].phrasings
    phrases = phrasings.held_out if held_out else phrasings.train
    return question_about(rng, phrases[int(rng.integers(len(phrases)))], objects, places)


def question_about(rng: np.random.Generator, phrase: str, objects: int, places: int = len(PLACES)) -> Question:
    """Draw what `phrase` is about."""
    steps = 2 if "{object2}" in phrase else 1
    chosen = tuple(int(i) for i in rng.permutation(objects)[:steps])
    if "{in" not in phrase:
        return Question(phrase, chosen, None)
    return Question(phrase, chosen, tuple(int(i) for i in rng.permutation(places)[:steps]))


def answer(question: Question, rests_in: npt.NDArray[np.int64]) -> Answer:
    """Return what `question` asks for while objects rest in places (K,): 0 nowhere, else 1 + number of the place."""
    if question.places is None:
        return Answer(question.objects[0], None, 0)
    steps = list(zip(question.objects, question.places, strict=True))
    for number, (thing, place) in enumerate(steps):
        if rests_in[thing] != 1 + place:
            return Answer(thing, place, number)
    return Answer(*steps[-1], DONE)


@dataclass
class Words:
    """Tokens of questions, each text encoded once."""

    tokenizer: Tokenizer
    known: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def of(self, question: Question, names: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the tokens (L,) of `question` about objects whose colour and kind are names (K, 2)."""
        nouns = tuple(NOUNS[names[i, 0]][names[i, 1]] for i in question.objects)
        return self.text(filled(question.phrase, nouns, tuple(PLACES[i] for i in question.places or (0, 0))))

    def text(self, instruction: str) -> npt.NDArray[np.int64]:
        """Return the tokens (L,) of `instruction`."""
        if instruction not in self.known:
            self.known[instruction] = self.tokenizer.encode(instruction)
        return self.known[instruction]
