"""What attention must keep whatever its weights are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.attention import (
    CrossAttention,
    KeysValues,
    SelfAttention,
    attend,
    causal_mask,
    padding_mask,
    split_heads,
)
from so_arm_policy.learn.positions import LearnedPositions, SinusoidalPositions, rotary

WIDTH, HEADS = 32, 4
KINDS = [{}, {"groups": 2}, {"groups": 1}, {"use_rotary": True}, {"groups": 2, "use_rotary": True}]
seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, groups=st.sampled_from([1, 2, 4]), queries=st.integers(1, 6), keys=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_rows_of_attention_sum_to_one_and_are_zero_where_it_is_not_allowed(seed, groups, queries, keys):
    """Values that are the identity bring the weights themselves out."""
    torch.manual_seed(seed)
    mask = torch.rand(queries, keys) < 0.5
    mask[torch.arange(queries), torch.randint(0, keys, (queries,))] = True
    q, k = 5 * torch.randn(2, 4, queries, keys), torch.randn(2, groups, keys, keys)
    weights = split_heads(attend(q, k, torch.eye(keys).expand_as(k), mask), 4)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, queries), atol=1e-5)
    assert (weights >= 0).all()
    assert (weights[..., ~mask] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, length=st.integers(2, 10), data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_future_token_changes_no_past_output(kind, seed, length, data):
    torch.manual_seed(seed)
    attention, x = SelfAttention(WIDTH, HEADS, **kind), torch.randn(2, length, WIDTH)
    now = data.draw(st.integers(1, length - 1))
    changed = torch.cat([x[:, :now], torch.randn(2, length - now, WIDTH)], dim=1)
    mask = causal_mask(length)
    assert torch.allclose(attention(x, mask)[:, :now], attention(changed, mask)[:, :now], atol=1e-6)
    assert not torch.allclose(attention(x)[:, :now], attention(changed)[:, :now], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_only_positions_make_the_order_known(kind, seed):
    torch.manual_seed(seed)
    attention, x = SelfAttention(WIDTH, HEADS, **kind), torch.randn(2, 7, WIDTH)
    order = torch.arange(7).roll(3)
    swapped = attention(x[:, order])
    assert torch.allclose(attention(x)[:, order], swapped, atol=1e-5) == (not kind.get("use_rotary", False))


@pytest.mark.parametrize("make", [LearnedPositions, SinusoidalPositions])
def test_added_positions_make_the_order_known_and_go_on_from_a_start(make):
    torch.manual_seed(0)
    positions, attention, x = make(9, WIDTH), SelfAttention(WIDTH, HEADS), torch.randn(1, 9, WIDTH)
    with torch.no_grad():
        for table in positions.parameters():
            table.mul_(50.0)
    order = torch.arange(9).roll(4)
    assert not torch.allclose(attention(positions(x))[:, order], attention(positions(x[:, order])), atol=1e-3)
    assert torch.equal(positions(x)[:, 5:], positions(x[:, 5:], 5))
    assert torch.equal(positions(x)[:, 5:], positions(x[:, 5:], torch.tensor(5)))


@given(seed=seeds, query=st.integers(0, 50), key=st.integers(0, 50), shift=st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_rotary_products_depend_on_the_distance_only(seed, query, key, shift):
    torch.manual_seed(seed)
    q, k = torch.randn(3, 1, 16, dtype=torch.float64), torch.randn(3, 1, 16, dtype=torch.float64)

    def product(at_query, at_key):
        return (rotary(q, torch.tensor([at_query])) * rotary(k, torch.tensor([at_key]))).sum(-1)

    assert torch.allclose(product(query, key), product(query + shift, key + shift), atol=2e-3)
    assert torch.allclose(rotary(q, torch.tensor([query])).norm(dim=-1), q.norm(dim=-1), rtol=1e-6)
    assert torch.equal(rotary(q, torch.tensor([0])), q)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, pieces=st.lists(st.integers(1, 3), min_size=1, max_size=5), spare=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_cache_equals_no_cache(kind, seed, pieces, spare):
    """Whatever the pieces are that the tokens come in, and whether the cache grows or has a fixed size."""
    torch.manual_seed(seed)
    length = sum(pieces)
    attention, x = SelfAttention(WIDTH, HEADS, **kind), torch.randn(2, length, WIDTH)
    whole = attention(x, causal_mask(length))
    growing, fixed = attention.empty_cache(2), attention.empty_cache(2, length + spare)
    start = 0
    for piece in pieces:
        part, expected = x[:, start : start + piece], whole[:, start : start + piece]
        grown, growing = attention.step(part, growing)
        placed, fixed = attention.step(part, fixed, torch.tensor(start))
        assert torch.allclose(grown, expected, atol=1e-5)
        assert torch.allclose(placed, expected, atol=1e-5)
        start += piece
    assert torch.allclose(growing, fixed[:, :, :, :length], atol=1e-6)
    assert (fixed[:, :, :, length:] == 0).all()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_queries_are_heads_with_repeated_weights(groups):
    """With one group for each head nothing is shared, and it is multi-head attention itself."""
    torch.manual_seed(0)
    grouped, full = SelfAttention(WIDTH, HEADS, groups=groups), SelfAttention(WIDTH, HEADS)
    shared_kv, full_kv = KeysValues(16, WIDTH, HEADS, groups=groups), KeysValues(16, WIDTH, HEADS)
    cross = CrossAttention(WIDTH, HEADS)

    def repeated(weight, parts):
        heads = weight.unflatten(0, (parts, groups, WIDTH // HEADS))
        return heads.repeat_interleave(HEADS // groups, dim=1).flatten(0, 2)

    with torch.no_grad():
        queries, keys_values = grouped.qkv.weight.split([WIDTH, 2 * groups * WIDTH // HEADS])
        full.qkv.weight.copy_(torch.cat([queries, repeated(keys_values, 2)]))
        full.out.weight.copy_(grouped.out.weight)
        full_kv.kv.weight.copy_(repeated(shared_kv.kv.weight, 2))
    x, context = torch.randn(2, 5, WIDTH), torch.randn(2, 6, 16)
    assert torch.allclose(grouped(x), full(x), atol=1e-6)
    assert shared_kv(context).shape == (2, 2, groups, 6, WIDTH // HEADS)
    assert torch.allclose(cross(x, shared_kv(context)), cross(x, full_kv(context)), atol=1e-6)
    assert grouped.empty_cache(2, 3).shape == (2, 2, groups, 3, WIDTH // HEADS)


def test_what_stands_in_the_padding_does_not_matter():
    torch.manual_seed(0)
    attention, cross, keys_values = (
        SelfAttention(WIDTH, HEADS),
        CrossAttention(WIDTH, HEADS),
        KeysValues(8, WIDTH, HEADS),
    )
    x, context = torch.randn(2, 6, WIDTH), torch.randn(2, 6, 8)
    real = torch.arange(6) < torch.tensor([[4], [6]])
    other, other_context = x.clone(), context.clone()
    other[0, 4:], other_context[0, 4:] = 7.0, torch.randn(2, 8)
    mask = padding_mask(real)
    assert torch.allclose(attention(x, mask)[real], attention(other, mask)[real], atol=1e-6)
    assert torch.allclose(attention(x, mask)[:1, :4], attention(x[:1, :4]), atol=1e-6)
    seen, again = (cross(x, keys_values(c), mask) for c in (context, other_context))
    assert torch.allclose(seen, again, atol=1e-6)
    assert torch.allclose(seen[:1], cross(x[:1], keys_values(context[:1, :4])), atol=1e-6)


def test_masks_join():
    both = causal_mask(3) & padding_mask(torch.tensor([[True, True, False]]))
    assert both[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


@pytest.mark.parametrize(("heads", "groups"), [(5, None), (0, None), (4, 3), (4, 0), (4, 8), (4, -1)])
def test_heads_that_do_not_divide_are_refused(heads, groups):
    with pytest.raises(ConfigError, match="attention: got .*expected a"):
        SelfAttention(WIDTH, heads, groups=groups)
    with pytest.raises(ConfigError, match="attention: got .*expected a"):
        KeysValues(WIDTH, WIDTH, heads, groups=groups)


def test_odd_heads_cannot_be_rotated():
    with pytest.raises(ConfigError, match="got heads of size 1, expected an even one"):
        SelfAttention(4, 4, use_rotary=True)
