"""What one episode was like, tick by tick: what every metric is computed from."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.evaluate.rollout import EpisodeResult, Step
from so_arm_policy.safety.values import Verdict
from so_arm_policy.sim.tasks.task import Episode, TaskStatus


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """T ticks of an episode, 1 / 120 s apart; each row before its command acts.

    q, dq, torque: as they truly were, (T, n), rad, rad/s and N m. commands: (T, n) rad, NaN where there was none.
    fingertips: (T, arms, 3) m, objects: (T, k, 3) m, world frame. verdicts, statuses: of the supervisor and of the
    task, T each.
    """

    q: FloatArray
    dq: FloatArray
    torque: FloatArray
    commands: FloatArray
    fingertips: FloatArray
    objects: FloatArray
    verdicts: tuple[Verdict, ...]
    statuses: tuple[TaskStatus, ...]

    def __len__(self) -> int:
        """How many ticks."""
        return len(self.q)


class TraceRecorder:
    """Subscriber that keeps the episode under way, or the last one."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._steps: list[Step] = []

    def on_start(self, episode: Episode) -> None:  # noqa: ARG002
        """Forget the last episode."""
        self._steps = []

    def on_step(self, step: Step) -> None:
        """Keep one tick."""
        self._steps.append(step)

    def on_end(self, result: EpisodeResult) -> None:
        """Nothing is left to do."""

    def trace(self) -> Trace | None:
        """Return what was kept; None of an episode without a tick."""
        steps = self._steps
        if not steps:
            return None
        nothing = np.full(len(steps[0].sample.q), np.nan)
        commands = [nothing if step.verdict.command is None else step.verdict.command for step in steps]
        return Trace(
            q=np.array([step.q for step in steps]),
            dq=np.array([step.dq for step in steps]),
            torque=np.array([step.torque for step in steps]),
            commands=np.array(commands),
            fingertips=np.array([step.fingertips for step in steps]),
            objects=np.array([step.objects for step in steps]),
            verdicts=tuple(step.verdict for step in steps),
            statuses=tuple(step.status for step in steps),
        )
