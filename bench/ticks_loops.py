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
import rclpy  # noqa: E402

from so_arm_policy.core.ticks import BIN_NS, BINS, TickLoop  # noqa: E402
from so_arm_policy.core.timegrid import CONTROL_HZ, NS  # noqa: E402
from so_arm_policy.ros.realtime import RealtimeConfig, prepare_process, prepare_tick_thread  # noqa: E402

PERIOD_NS = NS / CONTROL_HZ


def figures_of(times_ns: Sequence[int]) -> dict[str, object]:
    """Figures of events that should lie on a 120 Hz grid of unknown phase.

    The phase is where most events lie, less what the earliest of them are before it: nothing is earlier than its due
    time. From the last event back, each is given the newest place of the grid that is due and not taken, so a burst
    after a stall is late, not missing. bins: lateness as in core/ticks.py; missed: places without an event.
    """
    times = np.asarray(times_ns, dtype=np.float64) - times_ns[0]
    counts, edges = np.histogram(times % PERIOD_NS, bins=80, range=(0.0, PERIOD_NS))
    off_mode = (times - edges[counts.argmax()] + PERIOD_NS / 2) % PERIOD_NS - PERIOD_NS / 2
    origin_ns = edges[counts.argmax()] + off_mode[np.abs(off_mode) < PERIOD_NS / 8].min()
    places = np.floor((times - origin_ns) / PERIOD_NS).astype(np.int64)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - 1)
    late = np.clip((times - origin_ns - places * PERIOD_NS) // BIN_NS, 0, BINS - 1).astype(int)
    bins = {int(i): int(n) for i, n in zip(*np.unique(late, return_counts=True), strict=True)}
    missed = int(places[-1] - places[0] + 1 - len(times))
    return {"ticks": len(times), "missed": missed, "rate_hz": (len(times) - 1) / times[-1] * NS, "bins": bins}


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
    return figures_of(times)


if __name__ == "__main__":
    print(json.dumps({"floor": floor, "timer": timer}[sys.argv[1]](float(sys.argv[2]))))
