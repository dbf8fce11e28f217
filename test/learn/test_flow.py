import pytest
import torch

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.flow import FlowConfig, FlowExpert
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig

SMALL = FlowConfig(
    joints=3, horizon=8, prefix=2, steps=4, context_width=16, context_tokens=5, width=32, heads=2, layers=2
)


def inputs(config, batch=4):
    torch.manual_seed(1)
    context = torch.randn(batch, config.context_tokens, config.context_width)
    state = torch.randn(batch, config.joints)
    noise = torch.randn(batch, config.horizon, config.joints)
    return context, state, noise, state.unsqueeze(1).repeat(1, config.prefix, 1)


def test_chunk_begins_with_the_prefix_to_the_bit():
    flow = FlowExpert(SMALL)
    context, state, noise, prefix = inputs(SMALL)
    chunk = flow.act(flow.project(context), state, noise, prefix)
    assert chunk.shape == (4, 8, 3)
    assert torch.equal(chunk[:, :2], prefix)
    assert flow.project(context).shape == (4, *SMALL.context_shape)


def test_learns_two_targets_told_apart_by_the_context():
    """Trained to go right for one context and left for another, it goes there, from any noise."""
    torch.manual_seed(0)
    flow = FlowExpert(SMALL)
    flow.row_std[2:] = 0.5
    contexts = torch.randn(2, SMALL.context_tokens, SMALL.context_width)
    optimiser = torch.optim.Adam(flow.parameters(), 2e-3)
    ramp = torch.linspace(0, 1, SMALL.horizon)[:, None]
    ways = torch.stack([ramp * 1.0, ramp * -1.0]).expand(2, SMALL.horizon, 3)
    for _ in range(400):
        which = torch.randint(0, 2, (64,))
        start = 0.3 * torch.randn(64, 3)
        value = flow.loss(start.unsqueeze(1) + ways[which], flow.project(contexts[which]), start)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    which = torch.tensor([0, 1, 0, 1])
    start = 0.3 * torch.randn(4, 3)
    prefix = start.unsqueeze(1) + ways[which][:, :2]
    chunk = flow.act(flow.project(contexts[which]), start, torch.randn(4, 8, 3), prefix)
    assert (chunk - start.unsqueeze(1) - ways[which]).abs().max() < 0.25


def test_coasting_goes_on_with_the_velocity_of_the_prefix_and_stops():
    flow = FlowExpert(FlowConfig(joints=1, horizon=40, prefix=2))
    prefix = torch.tensor([[[1.0], [1.1]]])
    coasted = flow.coasted(prefix)[0, :, 0]
    steps = coasted[2:].diff()
    assert torch.allclose(coasted[2] - 1.1, torch.tensor(0.08), atol=1e-6)
    assert (steps > 0).all()
    assert (steps.diff() < 0).all()
    assert torch.equal(flow.coasted(prefix[:, :1].repeat(1, 2, 1))[0], torch.ones(40, 1))


@pytest.mark.parametrize("change", [{"prefix": 0}, {"prefix": 1}, {"prefix": 8}, {"heads": 5}])
def test_sizes_that_do_not_fit_are_refused(change):
    values = {"horizon": 8, "prefix": 2, "width": 32, "heads": 4} | change
    with pytest.raises(ConfigError, match="flow: got"):
        FlowConfig(**values)


def test_padding_does_not_change_what_is_seen_and_the_words_do():
    torch.manual_seed(0)
    config = SceneEncoderConfig(image_height=32, image_width=48, vocabulary=20, width=32, max_tokens=6)
    encoder = SceneEncoder(config).eval()
    images = torch.randint(0, 256, (2, 2, 32, 48, 3), dtype=torch.uint8)
    words = torch.tensor([[3, 4, 5, 0, 0, 0], [3, 4, 6, 0, 0, 0]] * 2)
    state = torch.zeros(4, 6)
    together = encoder(images, words, state)
    assert together.tokens.shape == (4, config.context_tokens, 32)
    assert together.pointer.shape == (4, 2 * 2 * 3)
    alone = encoder(images[1:], words[3:], state[3:])
    assert torch.allclose(together.tokens[3:], alone.tokens, atol=1e-5)
    assert not torch.allclose(together.grounding[0], together.grounding[1], atol=1e-5)
