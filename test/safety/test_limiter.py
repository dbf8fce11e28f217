"""The limiter is two-sided: what is legal passes bit for bit, what is not is changed and then is legal."""

import hypothesis.strategies as st
import numpy as np
import pytest
import ruckig
from hypothesis import example, given
from safety_world import DT, Referee

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety import limiter
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.values import Output

ROBOT = load_robot("so101")
LIMITS = Limits.of(SupervisorConfig(), ROBOT)
N = len(ROBOT.joints)

wishes = st.lists(st.floats(-4.0, 4.0), min_size=N, max_size=N).map(np.array)
moves = st.lists(st.floats(-1.0, 1.0), min_size=N, max_size=N).map(np.array)
starts = st.lists(st.floats(-0.3, 1.3), min_size=N, max_size=N).map(
    lambda share: ROBOT.lower + np.array(share) * (ROBOT.upper - ROBOT.lower)
)


def is_legal(now: Output, wish: np.ndarray) -> bool:
    """Legal beyond doubt: by every limit, with time left to stop accelerating, and with ample room to stop."""
    v, a = (wish - now.q) / DT, (wish - now.q - now.step) / DT**2
    fastest = np.abs(v) + np.where(v * a > 0, a * a / (2 * ROBOT.jerk) + np.abs(a) * DT, 0.0)
    stopping = fastest**2 / (2 * ROBOT.acceleration) + fastest * (2 * ROBOT.acceleration / ROBOT.jerk + 2 * DT)
    room = np.minimum(wish - ROBOT.lower, ROBOT.upper - wish)
    return bool(
        (room >= stopping).all()
        and (fastest <= ROBOT.velocity).all()
        and (np.abs(a) <= ROBOT.acceleration).all()
        and (np.abs(a - now.bend / DT**2) <= ROBOT.jerk * DT).all()
    )


class Walk:
    """Ticks of the limiter, judged one by one."""

    def __init__(self, start: np.ndarray) -> None:
        self.now, self.before = Output.at_rest(start), None
        self.referee = Referee(ROBOT, start)

    @property
    def q(self) -> np.ndarray:
        return self.now.q

    @property
    def step(self) -> np.ndarray:
        return self.now.step

    def to(self, wish: np.ndarray) -> limiter.Motion:
        motion = limiter.move(LIMITS, self.now, self.before, wish)
        again = limiter.move(LIMITS, self.now, self.before, motion.output.q)
        assert again.finding is None, f"clamped and still {again.finding}"
        assert again.output.q.tobytes() == motion.output.q.tobytes()
        if motion.finding is None:
            assert motion.output.q.tobytes() == wish.tobytes()
        else:
            assert motion.output.q.tobytes() != wish.tobytes()
            assert not is_legal(self.now, wish), motion.finding
        self.referee.look_at(motion.output.q)
        self.now, self.before = motion.output, motion.target
        return motion

    def brake(self) -> None:
        self.now, self.before = limiter.brake(LIMITS, self.now), None
        self.referee.look_at(self.q)


@given(starts, st.lists(wishes, max_size=40))
def test_any_wish_becomes_a_legal_command(start, sequence):
    walk = Walk(start)
    for wish in sequence:
        walk.to(wish)


@given(starts, st.lists(st.tuples(st.booleans(), wishes, st.integers(1, 40)), max_size=8))
def test_any_wishes_held_for_long_and_brakes_between_them(start, sequence):
    walk = Walk(start)
    for braking, wish, ticks in sequence:
        for _ in range(ticks):
            if braking:
                walk.brake()
            else:
                walk.to(wish)


@given(starts, st.lists(moves, min_size=1, max_size=60))
def test_legal_wishes_pass_bit_for_bit(start, sequence):
    """Jerks drawn within the limits; each wish that is legal beyond doubt must pass untouched."""
    walk = Walk(start)
    for share in sequence:
        bend = walk.now.bend + share * LIMITS.jerk_step
        bend = np.clip(bend, -LIMITS.acceleration_step, LIMITS.acceleration_step)
        wish = walk.q + np.clip(walk.step + bend, -LIMITS.velocity_step, LIMITS.velocity_step)
        legal = is_legal(walk.now, wish)
        motion = walk.to(wish)
        assert not legal or motion.finding is None


@given(
    starts.map(lambda q: np.clip(q, ROBOT.lower, ROBOT.upper)), st.lists(st.floats(0.0, 1.0), min_size=N, max_size=N)
)
def test_the_fastest_way_to_anywhere_passes_bit_for_bit(start, share):
    """Ruckig's time-optimal trajectories, right up to the position limits, sampled at every tick."""
    goal = ROBOT.lower + np.array(share) * (ROBOT.upper - ROBOT.lower)
    goal = np.where(np.array(share) > 0.8, ROBOT.upper, goal)
    asked = ruckig.InputParameter(N)
    asked.current_position, asked.target_position = start.tolist(), goal.tolist()
    for name in ("velocity", "acceleration", "jerk"):
        setattr(asked, f"max_{name}", (0.999 * getattr(ROBOT, name)).tolist())
    way = ruckig.Trajectory(N)
    assert ruckig.Ruckig(N).calculate(asked, way) in (ruckig.Result.Working, ruckig.Result.Finished)
    walk = Walk(start)
    for k in range(1, int(way.duration / DT) + 2):
        wish = np.clip(np.array(way.at_time(k * DT)[0]), ROBOT.lower, ROBOT.upper)
        assert walk.to(wish).finding is None


