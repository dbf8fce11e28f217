"""Stages and reasons of failed episodes, on traces made by hand."""

import numpy as np
import pytest

from so_arm_policy.evaluate.compare.failures import STAGES, error_reason, failure_reason, failure_stage
from so_arm_policy.evaluate.compare.trace import Trace
from so_arm_policy.safety.values import Action, Mode, Verdict
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.tasks.task import TaskStatus

THINGS = np.array([[0.2, 0.0, 0.015], [0.2, 0.1, 0.015], [0.3, 0.0, 0.015]])
HOME = np.array([0.1, -0.1, 0.2])
TOUCH, PLACE = Goal((Step(0),)), Goal((Step(0, "bowl"),))
SORT = Goal((Step(0, "bowl"), Step(1, "plate")))


def verdict(action: Action, code: str) -> Verdict:
    return Verdict(action=action, command=None, code=code, text="", source="x", mode=Mode.ACTIVE)


def trace_of(
    *tips: np.ndarray,
    lifted: tuple[int, ...] = (),
    held: bool = False,
    verdicts: tuple[Verdict, ...] = (),
) -> Trace:
    """An arm whose fingertip goes through `tips`, and objects that are 5 cm higher at the end where `lifted`."""
    ticks = max(len(tips), len(verdicts))
    way = np.array([*tips, *[tips[-1]] * (ticks - len(tips))])
    objects = np.tile(THINGS, (ticks, 1, 1))
    objects[-1, list(lifted), 2] += 0.05
    nothing = np.zeros((ticks, 6))
    return Trace(
        q=nothing,
        dq=nothing,
        torque=nothing,
        commands=nothing,
        fingertips=way[:, None],
        objects=objects,
        verdicts=verdicts or (verdict(Action.PASS, ""),) * ticks,
        statuses=(TaskStatus(success=False, distance_m=0.1, held_s=0.2 if held else 0.0),) * ticks,
    )


@pytest.mark.parametrize(
    ("trace", "goal", "stage"),
    [
        (trace_of(HOME, HOME + 0.001), TOUCH, "start"),
        (trace_of(HOME, THINGS[0] + [0, 0, 0.1]), TOUCH, "approach"),
        (trace_of(HOME, THINGS[0]), TOUCH, "approach"),
        (trace_of(HOME, THINGS[0], held=True), TOUCH, "hold"),
        (trace_of(HOME, THINGS[1]), TOUCH, "other object"),
        (trace_of(HOME, THINGS[0]), PLACE, "grasp"),
        (trace_of(HOME, THINGS[1], THINGS[0]), PLACE, "grasp"),
        (trace_of(HOME, THINGS[1], THINGS[0], lifted=(1,)), PLACE, "other object"),
        (trace_of(HOME, THINGS[0], HOME, lifted=(0,)), PLACE, "place"),
        (trace_of(HOME, THINGS[0], HOME, lifted=(0,), held=True), PLACE, "hold"),
        (trace_of(HOME, THINGS[0], HOME, lifted=(0,)), SORT, "approach"),
        (trace_of(HOME, THINGS[0], THINGS[1], lifted=(0,)), SORT, "grasp"),
        (trace_of(HOME, THINGS[0], THINGS[1], lifted=(0, 1)), SORT, "place"),
    ],
)
def test_how_far_it_came(trace: Trace, goal: Goal, stage: str) -> None:
    assert failure_stage(trace, goal) == stage
    assert stage in STAGES


def test_the_supervisor_is_the_reason_only_where_it_let_nothing_pass_at_the_end() -> None:
    passed, silent = verdict(Action.PASS, ""), verdict(Action.HOLD, "time.silent")
    estop, clamped = verdict(Action.ESTOP, "plant.stall"), verdict(Action.CLAMP, "limit.velocity")
    assert failure_reason(trace_of(HOME, verdicts=(passed,) * 240)) == "timeout"
    assert failure_reason(trace_of(HOME, verdicts=(passed,) * 120 + (silent,) * 119)) == "timeout"
    assert failure_reason(trace_of(HOME, verdicts=(silent,) * 239 + (clamped,))) == "timeout"
    assert failure_reason(trace_of(HOME, verdicts=(passed,) * 60 + (silent,) * 120)) == "supervisor: time.silent"
    assert failure_reason(trace_of(HOME, verdicts=(silent,) * 100 + (estop,) * 20)) == "supervisor: plant.stall"


def test_an_error_is_one_short_line() -> None:
    assert error_reason(ValueError("first\n  second")) == "error: ValueError: first second"
    assert len(error_reason(RuntimeError("x" * 1000))) == 200
