"""The bundle's System 1 as its node runs it: a paced loop that samples, a worker that infers, turns of a bare loop."""

import gc
import queue
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from compare import PERCENTS, percentiles
from tqdm import tqdm

from so_arm_policy.core.errors import ChunkExpired
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.ticks import Tick, TickLoop
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Chunk, Context, JointSample
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.graphs import system1_spec
from so_arm_policy.policy.system1 import ActRequest, System1

CONTEXT_NS = 100_000_000  # contexts at 10 Hz


@dataclass
class Paced:
    """What the paced part measured; times in ms."""

    inference: list[float] = field(default_factory=list)
    tick_work: list[float] = field(default_factory=list)
    due: int = 0
    late: int = 0
    expired: int = 0


class Arm:
    """System 1 with an arm that follows perfectly: no simulator takes time from what is measured."""

    def __init__(self, bundle: Bundle, robot: RobotConfig, result: Paced, precision: str = "fp32") -> None:
        """Begin at home, with the golden context."""
        self._system1 = System1(bundle, robot, precision=precision)
        self._every = bundle.manifest.infer_every
        arrays = golden.read_golden(bundle.read(golden.FILE_NAME), system1_spec(bundle.manifest))
        self._context = Context(
            bundle_id=bundle.manifest.id,
            sequence=0,
            stamp_ns=time.monotonic_ns(),
            instruction="",
            keys_values=arrays["keys_values"],  # type: ignore[arg-type]
        )
        self._q = robot.home
        self._result = result
        self._busy = False
        self._requests: queue.SimpleQueue[ActRequest | None] = queue.SimpleQueue()
        self._chunks: queue.SimpleQueue[tuple[Chunk, float]] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._infer, name="inference")
        self._worker.start()

    def tick(self, tick: Tick) -> None:
        """Do what System 1's node does on a tick."""
        began = time.perf_counter_ns()
        now = tick.now_ns
        if now - self._context.stamp_ns >= CONTEXT_NS:
            self._context = replace(self._context, sequence=tick.index, stamp_ns=now)
        self._take(now)
        if tick.index % self._every == 0:
            self._result.due += 1
            if self._busy:
                self._result.late += 1
            else:
                sample = JointSample(stamp_ns=now, received_ns=now, q=self._q, dq=np.zeros_like(self._q))
                self._busy = True
                self._requests.put(self._system1.request(now, sample, self._context))
        try:
            self._q, _ = self._system1.command(now)
        except ChunkExpired:
            self._result.expired += 1
        self._result.tick_work.append((time.perf_counter_ns() - began) / 1e6)

    def close(self) -> None:
        """End the worker."""
        self._requests.put(None)
        self._worker.join()

    def _take(self, now_ns: int) -> None:
        try:
            chunk, took_ms = self._chunks.get_nowait()
        except queue.Empty:
            return
        self._busy = False
        self._result.inference.append(took_ms)
        self._system1.accept(chunk, now_ns)

    def _infer(self) -> None:
        while (request := self._requests.get()) is not None:
            began = time.perf_counter_ns()
            chunk = self._system1.infer(request)
            self._chunks.put((chunk, (time.perf_counter_ns() - began) / 1e6))


def paced(bundle: Bundle, robot: RobotConfig, seconds: float, turns: int, precision: str = "fp32") -> dict[str, Any]:
    """Run System 1 at 120 Hz for `seconds`, in turns with a bare loop of the same length. Returns figures."""
    result = Paced()
    arm = Arm(bundle, robot, result, precision)
    bare, loop = TickLoop(lambda tick: None), TickLoop(arm.tick)
    ticks = max(1, round(seconds * CONTROL_HZ / turns))
    gc.collect()
    gc.freeze()
    try:
        for _ in tqdm(range(turns), desc="paced", unit="turn"):
            bare.run(ticks)
            loop.run(ticks)
    finally:
        arm.close()
    lateness = {
        name: {**{f"p{p:g}": one.lateness.percentile_ms(p) for p in PERCENTS}, "max": one.lateness.max_ns / 1e6}
        for name, one in (("bare", bare), ("system1", loop))
    }
    return {
        "ticks": loop.ticks,
        "missed": {"bare": bare.missed, "system1": loop.missed},
        "lateness_ms": lateness,
        "inference_ms": percentiles(result.inference),
        "tick_work_ms": percentiles(result.tick_work),
        "inferences": len(result.inference),
        "due": result.due,
        "late": result.late,
        "expired": result.expired,
    }
