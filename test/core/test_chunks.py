"""The chunk buffer: switches keep position and velocity, late chunks are dropped, running out is an event."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from so_arm_policy.core.chunks import ChunkBuffer, ChunkEnsemble
from so_arm_policy.core.errors import ChunkExpired, ConfigError, ShapeError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Chunk

DT_NS = NS // 30
T0 = 10**18


def chunk(sequence, start_ns, positions, dt_ns=DT_NS):
    return Chunk(
        sequence=sequence,
        observation_stamp_ns=start_ns,
        context_stamp_ns=start_ns,
        start_ns=start_ns,
        dt_ns=dt_ns,
        positions=np.array(positions, dtype=float),
    )


rows = st.lists(st.lists(st.floats(-1, 1), min_size=2, max_size=2), min_size=8, max_size=8)
switches = st.lists(st.tuples(rows, st.integers(1, 4 * DT_NS), st.integers(0, 3 * DT_NS)), min_size=2, max_size=8)


@given(switches, st.floats(0.02, 0.3))
def test_chained_switches_keep_position_and_velocity(drawn, blend_s):
    """Each chunk arrives while the previous switch may still be fading; it may begin in the past or the future."""
    buffer, now = ChunkBuffer(blend_s), T0
    for k, (positions, later, early) in enumerate(drawn):
        before = buffer.sample(now) if buffer.chunk else None
        assert buffer.push(chunk(k, now - early, positions), now)
        after = buffer.sample(now)
        if before is not None:
            np.testing.assert_allclose(after[0], before[0], atol=1e-9)
            np.testing.assert_allclose(after[1], before[1], atol=1e-6)
        now += later


@given(rows, rows, st.integers(0, 2 * DT_NS), st.floats(0.02, 0.1))
def test_after_the_blend_the_new_chunk_is_followed_exactly(first, second, later, blend_s):
    buffer = ChunkBuffer(blend_s)
    buffer.push(chunk(0, T0, first), T0)
    now = T0 + later
    buffer.push(chunk(1, now, second), now)
    end = now + int(blend_s * NS) + 3 * DT_NS  # the fade begins at the first row used, and a row shapes its neighbours
    q, dq = buffer.sample(end)
    expected = chunk(1, now, second).trajectory.sample(end)
    np.testing.assert_allclose(q, expected[0], atol=1e-12)
    np.testing.assert_allclose(dq, expected[1], atol=1e-9)


@given(rows, rows, st.floats(0.03, 0.2))
def test_the_output_is_smooth_while_a_switch_fades(first, second, blend_s):
    """The velocity reported is the derivative of the positions, so nothing hides a jump between two samples."""
    buffer = ChunkBuffer(blend_s)
    buffer.push(chunk(0, T0, first), T0)
    now = T0 + DT_NS
    buffer.push(chunk(1, now, second), now)
    for k in range(1, 200, 7):
        t = now + k * NS // 1000
        if t + 2000 > buffer.chunk.end_ns:
            break
        ahead, behind = buffer.sample(t + 1000), buffer.sample(t - 1000)
        middle = buffer.sample(t)[1]
        np.testing.assert_allclose((ahead[0] - behind[0]) / 2e-6, middle, atol=0.05)


@given(rows, st.integers(0, 3 * DT_NS))
def test_a_chunk_that_agrees_with_what_is_under_way_changes_nothing(positions, later):
    """Rows of the new chunk lie on the motion of the old one: the points between stay on it, too, up to its spline."""
    buffer = ChunkBuffer(0.1)
    buffer.push(chunk(0, T0, positions), T0)
    now = T0 + later
    before = [buffer.sample(now + k * DT_NS // 8) for k in range(16)]
    buffer.push(chunk(1, T0, positions), now)
    first_row = (now - T0 + DT_NS // 4) // DT_NS + 1
    for k, (q, dq) in enumerate(before):
        at = now + k * DT_NS // 8
        if at >= T0 + first_row * DT_NS + DT_NS:
            np.testing.assert_allclose(buffer.sample(at)[0], q, atol=1e-9)
            np.testing.assert_allclose(buffer.sample(at)[1], dq, atol=1e-6)


def test_a_first_chunk_is_followed_without_a_blend():
    buffer = ChunkBuffer()
    buffer.push(chunk(0, T0, [[1.0], [2.0], [3.0]]), T0 + DT_NS // 2)
    assert buffer.sample(T0 + DT_NS)[0][0] == pytest.approx(2.0)


def test_after_an_expired_chunk_the_next_begins_without_a_blend():
    buffer = ChunkBuffer()
    buffer.push(chunk(0, T0, [[1.0], [2.0]]), T0)
    late = T0 + 5 * DT_NS
    buffer.push(chunk(1, late, [[5.0], [6.0]]), late)
    assert buffer.sample(late)[0][0] == 5.0


def test_late_and_old_chunks_are_dropped_and_counted():
    buffer = ChunkBuffer()
    assert buffer.push(chunk(5, T0, [[0.0]] * 4), T0)
    assert not buffer.push(chunk(6, T0 - 4 * DT_NS, [[1.0]] * 4), T0)
    assert not buffer.push(chunk(5, T0, [[1.0]] * 4), T0)
    assert not buffer.push(chunk(4, T0, [[1.0]] * 4), T0)
    assert buffer.dropped == 3
    assert buffer.chunk.sequence == 5
    assert not buffer.sample(T0 + DT_NS)[0].any()


def test_targets_already_late_are_not_moved_to():
    buffer = ChunkBuffer()
    now = T0 + 2 * DT_NS
    buffer.push(chunk(0, T0, [[9.0], [9.0], [1.0], [1.0], [1.0]]), now)
    assert buffer.sample(now)[0][0] == pytest.approx(1.0)


def test_running_out_is_an_event():
    buffer = ChunkBuffer()
    with pytest.raises(ChunkExpired, match="no chunk yet"):
        buffer.sample(T0)
    buffer.push(chunk(0, T0, [[0.0], [1.0]]), T0)
    assert buffer.sample(T0 + DT_NS)[0][0] == 1.0
    with pytest.raises(ChunkExpired, match="ended"):
        buffer.sample(T0 + DT_NS + 1)


def test_clear_forgets_motion_and_numbers():
    buffer = ChunkBuffer()
    buffer.push(chunk(7, T0, [[0.0], [1.0]]), T0)
    buffer.clear()
    with pytest.raises(ChunkExpired):
        buffer.sample(T0)
    assert buffer.push(chunk(0, T0, [[3.0], [4.0]]), T0)
    assert buffer.sample(T0)[0][0] == 3.0


def test_a_chunk_that_is_no_motion_is_refused_and_the_old_one_stays():
    buffer = ChunkBuffer()
    buffer.push(chunk(0, T0, [[0.0], [1.0]]), T0)
    for positions in ([[np.nan], [1.0]], [[np.inf], [0.0]]):
        with pytest.raises(ShapeError):
            buffer.push(chunk(1, T0, positions), T0)
    assert buffer.chunk.sequence == 0
    assert buffer.sample(T0 + DT_NS)[0][0] == 1.0


@pytest.mark.parametrize("blend_s", [0.0, -1.0, np.nan, np.inf, 3.0])
def test_a_blend_time_that_makes_no_sense_is_refused(blend_s):
    with pytest.raises(ConfigError, match="blend_s"):
        ChunkBuffer(blend_s)


def test_an_ensemble_is_the_weighted_mean_of_all_chunks_that_cover_a_time():
    ensemble = ChunkEnsemble(fading=np.log(2.0))
    assert ensemble.push(chunk(0, T0, [[0.0]] * 4), T0)
    assert ensemble.push(chunk(1, T0 + DT_NS, [[3.0]] * 4), T0 + DT_NS)
    assert ensemble.sample(T0)[0][0] == 0.0
    q, dq = ensemble.sample(T0 + 2 * DT_NS)
    assert (q[0], dq[0]) == (pytest.approx(1.0), 0.0)  # the older one weighs twice as much
    assert ensemble.sample(T0 + 4 * DT_NS)[0][0] == 3.0
    with pytest.raises(ChunkExpired, match="no chunk for"):
        ensemble.sample(T0 + 5 * DT_NS)


def test_an_ensemble_drops_late_chunks_and_forgets_as_the_buffer_does():
    ensemble = ChunkEnsemble()
    assert ensemble.push(chunk(5, T0, [[0.0]] * 4), T0)
    assert not ensemble.push(chunk(4, T0, [[1.0]] * 4), T0)
    assert (ensemble.dropped, ensemble.chunk.sequence) == (1, 5)
    ensemble.clear()
    with pytest.raises(ChunkExpired):
        ensemble.sample(T0)


@pytest.mark.parametrize("fading", [-0.1, np.inf, np.nan])
def test_an_ensemble_refuses_a_fading_that_is_none(fading):
    with pytest.raises(ConfigError, match="expected a finite one"):
        ChunkEnsemble(fading)
