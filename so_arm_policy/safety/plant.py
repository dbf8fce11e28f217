"""Rule 6, plant: the arm does what it is told, and its motors are well.

What takes time to show (a joint that lags, presses or does not move) is kept in `Plant` from tick to tick. All of these
latch, but for motors that are silent: something outside of the commands is wrong, and a person has to look. See
docs/safety.md for what is done then.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray, IntArray
from so_arm_policy.core.values import JointSample
from so_arm_policy.safety.case import Setup, Tick
from so_arm_policy.safety.values import Action, Finding, SupervisorState, TickInput

FROZEN_REPEATS = 3  # new states with old values that are no chance; a robot side that is late sends no new ones
BLOCKED = ("plant.following", "plant.stall")  # after these, joints that lag are let go
IDLE_SHARE = 0.5  # of the load that a motor may bear: one with less presses against nothing
FORGETTING = 4  # times as long as it pressed must a joint rest until that is forgotten
STANDING_NS = 100_000_000  # for so long an arm has to stand: one that swings does so for a moment, twice in each swing
STANDING_RAD_S = 0.2  # a joint that is measured to be faster than this does not stand
NOTICEABLE_RAD = 0.05  # lag from which a joint is let go when the arm is held after a fault


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plant:
    """What the measured states have shown so far.

    q: last measured positions, (n,) rad; stamp_ns: their ROS time; repeats: how many newer states said the very same;
    told: the command when they last changed, (n,) rad. lagging_ns: for how long each joint has been further from its
    command than it may, (n,); pressing_ns: for how long it has pressed with a load that it may not, forgotten at a
    quarter of the pace: one that presses to and fro does not rest in between. standing_ns: for how long the whole arm
    has stood. jump: the joint whose reading jumped in this tick and by how much, rad, or None.
    """

    q: FloatArray
    stamp_ns: int
    told: FloatArray
    lagging_ns: IntArray
    pressing_ns: IntArray
    standing_ns: int = 0
    repeats: int = 0
    jump: tuple[int, float] | None = None

    @classmethod
    def first(cls, sample: JointSample, told: FloatArray) -> Self:
        """Return what one measured state shows."""
        zeros = np.zeros(len(told), dtype=np.int64)
        return cls(q=sample.q, stamp_ns=sample.stamp_ns, told=told, lagging_ns=zeros, pressing_ns=zeros)


def observe(setup: Setup, state: SupervisorState, tick: TickInput) -> SupervisorState:
    """Take in the measured state of this tick. One that is not finite, or of a wrong length, is left to the schema."""
    sample, output = tick.sample, state.output
    if output is None or sample is None or not readable(sample, len(output.q)):
        return state
    plant = state.plant
    if plant is None or state.now_ns is None:
        return replace(state, plant=Plant.first(sample, output.q))
    if sample.stamp_ns == plant.stamp_ns and bool((sample.q == plant.q).all()):
        return replace(state, plant=replace(plant, jump=None))  # nothing new is known; how old it is, judges rule 2
    passed_ns = min(max(tick.now_ns - state.now_ns, 0), setup.stall_ns)
    lag = np.abs(output.q - sample.q)
    pressing = (lag > setup.config.press_share * setup.robot.following) & _loaded(setup, tick)
    same = bool((sample.q == plant.q).all())
    repeats = plant.repeats + 1 if same else 0
    plant = Plant(
        q=sample.q,
        stamp_ns=sample.stamp_ns,
        told=plant.told if same else output.q,
        lagging_ns=np.where(lag > setup.robot.following, plant.lagging_ns + passed_ns, 0),
        pressing_ns=np.where(pressing, plant.pressing_ns + passed_ns, _forgotten(plant.pressing_ns, passed_ns)),
        standing_ns=plant.standing_ns + passed_ns if stands(sample) else 0,
        repeats=repeats,
        jump=_jump(setup, plant, sample),
    )
    return replace(state, plant=plant)


def readable(sample: JointSample, n: int) -> bool:
    """Whether `sample` has one finite position for each of `n` joints."""
    return sample.q.shape == (n,) and bool(np.isfinite(sample.q).all())


def stands(sample: JointSample | None) -> bool:
    """Whether the measured arm stands, as far as it says."""
    return sample is not None and not bool((np.abs(sample.dq) > STANDING_RAD_S).any())


def check_tick(tick: Tick) -> Finding | None:
    """Stop for motors that are hot, short of voltage or off, readings that jump or freeze, and a blocked joint."""
    finding = _check_motors(tick)
    plant, output = tick.state.plant, tick.state.output
    if finding is not None or plant is None or output is None:
        return finding
    return _check_readings(tick.setup, plant, output.q) or _check_following(tick.setup, plant, output.q)


def _check_readings(setup: Setup, plant: Plant, command: FloatArray) -> Finding | None:
    """Judge whether the measured positions can be true."""
    names, limit = setup.robot.joint_names, setup.config.frozen_rad
    if plant.jump is not None:
        i, size = plant.jump
        return _stop("plant.jump", f"joint {names[i]!r}: got a reading {size:.3f} rad from the previous one")
    moved = np.abs(command - plant.q) - np.abs(plant.told - plant.q)
    i = int(moved.argmax())
    if moved[i] > limit and plant.repeats >= FROZEN_REPEATS:
        text = f"told to move {moved[i]:.3f} rad away since any reading changed, limit {limit}"
        return _stop("plant.frozen", f"joint {names[i]!r}: {text}")
    return None


def _check_following(setup: Setup, plant: Plant, command: FloatArray) -> Finding | None:
    """Judge whether every joint does what it is told."""
    names = setup.robot.joint_names
    i = int(plant.lagging_ns.argmax())
    if plant.lagging_ns[i] > setup.following_ns:
        lag, late_ms = command[i] - plant.q[i], plant.lagging_ns[i] / 1e6
        limits = f"limits {setup.robot.following[i]} and {setup.following_ns / 1e6:.0f}"
        text = f"{lag:.3f} rad behind its command for {late_ms:.0f} ms, {limits}"
        return _stop("plant.following", f"joint {names[i]!r}: {text}")
    i = int(plant.pressing_ns.argmax())
    if plant.pressing_ns[i] > setup.press_ns:
        pressed_ms, limit_ms = plant.pressing_ns[i] / 1e6, setup.press_ns / 1e6
        text = f"pressed against something for {pressed_ms:.0f} ms, limit {limit_ms:.0f}"
        return _stop("plant.stall", f"joint {names[i]!r}: {text}")
    return None


def relief(setup: Setup, state: SupervisorState, tick: TickInput) -> FloatArray | None:
    """Return where to hold after a joint was blocked, (n,) rad: joints that lag where they are. None when none does.

    Holding on to the command would go on pressing against what blocks it, be it a hand. A joint that is known not to
    press has no reason to lag, and one whose motor says nothing while the others do is not there to be asked: their
    readings may be wrong, and nothing should follow those. An arm that still swings is waited for.
    """
    if state.plant is None or state.output is None or state.plant.standing_ns < STANDING_NS:
        return None
    lagging = np.abs(state.output.q - state.plant.q) > NOTICEABLE_RAD
    if tick.motors is not None and tick.motors.load.shape == lagging.shape:
        silent = np.isnan(tick.motors.load)
        idle = np.abs(tick.motors.load) < IDLE_SHARE * setup.robot.motors.load
        lagging &= ~(idle | (silent & ~silent.all()))
    return np.where(lagging, state.plant.q, state.output.q) if bool(lagging.any()) else None


def came_back(state: SupervisorState, target: FloatArray) -> bool:
    """Whether a joint leaves the place where it was blocked for its command: what blocked it has given way.

    Then the command waits for it, and the joint is let go anew if it does not come all the way.
    """
    assert state.plant is not None
    assert state.output is not None
    way, left = state.output.q - target, state.plant.q - target
    return bool(((np.abs(way) > NOTICEABLE_RAD) & (left * np.sign(way) > NOTICEABLE_RAD)).any())


def _forgotten(pressing_ns: IntArray, passed_ns: int) -> IntArray:
    return np.maximum(pressing_ns - passed_ns // FORGETTING, 0)


def _loaded(setup: Setup, tick: TickInput) -> BoolArray:
    """Return which joints bear too much load, (n,); none where it is not reported (a comparison with NaN is false)."""
    n = len(setup.robot.joints)
    if tick.motors is None or tick.motors.load.shape != (n,):
        return np.zeros(n, dtype=bool)
    return np.abs(tick.motors.load) > setup.robot.motors.load


def _jump(setup: Setup, plant: Plant, sample: JointSample) -> tuple[int, float] | None:
    """Return the joint whose reading moved further than it can have moved, and by how much, rad."""
    change = np.abs(sample.q - plant.q)
    seconds = max(sample.stamp_ns - plant.stamp_ns, 0) / 1e9
    beyond = change - setup.config.jump_rad - 2.0 * setup.robot.velocity * seconds
    i = int(beyond.argmax())
    return (i, float(change[i])) if beyond[i] > 0.0 else None


def _check_motors(tick: Tick) -> Finding | None:
    """Judge what the motors report; NaN means that they do not."""
    motors, robot, now = tick.input.motors, tick.setup.robot, tick.input
    if motors is None:
        return None
    n, limits = len(robot.joints), robot.motors
    fields = (motors.load, motors.temperature_c, motors.voltage_v, motors.torque_on)
    if any(np.shape(field) != (n,) for field in fields):
        shapes = [np.shape(f) for f in fields]
        return Finding("plant.report", f"motors: got shapes {shapes}, expected ({n},) each", Action.HOLD)
    age_ns = now.now_ns - motors.received_ns
    if age_ns > tick.setup.motors_timeout_ns:
        limit_ms = tick.setup.motors_timeout_ns / 1e6
        silent = f"motors: nothing new for {age_ns / 1e6:.0f} ms, limit {limit_ms:.0f}"
        return Finding("plant.report", silent, Action.HOLD)
    for code, values, wrong, text in (
        ("plant.torque_off", motors.torque_on, ~motors.torque_on, "expected torque on"),
        (
            "plant.temperature",
            motors.temperature_c,
            motors.temperature_c > limits.temperature_c,
            f"limit {limits.temperature_c} degrees Celsius",
        ),
        (
            "plant.voltage",
            motors.voltage_v,
            (motors.voltage_v < limits.voltage_low_v) | (motors.voltage_v > limits.voltage_high_v),
            f"expected {limits.voltage_low_v}..{limits.voltage_high_v} V",
        ),
    ):
        if bool(wrong.any()):
            i = int(wrong.argmax())
            return _stop(code, f"joint {robot.joint_names[i]!r}: got {values[i]}, {text}")
    return None


def with_torque(tick: TickInput) -> TickInput:
    """Return `tick` as it would be if the motors had torque, for an arm that is limp on purpose."""
    if tick.motors is None:
        return tick
    return replace(tick, motors=replace(tick.motors, torque_on=np.ones_like(tick.motors.torque_on)))


def _stop(code: str, text: str) -> Finding:
    return Finding(code, text, Action.ESTOP)
