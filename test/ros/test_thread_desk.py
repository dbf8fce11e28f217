"""Thinking in a thread: results come once, what is outdated never comes, errors reach who asked."""

import threading

import pytest
from ros_world import wait_until

from so_arm_policy.core.errors import InputError
from so_arm_policy.ros.thread_desk import ThreadDesk

NOW = 0


@pytest.fixture
def desk():
    made, stopping = ThreadDesk(), threading.Event()
    thread = threading.Thread(target=made.run, args=(stopping,))
    thread.start()
    yield made
    stopping.set()
    made.close()
    thread.join()


def taken(desk):
    """What comes out, once it does."""
    got = []
    wait_until(lambda: got.extend([r] if (r := desk.take(NOW)) is not None else []) or got)
    return got[0]


def test_a_result_comes_once(desk):
    assert desk.take(NOW) is None
    desk.begin(NOW, lambda: "done")
    assert taken(desk) == "done"
    assert desk.take(NOW) is None


def test_nobody_waits_for_a_thought(desk):
    go_on = threading.Event()
    desk.begin(NOW, lambda: go_on.wait() and "done")
    assert desk.take(NOW) is None
    go_on.set()
    assert taken(desk) == "done"


def test_what_was_begun_before_never_comes_whether_it_was_begun_done_or_under_way(desk):
    begun, go_on, did = threading.Event(), threading.Event(), []

    def old():
        begun.set()
        go_on.wait()
        did.append("old")
        return "old"

    desk.begin(NOW, old)
    begun.wait()
    desk.begin(NOW, lambda: did.append("skipped") or "skipped")
    desk.begin(NOW, lambda: did.append("new") or "new")
    assert desk.take(NOW) is None
    go_on.set()
    assert taken(desk) == "new"
    assert did == ["old", "new"], "one after the other, and what nobody wants any more not at all"

    desk.begin(NOW, lambda: did.append("done") or "done")
    wait_until(lambda: did[-1] == "done")
    desk.begin(NOW, lambda: "newer")
    assert taken(desk) == "newer"


def test_an_error_comes_out_where_the_result_would(desk):
    def fail():
        raise InputError("got none, expected one")

    desk.begin(NOW, fail)

    def raised():
        try:
            return desk.take(NOW)
        except InputError as error:
            return str(error)

    got = []
    wait_until(lambda: got.append(raised()) or got[-1])
    assert got[-1] == "got none, expected one"
    desk.begin(NOW, lambda: "the next")
    assert taken(desk) == "the next"
