"""The two loops that bench/ticks.py compares the stack with, each a process of its own that prints its figures as JSON.

python bench/ticks_loops.py floor|timer SECONDS
"""

import json
import sys
import threading
import time
from collections.abc import Sequence

from so_arm_policy.ros import environment

environment.prepare()

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import rclpy  # noqa: E402

from so_arm_policy.core.ticks import BIN_NS, BINS, TickLoop  # noqa: E402
from so_arm_policy.core.timegrid import CONTROL_HZ, NS  # noqa: E402
from so_arm_policy.ros.realtime import RealtimeConfig, prepare_process, prepare_tick_thread  # noqa: E402

PERIOD_NS = NS / CONTROL_HZ


def on_grid(times_ns: Sequence[int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Time of each event since the origin of the 120 Hz grid that suits them, and the newest place then due.

    The phase of the grid is where most events lie, less what the earliest of those are before it: nothing is early.
    """
    times = np.asarray(times_ns, dtype=np.float64) - times_ns[0]
    counts, edges = np.histogram(times % PERIOD_NS, bins=80, range=(0.0, PERIOD_NS))
    off_mode = (times - edges[counts.argmax()] + PERIOD_NS / 2) % PERIOD_NS - PERIOD_NS / 2
    origin_ns = edges[counts.argmax()] + off_mode[np.abs(off_mode) < PERIOD_NS / 8].min()
    since = times - origin_ns
    return since, np.floor(since / PERIOD_NS).astype(np.int64)


def arrival_figures(times_ns: Sequence[int]) -> dict[str, object]:
    """Figures of messages of which none was lost: from the last one back, each is of the newest place not taken.

    A burst after a stall is then late, not missing; places without a message were never sent.
    """
    since, places = on_grid(times_ns)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - 1)
    missed = int(places[-1] - places[0] + 1 - len(places))
    return _figures(since, since - places * PERIOD_NS, missed)


def timer_figures(times_ns: Sequence[int]) -> dict[str, object]:
    """Figures of a loop that after a stall runs once, late, and leaves out what was due meanwhile."""
    since, newest = on_grid(times_ns)
    due = np.concatenate([newest[:1], newest[:-1] + 1])  # each event is for the place after those that were due before
    due = np.minimum(due, newest)
    return _figures(since, since - due * PERIOD_NS, int((np.diff(newest) - 1).clip(min=0).sum()))


def _figures(since: npt.NDArray[np.float64], late: npt.NDArray[np.float64], missed: int) -> dict[str, object]:
    places = np.clip(late // BIN_NS, 0, BINS - 1).astype(int)
    bins = {int(i): int(n) for i, n in zip(*np.unique(places, return_counts=True), strict=True)}
    rate_hz = (len(since) - 1) / (since[-1] - since[0]) * NS
    return {"ticks": len(since), "missed": missed, "rate_hz": rate_hz, "bins": bins}


def floor(seconds: float) -> dict[str, object]:
    """Run the package's tick loop with nothing to do: what the machine itself adds."""
    config = RealtimeConfig()
    loop = TickLoop(lambda tick: None)
    thread = threading.Thread(
        target=lambda: (prepare_tick_thread(config, print), loop.run(round(seconds * CONTROL_HZ)))
    )
    prepare_process(config, print)
    thread.start()
    thread.join()
    report = loop.report()
    return {"ticks": report.ticks, "missed": report.missed, "rate_hz": report.rate_hz, "bins": loop.lateness.sparse()}


def timer(seconds: float) -> dict[str, object]:
    """Run a node with a 120 Hz timer and nothing else, spun as tutorials do."""
    rclpy.init()
    node, times = rclpy.create_node("plain_timer"), []
    node.create_timer(1.0 / CONTROL_HZ, lambda: times.append(time.monotonic_ns()))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node)
    node.destroy_node()
    rclpy.shutdown()
    return timer_figures(times)


if __name__ == "__main__":
    print(json.dumps({"floor": floor, "timer": timer}[sys.argv[1]](float(sys.argv[2]))))
