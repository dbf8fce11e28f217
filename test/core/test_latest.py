"""The box for the newest value."""

import threading

from so_arm_policy.core.latest import Latest


def test_the_newest_value_replaces_the_older_and_is_taken_once():
    box: Latest[int] = Latest()
    assert box.take() is None
    assert box.put(1) is False
    assert box.put(2) is True
    assert box.take() == 2
    assert box.take() is None


def test_waiting_gives_the_value_of_another_thread_and_closing_ends_the_wait():
    box: Latest[int] = Latest()
    got: list[int | None] = []
    taker = threading.Thread(target=lambda: got.extend([box.wait(30.0), box.wait(30.0)]))
    taker.start()
    box.put(7)
    while not got and taker.is_alive() and box._value is not None:
        pass
    box.close()
    taker.join(30.0)
    assert not taker.is_alive()
    assert got[-1] is None


def test_a_wait_without_a_value_ends():
    assert Latest[int]().wait(0.001) is None
