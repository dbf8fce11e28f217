"""Hardware: joints that are blocked, weak or limp, motors that say so or do not, readings that jump, freeze or lie."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.faults.case import STATE_SILENCE, Expect, FaultCase, Injector, Now, within
from so_arm_policy.evaluate.faults.inject import Built, Leads, Measured, Ticked, Together, put
from so_arm_policy.safety.values import TickInput

# The servo itself pushes a blocked joint for 2 s before it protects itself: half of that is early enough to matter.
BLOCKED = within(1.0)
LONG = 2 * CONTROL_HZ
BLOCKING_DAMPING = 1e4  # Nm s/rad
PUSH_NM = 6.0  # twice what a servo can hold
SWING_TICKS, BACK_TICKS = 90, 40
SWING_RAD = 1.0  # 0.75 of it are needed at 1 rad/s


def _dof(now: Now) -> int:
    """Number of the degree of freedom of the joint in the physics."""
    return int(now.simulator.model.joint(now.robot.joint_names[now.joint]).dofadr[0])


def _servo(now: Now) -> int:
    """Number of the servo of the fastest joint in the physics."""
    return int(now.simulator.model.actuator(now.robot.joint_names[now.joint]).id)


def _block(now: Now) -> None:
    now.simulator.model.dof_damping[_dof(now)] = BLOCKING_DAMPING


def _limp(now: Now) -> None:
    now.simulator.model.actuator_forcerange[_servo(now)] = (-1e-6, 1e-6)


def _all_limp(now: Now) -> None:
    for name in now.robot.joint_names:
        now.simulator.model.actuator_forcerange[now.simulator.model.actuator(name).id] = (-1e-6, 1e-6)


def _weak(now: Now) -> None:
    now.simulator.model.actuator_forcerange[_servo(now)] = (-0.02, 0.02)


def _push_back(now: Now) -> None:
    """Half a second long."""
    now.simulator.data.qfrc_applied[_dof(now)] = -now.way * PUSH_NM if now.tick < CONTROL_HZ // 2 else 0.0


def _motors(from_tick: int = 0, **values: float | bool) -> Callable[[], Injector]:
    """The motor of the fastest joint reports `values`, the others are well."""

    def change(now: Now, tick: TickInput) -> TickInput:
        if now.tick < from_tick or tick.motors is None:
            return tick
        changed: dict[str, Any] = {}
        for name, value in values.items():
            reported = np.array(getattr(tick.motors, name))
            reported[now.joint] = value
            changed[name] = reported
        return replace(tick, motors=replace(tick.motors, **changed))

    return lambda: Ticked(change)


def _report(change: Callable[[Any], Any]) -> Callable[[], Injector]:
    """The whole report of the motors is changed."""
    return lambda: Ticked(lambda _, tick: replace(tick, motors=change(tick.motors)))


def _reads(change: Callable[[Now, FloatArray], FloatArray]) -> Callable[[], Injector]:
    def measured(now: Now, sample: JointSample) -> JointSample:
        return replace(sample, q=change(now, sample.q))

    return lambda: Measured(measured)


class _OneFreezes(Injector):
    """A servo that fell off the bus: its joint is limp, its reading stays what it was, and it reports nothing."""

    def __init__(self) -> None:
        self._kept: float | None = None

    def plant(self, now: Now) -> None:
        _limp(now)

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        self._kept = float(now.sample.q[now.joint]) if self._kept is None else self._kept
        (silent,) = _motors(load=np.nan, temperature_c=np.nan, voltage_v=np.nan)().see(now, tick)
        return [replace(silent, sample=replace(now.sample, q=put(now.sample.q, now.joint, self._kept)))]


class _Unplugged(Injector):
    """Neither states nor reports come any more, and no servo has power."""

    def __init__(self) -> None:
        self._last: tuple[JointSample, Any] | None = None

    def plant(self, now: Now) -> None:
        _all_limp(now)

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        self._last = self._last or (now.sample, tick.motors)
        return [replace(tick, sample=self._last[0], motors=self._last[1])]


class _FrozenReport(Injector):
    """The motors report nothing new any more."""

    def __init__(self) -> None:
        self._last: Any = None

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:  # noqa: ARG002
        self._last = self._last or tick.motors
        return [replace(tick, motors=self._last)]


class _EndStop(Injector):
    """A joint meets its mechanical stop 0.2 rad from here, before the limit that its description says."""

    def plant(self, now: Now) -> None:
        if now.tick > 0:
            return
        model = now.simulator.model
        joint, stop = model.joint(now.robot.joint_names[now.joint]).id, float(now.sample.q[now.joint] + 0.2 * now.way)
        model.jnt_range[joint, 1 if now.way > 0 else 0] = stop


def _swing(now: Now) -> FloatArray:
    """To and fro with one joint, each way too far to get there: whoever moves the arm, it goes on moving."""
    side = now.way if now.tick % (SWING_TICKS + BACK_TICKS) < SWING_TICKS else -now.way
    lower, upper = now.robot.lower[now.joint], now.robot.upper[now.joint]
    return put(now.q0, now.joint, upper - 0.1 if side > 0 else lower + 0.1)


class _Led(Together):
    """The arm is led on by a good source, at the shoulder, which brings it near nothing: faults have time to show."""

    def __init__(self, *parts: Injector) -> None:
        super().__init__(Leads(_swing, 1.0), *parts)

    def plant(self, now: Now) -> None:
        super().plant(_at_the_shoulder(now))

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        return super().arrive(_at_the_shoulder(now), proposal)

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        return super().see(_at_the_shoulder(now), tick)


def _at_the_shoulder(now: Now) -> Now:
    """Return `now` about the first joint, and the way it moves, or the other way where its range soon ends."""
    way = -1.0 if now.dq0[0] < 0.0 else 1.0
    room = now.robot.upper[0] - now.q0[0] if way > 0.0 else now.q0[0] - now.robot.lower[0]
    return replace(now, joint=0, way=way if room > SWING_RAD else -way)


def _moving(*parts: Callable[[], Injector]) -> Callable[[], Injector]:
    """Make the parts act on an arm that is led on."""
    return lambda: _Led(*(part() for part in parts))


def _corrupt(now: Now, q: FloatArray) -> FloatArray:
    """Every tenth packet is corrupt."""
    return put(q, now.joint, q[now.joint] + 2.0) if now.tick % 10 == 0 else q


STOPS, LIMITS = Expect.STOPS, Expect.LIMITS

CASES = (
    FaultCase(
        "joint_blocked", "a joint is blocked", STOPS, injector=lambda: Built(_block), reaction=BLOCKED, ticks=LONG
    ),
    FaultCase(
        "joint_blocked_pushed_on",
        "a joint is blocked while the source leads it on at 1 rad/s",
        STOPS,
        injector=_moving(lambda: Built(_block)),
        reaction=BLOCKED,
        ticks=LONG,
    ),
    FaultCase(
        "pushed_back",
        "somebody pushes the arm back for half a second, harder than its servo",
        STOPS,
        injector=_moving(lambda: Built(_push_back)),
        reaction=BLOCKED,
        ticks=LONG,
    ),
    FaultCase(
        "servo_weak",
        "a servo has 1 % of its torque left",
        STOPS,
        limp=True,
        injector=_moving(lambda: Built(_weak)),
        reaction=BLOCKED,
        ticks=LONG,
    ),
    FaultCase(
        "torque_off_silent",
        "a servo is limp, and nobody says so",
        STOPS,
        limp=True,
        injector=_moving(lambda: Built(_limp)),
        reaction=BLOCKED,
        ticks=LONG,
    ),
    FaultCase(
        "torque_off",
        "a servo is limp and reports it",
        STOPS,
        limp=True,
        injector=lambda: Together(Built(_limp), _motors(torque_on=False)()),
    ),
    FaultCase("over_temperature", "a motor reports 75 degrees Celsius", STOPS, injector=_motors(temperature_c=75.0)),
    FaultCase("under_voltage", "a motor reports 5.0 V", STOPS, injector=_motors(voltage_v=5.0)),
    FaultCase("over_voltage", "a motor reports 9.5 V", STOPS, injector=_motors(voltage_v=9.5)),
    FaultCase(
        "report_partly_missing",
        "a motor reports none of its values, the others do",
        LIMITS,
        injector=_motors(load=np.nan, temperature_c=np.nan, voltage_v=np.nan),
    ),
    FaultCase(
        "report_short",
        "the motors report one value too few",
        STOPS,
        injector=_report(lambda m: replace(m, temperature_c=m.temperature_c[:-1])),
    ),
    FaultCase(
        "report_dies",
        "the motors report nothing any more",
        STOPS,
        injector=_moving(_FrozenReport),
        reaction=within(1.0),
        ticks=LONG,
    ),
    FaultCase(
        "encoder_wraps",
        "a reading wraps by a whole turn",
        STOPS,
        injector=_reads(lambda now, q: put(q, now.joint, q[now.joint] - 2 * np.pi)),
    ),
    FaultCase(
        "encoder_slips",
        "a reading jumps by 0.3 rad",
        STOPS,
        injector=_reads(lambda now, q: put(q, now.joint, q[now.joint] - 0.3)),
    ),
    FaultCase("packets_corrupt", "every tenth reading of a joint is 2 rad off", STOPS, injector=_reads(_corrupt)),
    FaultCase("packet_corrupt_once", "one reading of a joint is 2 rad off", LIMITS, injector=_reads(_corrupt), lasts=1),
    FaultCase(
        "servo_gone",
        "a servo is limp and its reading does not change",
        STOPS,
        limp=True,
        injector=_moving(_OneFreezes),
        reaction=BLOCKED,
        ticks=LONG,
    ),
    FaultCase(
        "unplugged", "no power, no states, no reports", STOPS, limp=True, injector=_Unplugged, reaction=STATE_SILENCE
    ),
    FaultCase(
        "wrong_calibration",
        "a joint meets its end stop long before its limit",
        STOPS,
        injector=_moving(_EndStop),
        reaction=within(1.5),
        ticks=LONG,
    ),
    FaultCase(
        "encoder_creeps",
        "a reading slips away at 0.5 rad/s",
        STOPS,
        injector=_moving(
            _reads(lambda now, q: put(q, now.joint, q[now.joint] - 0.5 * now.way * now.tick / CONTROL_HZ))
        ),
        reaction=BLOCKED,
        ticks=LONG,
    ),
)
