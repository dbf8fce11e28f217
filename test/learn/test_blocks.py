import numpy as np
import onnxruntime as ort
import pytest
import torch

from so_arm_policy.learn.blocks import (
    AdaptiveDecoderBlock,
    AdaptiveOutput,
    BlockOptions,
    DecoderBlock,
    EncoderBlock,
    KeysValues,
    PatchEmbedding,
    SelfAttention,
    causal_mask,
    padding_mask,
    sinusoidal,
)
from so_arm_policy.learn.export import Graph
from so_arm_policy.learn.feed_forward import make_feed


def test_causal_mask_keeps_the_future_out():
    torch.manual_seed(0)
    block, x = EncoderBlock(32, 4), torch.randn(2, 10, 32)
    mask = torch.ones(10, 10, dtype=torch.bool).tril()
    changed = x.clone()
    changed[:, 6:] = torch.randn(2, 4, 32)
    assert torch.allclose(block(x, mask)[:, :6], block(changed, mask)[:, :6], atol=1e-6)
    assert not torch.allclose(block(x)[:, :6], block(changed)[:, :6], atol=1e-3)


def test_without_positions_attention_does_not_know_the_order():
    torch.manual_seed(0)
    attention, x = SelfAttention(32, 4), torch.randn(1, 7, 32)
    order = torch.randperm(7)
    assert torch.allclose(attention(x)[:, order], attention(x[:, order]), atol=1e-5)


def test_context_may_come_in_any_order_but_matters():
    torch.manual_seed(0)
    block, keys_values = DecoderBlock(32, 4), KeysValues(16, 32, 4)
    x, context = torch.randn(2, 5, 32), torch.randn(2, 9, 16)
    result = block(x, keys_values(context))
    assert torch.allclose(result, block(x, keys_values(context[:, torch.randperm(9)])), atol=1e-5)
    assert not torch.allclose(result, block(x, keys_values(context + 1.0 + torch.randn(2, 9, 16))), atol=1e-3)


def test_constant_values_come_out_of_attention_unchanged():
    """Rows of attention sum to 1, so that the mean of equal values is that value."""
    attention = SelfAttention(8, 2)
    with torch.no_grad():
        attention.qkv.weight[16:] = torch.eye(8)
        attention.out.weight.copy_(torch.eye(8))
    x = torch.randn(1, 1, 8).expand(1, 6, 8)
    assert torch.allclose(attention(x), x, atol=1e-6)


def test_a_patch_depends_on_its_own_pixels_only():
    torch.manual_seed(0)
    embed = PatchEmbedding(32, 48, 16, 24)
    images = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8)
    changed = images.clone()
    changed[:, 16:, 32:] = 255 - changed[:, 16:, 32:]
    same = (embed(images) == embed(changed)).all(-1)[0]
    assert same.tolist() == [True] * 5 + [False]


def test_sinusoidal_tells_times_apart():
    codes = sinusoidal(torch.linspace(0, 1, 50), 64)
    distances = torch.cdist(codes, codes) + 10 * torch.eye(50)
    assert codes.shape == (50, 64)
    assert distances.min() > 0.1


