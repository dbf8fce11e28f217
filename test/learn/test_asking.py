import numpy as np
import pytest

from so_arm_policy.learn.demonstrations.collect import training_task
from so_arm_policy.learn.demonstrations.labels import names_of
from so_arm_policy.learn.lessons.asking import DONE, Answer, Question, Words, answer, draw_question
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of

SORT = Question("first the {object} {in}, then the {object2} {in2}", (2, 0), (0, 1))
TASKS = tuple(training_task(name) for name in ("reach", "track", "pick_place", "sort"))


@pytest.mark.parametrize(
    ("question", "rests_in", "expected"),
    [
        (Question("touch the {object}", (1,), None), [0, 0, 0], Answer(1, None, 0)),
        (Question("touch the {object}", (1,), None), [0, 2, 0], Answer(1, None, 0)),
        (Question("put the {object} {in}", (1,), (0,)), [1, 0, 0], Answer(1, 0, 0)),
        (Question("put the {object} {in}", (1,), (0,)), [0, 2, 0], Answer(1, 0, 0)),
        (Question("put the {object} {in}", (1,), (0,)), [0, 1, 0], Answer(1, 0, DONE)),
        (SORT, [0, 0, 0], Answer(2, 0, 0)),
        (SORT, [2, 0, 0], Answer(2, 0, 0)),
        (SORT, [0, 0, 1], Answer(0, 1, 1)),
        (SORT, [2, 0, 1], Answer(0, 1, DONE)),
    ],
)
def test_what_comes_next_follows_from_what_rests_where(question, rests_in, expected):
    assert answer(question, np.array(rests_in)) == expected


def test_questions_are_about_all_tasks_and_different_objects():
    rng = np.random.default_rng(0)
    drawn = [draw_question(rng, TASKS, 3) for _ in range(2000)]
    assert {q.phrase for q in drawn} == {phrase for task in TASKS for phrase in task.phrasings.train}
    assert {len(q.objects) for q in drawn} == {1, 2}
    assert all(len(set(q.objects)) == len(q.objects) for q in drawn)
    assert all((q.places is None) == ("{in" not in q.phrase) for q in drawn)
    assert {q.places for q in drawn if q.places} == {(0,), (1,), (0, 1), (1, 0)}
    new = {draw_question(rng, TASKS, 3, held_out=True).phrase for _ in range(400)}
    assert new == {phrase for task in TASKS for phrase in task.phrasings.held_out}


def test_words_are_those_of_the_scene_as_the_tasks_say_them(tmp_path):
    corpus = [text for task in TASKS for text in task.corpus()]
    train_tokenizer(corpus, tmp_path / "words.json")
    words = Words(Tokenizer(tmp_path / "words.json", words_of(corpus), 18))
    task = TASKS[3]
    episode = task.sample(5)
    names = np.array([names_of(episode.scene, i) for i in range(3)])
    for number, phrase in enumerate(task.phrasings.train):
        places = tuple(("bowl", "plate").index(str(step.place)) for step in episode.goal.steps)
        question = Question(phrase, tuple(step.object for step in episode.goal.steps), places)
        said = task.phrasings.say(number, episode.scene, episode.goal)
        assert np.array_equal(words.of(question, names), words.tokenizer.encode(said))
    assert len(words.known) == len(task.phrasings.train)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_phrase_of_every_task_fits_the_tokens_there_are(task, tmp_path):
    corpus = [text for each in TASKS for text in each.corpus()]
    train_tokenizer(corpus, tmp_path / "words.json")
    tokenizer = Tokenizer(tmp_path / "words.json", words_of(corpus), 18)
    episode = task.sample(7)
    for held_out, phrases in ((False, task.phrasings.train), (True, task.phrasings.held_out)):
        for number in range(len(phrases)):
            text = task.phrasings.say(number, episode.scene, episode.goal, held_out=held_out)
            assert tokenizer.encode(text).any()
