"""Decides when a try begins and ends: it is done, or its time is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.recording import Outcome, Try

GRACE_S = 1.0  # what the judge's word may take


@dataclass(frozen=True, kw_only=True)
class TaskReading:
    """What the simulator's judge says, and about what: an instruction in the scene of a seed.

    distance_m: how far its goal is. time_s: since the judge heard the instruction. done_s: the same when its goal was
    reached, None before. held_s: how long it had been at its goal. All are simulated seconds.
    """

    seed: int
    instruction: str
    distance_m: float
    time_s: float
    done_s: float | None = None
    held_s: float = 0.0


@dataclass(frozen=True)
class Order:
    """What a try is about: what the robot is told, in the scene of a seed."""

    instruction: str
    seed: int


def instruction_sequence(instructions: Sequence[str], seed: int) -> Iterator[str]:
    """Yield instructions without end: each as often as the others, in a seeded order, never one twice in a row.

    Raises ConfigError for fewer than two different ones.
    """
    different = sorted(set(instructions))
    if len(different) < 2:
        raise ConfigError(f"instructions: got {list(instructions)}, expected at least two different ones")
    rng = np.random.default_rng([seed, 303])
    last = None
    while True:
        order = [different[i] for i in rng.permutation(len(different))]
        if order[0] == last:
            order.append(order.pop(0))
        yield from order
        last = order[-1]


class Director:
    """Follows one try after another. Times are arguments, in s since the start of the run.

    The time limit is in simulated time, which only the judge knows; a judge that is silent for as long ends the try.
    A try that begins too late to have its whole time before the end goes on to the end, but does not count, whatever
    came of it: otherwise the last success would count and the last failure would not.
    """

    def __init__(self, time_limit_s: float, duration_s: float) -> None:
        """time_limit_s: for one try; duration_s: for all. Raises ConfigError when not even one try fits."""
        least_s = shortest_run_s(time_limit_s)
        if not (time_limit_s > 0.0 and least_s <= duration_s):
            raise ConfigError(f"demo: got a duration of {duration_s:g} s, expected at least {least_s:g} s, one try")
        self._limit_s, self._duration_s = time_limit_s, duration_s
        self._began_s = self._heard_s = 0.0
        self._heard: TaskReading | None = None
        self._distance_m = float("nan")
        self.order: Order | None = None
        self.tries: list[Try] = []

    @property
    def number(self) -> int:
        """Number of the present try, from 1; of the last one between two tries."""
        return len(self.tries) + (self.order is not None)

    def begin(self, now_s: float, order: Order) -> None:
        """Begin a try; the robot was told just now."""
        assert self.order is None
        self._began_s = self._heard_s = now_s
        self._heard, self._distance_m, self.order = None, float("nan"), order

    def update(self, now_s: float, reading: TaskReading | None) -> Try | None:
        """Look at the newest reading; return the present try once it has ended."""
        order = self.order
        if order is None:
            return None
        done = over = False
        if reading is not None and (reading.instruction, reading.seed) == (order.instruction, order.seed):
            self._heard_s = self._heard_s if reading is self._heard else now_s
            self._heard, self._distance_m = reading, reading.distance_m
            done = reading.done_s is not None and reading.done_s <= self._limit_s + 0.5 / CONTROL_HZ
            over = reading.time_s >= self._limit_s
        if not (done or over) and now_s - self._heard_s < self._limit_s + GRACE_S:
            return None
        return self._end(now_s, order, Outcome.DONE if done else Outcome.FAILED)

    def finish(self, now_s: float) -> Try | None:
        """End the run: a try that should have ended by now, but for a slow simulator, has failed; return it."""
        if self.order is None or self._late:
            return None
        return self._end(now_s, self.order, Outcome.FAILED)

    @property
    def _late(self) -> bool:
        return self._began_s + shortest_run_s(self._limit_s) > self._duration_s

    def _end(self, now_s: float, order: Order, outcome: Outcome) -> Try:
        ended = Try(
            number=self.number,
            instruction=order.instruction,
            seed=order.seed,
            start_s=self._began_s,
            end_s=now_s,
            outcome=Outcome.LATE if self._late else outcome,
            distance_m=self._distance_m,
        )
        self.tries.append(ended)
        self.order = None
        return ended


def shortest_run_s(time_limit_s: float) -> float:
    """Return how long a run must be for one try of `time_limit_s`, s."""
    return time_limit_s + GRACE_S
