"""Values: numbers that are none, that are too large, in the wrong unit, the wrong order or under the wrong name."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.faults.case import Expect, FaultCase, Injector, Now
from so_arm_policy.evaluate.faults.inject import Measured, Said, put, said


def _q(value: float) -> Callable[[], Injector]:
    """The fastest joint's position is `value`."""
    return said(q=lambda now, p: put(p.q, now.joint, value))


def _dq(value: float) -> Callable[[], Injector]:
    """The fastest joint's velocity is `value`."""
    return said(dq=lambda now, p: put(np.zeros(len(p.q)) if p.dq is None else p.dq, now.joint, value))


def _state(change: Callable[[Now, FloatArray], FloatArray]) -> Callable[[], Injector]:
    def measured(now: Now, sample: JointSample) -> JointSample:
        return replace(sample, q=change(now, sample.q))

    return lambda: Measured(measured)


def _renamed(now: Now, p: Proposal, name: str) -> tuple[str, ...]:
    return tuple(name if i == now.joint else old for i, old in enumerate(p.joint_names))


def _every_other_bad(now: Now, p: Proposal) -> Proposal:
    return replace(p, q=put(p.q, now.joint, np.nan)) if now.tick % 2 == 0 else p


def _gaps_with_wild_velocity(now: Now, p: Proposal) -> Proposal | None:
    return replace(p, dq=np.full(len(p.q), 1e308 * now.way)) if now.tick % 2 == 0 else None


def _without_joint(now: Now, p: Proposal) -> Proposal:
    kept = [i for i in range(len(p.q)) if i != now.joint]
    return replace(p, joint_names=tuple(p.joint_names[i] for i in kept), q=p.q[kept], dq=None)


STOPS, LIMITS, IGNORES = Expect.STOPS, Expect.LIMITS, Expect.IGNORES

CASES = (
    FaultCase("nan_joint", "NaN in one joint", STOPS, injector=_q(np.nan)),
    FaultCase("nan_all", "NaN in all joints", STOPS, injector=said(q=lambda _, p: np.full(len(p.q), np.nan))),
    FaultCase("nan_once", "one NaN among good commands", IGNORES, injector=_q(np.nan), lasts=1),
    FaultCase(
        "nan_every_other", "NaN in one joint of every other command", IGNORES, injector=lambda: Said(_every_other_bad)
    ),
    FaultCase("plus_infinity", "+Inf in one joint", STOPS, injector=_q(np.inf)),
    FaultCase("minus_infinity", "-Inf in one joint", STOPS, injector=_q(-np.inf)),
    FaultCase("largest_float", "1e308 rad in one joint", STOPS, injector=_q(1e308)),
    FaultCase("nan_velocity", "NaN in the velocity of one joint", STOPS, injector=_dq(np.nan)),
    FaultCase(
        "wild_velocity_in_gaps",
        "every other command is lost, the others say 1e308 rad/s",
        LIMITS,
        injector=lambda: Said(_gaps_with_wild_velocity),
    ),
    FaultCase("degrees", "degrees for radians", STOPS, injector=said(q=lambda _, p: np.degrees(p.q))),
    FaultCase("sign_flip", "all signs flipped", STOPS, injector=said(q=lambda _, p: -p.q)),
    FaultCase("all_zero", "all positions zero", STOPS, injector=said(q=lambda _, p: np.zeros(len(p.q)))),
    FaultCase("one_value_short", "one value less than names", STOPS, injector=said(q=lambda _, p: p.q[:-1])),
    FaultCase("one_value_long", "one value more than names", STOPS, injector=said(q=lambda _, p: np.append(p.q, 0.0))),
    FaultCase(
        "empty_command",
        "no names and no values",
        STOPS,
        injector=said(joint_names=lambda *_: (), q=lambda *_: np.zeros(0), dq=lambda *_: None),
    ),
    FaultCase("joint_missing", "one joint is left out", STOPS, injector=lambda: Said(_without_joint)),
    FaultCase(
        "joint_twice",
        "one joint twice, another not at all",
        STOPS,
        injector=said(joint_names=lambda now, p: _renamed(now, p, p.joint_names[now.joint - 1])),
    ),
    FaultCase(
        "joint_unknown",
        "a name that the robot does not have",
        STOPS,
        injector=said(joint_names=lambda now, p: _renamed(now, p, "left_wheel")),
    ),
    FaultCase(
        "names_reordered",
        "names and values in reverse order, which is legal",
        IGNORES,
        injector=said(
            joint_names=lambda _, p: p.joint_names[::-1],
            q=lambda _, p: p.q[::-1],
            dq=lambda _, p: None if p.dq is None else p.dq[::-1],
        ),
    ),
    FaultCase(
        "names_swapped",
        "names in reverse order, values not",
        STOPS,
        injector=said(joint_names=lambda _, p: p.joint_names[::-1]),
    ),
    FaultCase(
        "offset_in_band",
        "one joint 10 degrees ahead of where it should be",
        LIMITS,
        injector=said(q=lambda now, p: put(p.q, now.joint, p.q[now.joint] + now.way * np.radians(10))),
    ),
    FaultCase(
        "state_nan", "NaN in one measured position", STOPS, injector=_state(lambda now, q: put(q, now.joint, np.nan))
    ),
    FaultCase(
        "state_infinity",
        "Inf in one measured position",
        STOPS,
        injector=_state(lambda now, q: put(q, now.joint, np.inf)),
    ),
    FaultCase("state_short", "one measured joint less", STOPS, injector=_state(lambda _, q: q[:-1])),
    FaultCase(
        "state_nan_once",
        "one NaN among good measured states",
        LIMITS,
        injector=_state(lambda now, q: put(q, now.joint, np.nan)),
        lasts=1,
    ),
    FaultCase(
        "state_velocity_nan",
        "NaN in all measured velocities, positions are good",
        LIMITS,
        injector=lambda: Measured(lambda _, sample: replace(sample, dq=np.full(len(sample.q), np.nan))),
    ),
)