@given(starts, wishes, st.integers(0, 60))
@example(ROBOT.home, ROBOT.upper, 60)
def test_braking_ends_at_rest_within_the_braking_time(start, wish, ticks):
    walk = Walk(start)
    for _ in range(ticks):
        walk.to(wish)
    # At full deceleration, which takes some ticks to build up and to give up.
    ramp = int(np.ceil(LIMITS.acceleration_step / LIMITS.jerk_step).max())
    longest = int(np.ceil((np.abs(walk.step) / LIMITS.acceleration_step).max())) + 3 * ramp if ticks else 0
    for _ in range(longest):
        walk.brake()
    rest = walk.q
    assert not walk.step.any()
    walk.brake()
    assert walk.q is rest


@given(st.floats(0.02, 0.25), st.integers(0, N - 1))
def test_a_jump_of_the_wish_is_reached_without_swinging(size, joint):
    walk = Walk(ROBOT.home)
    wish = ROBOT.home.copy()
    wish[joint] = min(wish[joint] + size, ROBOT.upper[joint])
    way = []
    for _ in range(120):
        way.append(walk.to(wish).output.q[joint])
    assert max(way) <= wish[joint] + 3 * LIMITS.acceleration_step[joint]
    assert walk.q.tobytes() == wish.tobytes()
    assert not walk.step.any()


def test_a_moving_wish_is_caught_up_with_and_then_passes():
    """A source that moves on at legal speed while the command was behind: the lag closes, nothing stays clamped."""
    walk = Walk(ROBOT.home)
    found = []
    for k in range(120):
        wish = ROBOT.home.copy()
        wish[0] += 0.1 + 0.8 * k * DT
        found.append(walk.to(wish).finding)
    assert found[0] is not None
    assert found[-60:] == [None] * 60


@given(moves.filter(lambda m: np.abs(m).max() > 0.1))
def test_from_rest_the_direction_is_kept(direction):
    walk = Walk(np.zeros(N))
    wish = 0.17 * direction
    for _ in range(5):
        q = walk.to(wish).output.q
        scale = q @ wish / (wish @ wish)
        assert scale > 0
        np.testing.assert_allclose(q, scale * wish, atol=1e-12)


def test_braking_keeps_the_path():
    walk = Walk(np.zeros(N))
    for _ in range(20):
        walk.to(walk.q + walk.step + LIMITS.jerk_step * np.linspace(0.2, 0.9, N))
    before, direction = walk.q, walk.step / np.linalg.norm(walk.step)
    while walk.step.any():
        walk.brake()
    way = walk.q - before
    np.testing.assert_allclose(way, (way @ direction) * direction, atol=1e-12)


@pytest.mark.parametrize("hz", [1.0, 5.0, 20.0, 60.0])
@pytest.mark.parametrize("amplitude", [0.01, 0.1, 0.25])
def test_a_sine_attack_never_gets_over_a_limit(hz, amplitude):
    walk = Walk(ROBOT.home)
    for k in range(240):
        walk.to(ROBOT.home + amplitude * np.sin(2 * np.pi * hz * k * DT + np.arange(N)))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (0.001, None),
        (0.0012, "limit.jerk"),
        (0.0014, "limit.acceleration"),
        (0.03, "limit.velocity"),
        (2.0, "limit.position"),
    ],
)
def test_each_limit_is_named(wish, code):
    target = ROBOT.home.copy()
    target[0] += wish
    finding = limiter.move(LIMITS, Output.at_rest(ROBOT.home), None, target).finding
    assert (finding and finding.code) == code
    assert finding is None or "shoulder_pan" in finding.text


def test_the_braking_limit_is_named():
    start = ROBOT.home.copy()
    start[0] = ROBOT.upper[0] - 0.04
    step = np.zeros(N)
    step[0] = 1.2 * DT
    now = Output(start, step, np.zeros(N))
    target = start.copy()
    target[0] += 1.25 * DT
    finding = limiter.move(LIMITS, now, None, target).finding
    assert finding is not None
    assert finding.code == "limit.braking"


def test_outside_a_limit_only_inward_motion_is_legal():
    start = ROBOT.home.copy()
    start[0] = ROBOT.upper[0] + 0.05
    inward, outward = start.copy(), start.copy()
    inward[0] -= 0.001
    outward[0] += 0.001
    now = Output.at_rest(start)
    assert limiter.move(LIMITS, now, None, start).finding is None
    assert limiter.move(LIMITS, now, None, inward).finding is None
    motion = limiter.move(LIMITS, now, None, outward)
    assert motion.finding is not None
    assert motion.finding.code == "limit.position"
    np.testing.assert_array_equal(motion.output.q, start)
    assert motion.margin < 0
