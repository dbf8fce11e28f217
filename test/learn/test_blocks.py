import torch

from so_arm_policy.learn.blocks import DecoderBlock, EncoderBlock, KeysValues, PatchEmbedding, SelfAttention, sinusoidal


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
