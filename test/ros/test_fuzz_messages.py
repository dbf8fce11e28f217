"""Damaged messages of every kind become a value or one clear error; ten thousand here, any number by the program."""

from fuzz_messages import fuzz, whole_messages


def test_whole_messages_are_understood():
    for msg, use in whole_messages():
        use(msg)


def test_damaged_messages_become_a_value_or_a_clear_error():
    ends = fuzz(10_000, seed=1)
    assert set(ends) <= {"a value", "refused", "no message"}, ends
    assert sum(ends.values()) == 10_000
    assert min(ends["a value"], ends["refused"]) > 500
