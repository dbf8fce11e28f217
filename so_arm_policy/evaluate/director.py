"""Gives one instruction after another, and moves on when each is done or its time is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.recording import Outcome, Try


@dataclass(frozen=True, kw_only=True)
class TaskReading:
    """What the simulator's judge says: about which instruction, how far its goal is (m), whether it is reached."""

    instruction: str
    distance_m: float
    success: bool


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
    """Decides which instruction is on. Time is an argument, in s since the start of the run.

    A try that begins too late to have its whole time before the end goes on to the end, but does not count, whatever
    came of it: otherwise the last success would count and the last failure would not.
    """

    def __init__(self, instructions: Iterator[str], time_limit_s: float, duration_s: float) -> None:
        """time_limit_s: for one try; duration_s: for all. Raises ConfigError when not even one try fits."""
        if not 0.0 < time_limit_s <= duration_s:
            raise ConfigError(
                f"demo: got a duration of {duration_s:g} s, expected at least {time_limit_s:g} s, one try"
            )
        self._instructions = instructions
        self._limit_s, self._duration_s = time_limit_s, duration_s
        self._began_s = 0.0
        self._distance_m = float("nan")
        self.instruction: str | None = None
        self.tries: list[Try] = []

    @property
    def number(self) -> int:
        """Number of the present try, from 1; of the last one when all are over."""
        return len(self.tries) + (self.instruction is not None)

    def update(self, now_s: float, reading: TaskReading | None) -> Try | None:
        """Look at the newest reading; return the try that just ended, if one did. Sets `instruction` to what is on."""
        if self.instruction is None:
            if not self.tries:
                self._begin(now_s)
            return None
        success = False
        if reading is not None and reading.instruction == self.instruction:
            self._distance_m = reading.distance_m
            success = reading.success
        if not success and now_s - self._began_s < self._limit_s:
            return None
        late = self._began_s + self._limit_s > self._duration_s
        ended = Try(
            number=self.number,
            instruction=self.instruction,
            start_s=self._began_s,
            end_s=now_s,
            outcome=Outcome.LATE if late else Outcome.DONE if success else Outcome.FAILED,
            distance_m=self._distance_m,
        )
        self.tries.append(ended)
        self._begin(now_s)
        return ended

    def _begin(self, now_s: float) -> None:
        self._began_s, self._distance_m = now_s, float("nan")
        self.instruction = next(self._instructions) if now_s < self._duration_s else None
