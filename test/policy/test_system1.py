"""System 1: requests on the tick, inference anywhere, chunks joined by time."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from following import NS, TICK, context_at, follow, sample_at
from hypothesis import given, settings
from hypothesis import strategies as st

from so_arm_policy.core.errors import BundleError, ChunkExpired, ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Context
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.robot.description import load_robot


@pytest.fixture
def system1(shared_bundle: Bundle, robot: RobotConfig) -> System1:
    return System1(shared_bundle, robot)


def test_at_the_start_the_prefix_is_the_measured_pose_held(system1: System1, robot: RobotConfig) -> None:
    request = system1.request(NS, sample_at(NS, robot.home), context_at(NS))
    assert request.prefix.shape == (4, 6)
    assert (request.prefix == robot.home.astype(np.float32)).all()
    assert (request.state == robot.home.astype(np.float32)).all()


def test_the_chunk_is_due_from_the_observation_on(system1: System1, robot: RobotConfig) -> None:
    now = NS + 3 * TICK
    chunk = system1.infer(system1.request(now, sample_at(NS, robot.home), context_at(NS - 5)))
    assert (chunk.start_ns, chunk.observation_stamp_ns, chunk.context_stamp_ns) == (NS, NS, NS - 5)
    assert chunk.dt_ns == 33_333_333
    assert chunk.positions.shape == (16, 6)
    assert chunk.positions[:4] == pytest.approx(np.tile(robot.home, (4, 1)), abs=1e-6)
    assert chunk.positions[-1] == pytest.approx(robot.home + 12 * 0.01, abs=1e-3)


def test_the_prefix_is_the_motion_under_way(system1: System1, robot: RobotConfig) -> None:
    assert follow(system1, NS, robot.home)
    now = NS + 20 * TICK
    q = system1.command(now)[0]
    dt = 33_333_333
    expected = [system1.command(now + row * dt)[0] for row in range(4)]
    request = system1.request(now, sample_at(now, q + 0.01), context_at(now))
    assert request.prefix == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("joining", ["measured", "ensemble"])
def test_chunks_joined_otherwise_begin_at_what_is_measured(shared_bundle: Bundle, robot: RobotConfig, joining) -> None:
    system1 = System1(shared_bundle, robot, joining=joining)
    follow(system1, NS, robot.home)
    moving = replace(sample_at(NS + 9 * TICK, robot.home + 0.01), dq=np.full(6, 0.3))
    request = system1.request(NS + 9 * TICK, moving, context_at(NS))
    rows = np.arange(4)[:, None] * 33_333_333 / NS
    assert request.prefix == pytest.approx(robot.home + 0.01 + rows * 0.3, abs=1e-6)


@pytest.mark.parametrize("dq", [np.full(6, np.nan), np.full(6, np.inf), np.zeros(5)])
def test_velocities_are_checked_where_chunks_begin_with_them(shared_bundle: Bundle, robot: RobotConfig, dq) -> None:
    system1 = System1(shared_bundle, robot, joining="measured")
    with pytest.raises(InputError, match="joint velocities: got .*expected 6 finite numbers"):
        system1.request(NS, replace(sample_at(NS, robot.home), dq=dq), context_at(NS))
    assert system1.chunk is None


def test_an_ensemble_follows_what_all_its_chunks_say(shared_bundle: Bundle, robot: RobotConfig) -> None:
    system1 = System1(shared_bundle, robot, joining="ensemble")
    later = NS + 9 * TICK
    alone = [System1(shared_bundle, robot) for _ in range(2)]
    for now, level, one in ((NS, 1.0, alone[0]), (later, -1.0, alone[1])):
        assert follow(system1, now, robot.home, level)
        assert follow(one, now, robot.home, level)
    at = later + 9 * TICK
    older, newer = (one.command(at)[0] for one in alone)
    weight = 1.0 / (1.0 + np.exp(-0.01))
    assert np.abs(older - newer).max() > 0.01
    assert system1.command(at)[0] == pytest.approx(weight * older + (1.0 - weight) * newer, abs=1e-9)


def test_past_its_end_the_motion_is_held_in_the_prefix_and_then_forgotten(system1: System1, robot) -> None:
    assert follow(system1, NS, robot.home)
    end = system1.chunk.end_ns
    last = system1.command(end)[0]
    request = system1.request(end, sample_at(end - 1000, last), context_at(end))
    assert request.prefix[1:] == pytest.approx(np.tile(last, (3, 1)), abs=1e-6)
    beside = last + 0.01
    request = system1.request(end + TICK, sample_at(end + TICK, beside), context_at(end))
    assert (request.prefix == beside.astype(np.float32)).all()


def test_an_arm_held_elsewhere_starts_again_from_where_it_is(system1: System1, robot: RobotConfig) -> None:
    assert follow(system1, NS, robot.home)
    late = system1.infer(system1.request(NS, sample_at(NS, robot.home), context_at(NS)))
    now = NS + 6 * TICK
    elsewhere = robot.home + 0.4
    request = system1.request(now, sample_at(now, elsewhere), context_at(now))
    assert (request.prefix == elsewhere.astype(np.float32)).all()
    with pytest.raises(ChunkExpired):
        system1.command(now)
    assert not system1.accept(late, now)
    assert system1.accept(system1.infer(request), now)
    assert system1.command(now)[0] == pytest.approx(elsewhere, abs=1e-6)


def test_while_the_arm_does_not_follow_a_motion_that_left_it_starts_anew(system1: System1, robot: RobotConfig) -> None:
    assert follow(system1, NS, robot.home)
    late = system1.infer(system1.request(NS, sample_at(NS, robot.home), context_at(NS)))
    now = NS + 30 * TICK
    held = robot.home - 0.09
    assert (system1.request(now, sample_at(now, held), context_at(now)).prefix > held.astype(np.float32)).all()
    request = system1.request(now, sample_at(now, held), context_at(now), following=False)
    assert (request.prefix == held.astype(np.float32)).all()
    assert not system1.accept(late, now)
    assert system1.accept(system1.infer(request), now)
    assert system1.command(now)[0] == pytest.approx(held, abs=1e-6)


def test_while_the_arm_does_not_follow_a_motion_beside_it_stays(system1: System1, robot: RobotConfig) -> None:
    """Else a slow inference would never get its word in: forgotten before it is heard."""
    assert follow(system1, NS, robot.home)
    now = NS + 2 * TICK
    command = system1.command(now)[0]
    system1.request(now, sample_at(now, robot.home), context_at(now), following=False)
    assert (system1.command(now)[0] == command).all()


@settings(deadline=None, max_examples=30)
@given(
    levels=st.lists(st.floats(-3, 3), min_size=2, max_size=6),
    delays=st.lists(st.integers(0, 6), min_size=6, max_size=6),
)
def test_commands_are_continuous_whatever_the_contexts_and_delays(shared_bundle, levels, delays) -> None:
    """At each switch position and velocity are those of a nanosecond earlier, to rounding."""
    robot = load_robot("so101")
    system1 = System1(shared_bundle, robot)
    now = NS
    q = robot.home
    for level, delay in zip(levels, delays, strict=False):
        chunk = system1.infer(system1.request(now, sample_at(now, q), context_at(now, level)))
        now += delay * TICK
        before = system1.command(now) if system1.chunk else None
        assert system1.accept(chunk, now)
        if before is not None:
            after = system1.command(now)
            assert after[0] == pytest.approx(before[0], abs=1e-12)
            assert after[1] == pytest.approx(before[1], abs=1e-9)
        now += TICK
        q = system1.command(now)[0]


def test_inference_is_a_pure_function_of_the_request(system1: System1, robot: RobotConfig) -> None:
    request = system1.request(NS, sample_at(NS, robot.home), context_at(NS))
    with ThreadPoolExecutor(4) as pool:
        chunks = list(pool.map(system1.infer, [request] * 16))
    assert all((chunk.positions == chunks[0].positions).all() for chunk in chunks)
    assert system1.chunk is None


def test_noise_is_kept_until_reset_and_named_by_the_seed(shared_bundle: Bundle, robot: RobotConfig) -> None:
    def noise(system1: System1) -> bytes:
        request = system1.request(NS, sample_at(NS, robot.home), context_at(NS))
        assert not request.noise.flags.writeable
        return request.noise.tobytes()

    system1 = System1(shared_bundle, robot, seed=7)
    first = noise(system1)
    assert noise(system1) == first
    system1.reset()
    assert noise(system1) != first
    system1.reset(7)
    assert noise(system1) == first
    assert noise(System1(shared_bundle, robot, seed=8)) != first


def test_chunks_out_of_order_late_or_from_before_a_reset_are_dropped(system1: System1, robot: RobotConfig) -> None:
    first, second, third = (
        system1.infer(system1.request(NS, sample_at(NS, robot.home), context_at(NS))) for _ in range(3)
    )
    assert system1.accept(second, NS)
    assert not system1.accept(first, NS)
    assert not system1.accept(third, third.end_ns)
    system1.reset()
    assert not system1.accept(third, NS)
    assert system1.dropped == 3
    assert system1.chunk is None


def test_running_out_is_an_event(system1: System1, robot: RobotConfig) -> None:
    with pytest.raises(ChunkExpired, match="no chunk yet"):
        system1.command(NS)
    assert follow(system1, NS, robot.home)
    with pytest.raises(ChunkExpired, match="ended"):
        system1.command(system1.chunk.end_ns + 1)
    system1.reset()
    with pytest.raises(ChunkExpired, match="no chunk yet"):
        system1.command(NS)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (context_at(NS, bundle_id="other"), "got one of bundle 'other', expected 'tiny'"),
        (context_at(NS - 3 * NS // 2 * 2), "context: got stamp"),
        (context_at(NS + NS // 10), "100.0 ms ahead, expected at most 20 ms"),
        (context_at(0), "context: got stamp 0 ns"),
        (context_at(NS, keys_values=np.zeros((2, 2, 1, 5, 8), np.float32)), r"float32 \(2, 2, 1, 5, 8\), expected"),
        (context_at(NS, keys_values=np.zeros((2, 2, 1, 4, 8))), "got float64"),
        (context_at(NS, keys_values=np.full((2, 2, 1, 4, 8), np.nan, np.float32)), "not finite"),
    ],
)
def test_contexts_it_must_not_use(system1: System1, robot: RobotConfig, context: Context, message: str) -> None:
    with pytest.raises(InputError, match=message):
        system1.request(NS, sample_at(NS, robot.home), context)


def test_a_context_grows_too_old(system1: System1, robot: RobotConfig) -> None:
    context = context_at(NS)
    now = NS + 2 * NS
    system1.request(now, sample_at(now, robot.home), context)
    with pytest.raises(InputError, match=r"context: got 2008.3 ms old, expected at most 2000 ms"):
        system1.request(now + TICK, sample_at(now, robot.home), context)


def test_joints_it_must_not_use(system1: System1, robot: RobotConfig) -> None:
    good = sample_at(NS, robot.home)
    for bad, message in [
        (replace(good, q=np.full(6, np.inf)), "joints: got"),
        (replace(good, q=np.zeros(5)), "expected 6 finite numbers"),
        (replace(good, stamp_ns=0), "joints: got stamp 0 ns"),
        (replace(good, stamp_ns=NS // 2), "joints: got 500.0 ms old, expected at most 200 ms"),
        (replace(good, stamp_ns=2 * NS), "joints: got a stamp 1000.0 ms ahead"),
    ]:
        with pytest.raises(InputError, match=message):
            system1.request(NS, bad, context_at(NS))


def test_a_graph_that_gives_nan_is_an_error_not_a_motion(system1: System1, robot: RobotConfig) -> None:
    request = system1.request(NS, sample_at(NS, robot.home), context_at(NS))
    with pytest.raises(BundleError, match=r"system1\.onnx: got .*not finite"):
        system1.infer(replace(request, prefix=np.full((4, 6), np.nan, np.float32)))
    with pytest.raises(BundleError, match=r"system1\.onnx: got"):
        system1.infer(replace(request, prefix=np.zeros((4, 7), np.float32)))


def test_settings_and_robot_are_checked(shared_bundle: Bundle, robot: RobotConfig) -> None:
    with pytest.raises(ConfigError, match="max_context_age_s nan"):
        System1(shared_bundle, robot, max_context_age_s=float("nan"))
    with pytest.raises(ConfigError, match="max_divergence_rad 0"):
        System1(shared_bundle, robot, max_divergence_rad=0.0)
    with pytest.raises(ConfigError, match="blend_s"):
        System1(shared_bundle, robot, blend_s=0.0)
    with pytest.raises(ConfigError, match="got joining 'glue', expected one of"):
        System1(shared_bundle, robot, joining="glue")
    with pytest.raises(BundleError, match="expected 'so101_bimanual'"):
        System1(shared_bundle, load_robot("so101_bimanual"))


def test_commands_stay_within_the_ranges_of_the_joints(system1: System1, robot: RobotConfig) -> None:
    q = np.minimum(robot.home + 0.4, robot.upper)
    outside = q.copy()
    outside[3] = robot.upper[3] + 0.05
    assert follow(system1, NS, outside)
    command, velocity = system1.command(NS)
    assert command == pytest.approx(np.minimum(outside, robot.upper), abs=1e-6)
    assert (command <= robot.upper).all()
    assert velocity[3] == 0.0