OPTIONS = [
    BlockOptions(),
    BlockOptions(norm="layer"),
    BlockOptions(feed="swiglu"),
    BlockOptions(groups=2, rotary=True, feed="swiglu"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_decoder_steps_through_what_it_does_at_once(options):
    torch.manual_seed(0)
    block, context = DecoderBlock(32, 4, 2, options), KeysValues(16, 32, 4)(torch.randn(2, 9, 16))
    x, real = torch.randn(2, 5, 32), torch.arange(9) < torch.tensor([[9], [6]])
    whole = block(x, context, causal_mask(5), padding_mask(real))
    cache = block.attention.empty_cache(2)
    for place in range(5):
        one, cache = block.step(x[:, place : place + 1], context, cache, context_mask=padding_mask(real))
        assert torch.allclose(one, whole[:, place : place + 1], atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_adaptive_blocks_start_as_the_identity_and_learn_from_the_condition(options):
    torch.manual_seed(0)
    block, context = AdaptiveDecoderBlock(32, 4, 2, options), KeysValues(16, 32, 4)(torch.randn(2, 9, 16))
    x, condition = torch.randn(2, 5, 32), torch.randn(2, 5, 32, requires_grad=True)
    assert torch.equal(block(x, condition, context), x)
    block(x, condition, context).square().mean().backward()
    assert block.modulation.weight.grad.abs().sum() > 0
    torch.nn.init.normal_(block.modulation.weight, std=0.1)
    torch.nn.init.normal_(block.modulation.bias, std=0.1)
    everywhere = condition[:, :1]
    assert torch.allclose(block(x, everywhere, context), block(x, everywhere.expand(-1, 5, -1), context), atol=1e-6)
    assert not torch.allclose(block(x, everywhere, context), block(x, everywhere + 1.0, context), atol=1e-3)
    assert not torch.allclose(block(x, condition, context), block(x, condition, context + 1.0), atol=1e-3)


def test_without_gates_an_adaptive_block_starts_as_a_decoder_block():
    torch.manual_seed(0)
    adaptive, plain = AdaptiveDecoderBlock(32, 4, zero=False), DecoderBlock(32, 4)
    plain.load_state_dict(adaptive.state_dict(), strict=False)
    x, context = torch.randn(2, 5, 32), torch.randn(2, 2, 4, 9, 8)
    assert torch.allclose(adaptive(x, torch.randn(2, 1, 32), context), plain(x, context), atol=1e-6)


def test_adaptive_output_starts_at_zero():
    assert torch.equal(AdaptiveOutput(32, 6)(torch.randn(2, 5, 32), torch.randn(2, 1, 32)), torch.zeros(2, 5, 6))


def test_gated_feed_forward_has_about_as_many_parameters():
    sizes = [sum(p.numel() for p in make_feed(name, 128, 4).parameters()) for name in ("gelu", "swiglu")]
    assert abs(sizes[1] / sizes[0] - 1) < 0.02


def test_the_class_token_comes_first_and_leaves_the_patches_as_they_are():
    torch.manual_seed(0)
    plain, with_class = PatchEmbedding(32, 48, 16, 24), PatchEmbedding(32, 48, 16, 24, cls=True)
    with_class.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    tokens = with_class(images)
    assert tokens.shape == (2, 7, 24)
    assert torch.equal(tokens[:, 1:], plain(images))
    assert torch.equal(tokens[0, 0], tokens[1, 0])


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3]])
def test_a_cached_step_computes_the_same_as_onnx(options, tmp_path):
    """One graph serves every step: the cache has a fixed size, and the place is an input."""
    torch.manual_seed(0)
    block, length = DecoderBlock(32, 4, 2, options), 5
    x, context = torch.randn(1, length, 32), torch.randn(1, 2, 4, 9, 8)
    cache, place = block.attention.empty_cache(1, length), torch.tensor(3)
    inputs = {"x": x[:, :1], "context": context, "cache": cache, "place": place}
    graph = Graph(module=Step(block), inputs=inputs, outputs=("y", "new_cache"))
    graph.export(tmp_path / "step.onnx")
    session = ort.InferenceSession(tmp_path / "step.onnx", providers=["CPUExecutionProvider"])
    filled = cache.numpy()
    with torch.no_grad():
        whole = block(x, context, causal_mask(length)).numpy()
    for i in range(length):
        feed = {"x": x[:, i : i + 1].numpy(), "context": context.numpy(), "cache": filled, "place": np.int64(i)}
        y, filled = session.run(None, {name: np.asarray(value) for name, value in feed.items()})
        assert np.abs(y - whole[:, i : i + 1]).max() < 1e-5


class Step(torch.nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x, context, cache, place):
        return self.block.step(x, context, cache, place)
