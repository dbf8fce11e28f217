"""What every family of System 1 promises, and what is special of each."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.export import system1_graph
from so_arm_policy.learn.families import FAMILIES, family_config, make_expert
from so_arm_policy.learn.families.act import ActConfig, ActExpert
from so_arm_policy.learn.families.action_tokens import ActionTokens
from so_arm_policy.learn.families.autoregressive import AutoregressiveConfig
from so_arm_policy.learn.families.coding import ChunkCoding
from so_arm_policy.learn.families.diffusion import DiffusionConfig
from so_arm_policy.learn.families.expert import ExpertConfig
from so_arm_policy.learn.families.flow import FlowConfig, FlowExpert
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig

SIZES = {"joints": 3, "horizon": 8, "context_width": 16, "context_tokens": 5, "width": 32, "heads": 2, "layers": 1}
CONFIGS: dict[str, ExpertConfig] = {
    "act": ActConfig(**SIZES, style=4, style_layers=1),
    "flow": FlowConfig(**SIZES),
    "flow in one step": FlowConfig(**SIZES, steps=1, shortcut=True),
    "diffusion": DiffusionConfig(**SIZES),
    "autoregressive": AutoregressiveConfig(**SIZES),
    "autoregressive, uniform": AutoregressiveConfig(**SIZES, tokens="uniform", bins=64),
}
every_family = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def inputs(config, batch=4):
    torch.manual_seed(1)
    context = torch.randn(batch, config.context_tokens, config.context_width)
    state = torch.randn(batch, config.joints)
    noise = torch.randn(batch, *config.noise_shape)
    return context, state, noise, state.unsqueeze(1).repeat(1, config.prefix, 1)


def test_every_family_is_tested_here():
    assert {type(config) for config in CONFIGS.values()} == {kind for kind, _ in FAMILIES.values()}


@every_family
def test_chunk_begins_with_the_prefix_to_the_bit(config):
    torch.manual_seed(0)
    expert = make_expert(config).eval()
    context, state, noise, prefix = inputs(config)
    chunk = expert.act(expert.project(context), state, noise, prefix)
    assert chunk.shape == (4, 8, 3)
    assert torch.equal(chunk[:, :2], prefix)
    assert expert.project(context).shape == (4, *config.context_shape)


@every_family
def test_learns_two_targets_told_apart_by_the_context(config):
    """Trained to go right for one context and left for another, it goes there, from any noise."""
    torch.manual_seed(0)
    expert = make_expert(config)
    contexts = torch.randn(2, config.context_tokens, config.context_width)
    ramp = torch.linspace(0, 1, config.horizon)[:, None]
    ways = torch.stack([ramp * 1.0, ramp * -1.0]).expand(2, config.horizon, 3)

    def draw(size):
        which = torch.randint(0, 2, (size,))
        start = 0.3 * torch.randn(size, 3)
        return which, start, start.unsqueeze(1) + ways[which] * (0.5 + 0.5 * torch.rand(size, 1, 1))

    positions = draw(500)[2]
    expert.fit_statistics(torch.zeros(3), torch.ones(3), positions)
    optimiser = torch.optim.Adam(expert.parameters(), 2e-3)
    for _ in range(300):
        which, start, positions = draw(64)
        value = expert.loss(positions, expert.project(contexts[which]), start)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    which, start, positions = draw(16)
    noise = expert.noise_std * torch.randn(16, *config.noise_shape)
    with torch.no_grad():
        chunk = expert.eval().act(expert.project(contexts[which]), start, noise, positions[:, :2])
    assert (chunk - positions).abs().max() < 0.3
    assert (chunk - positions).abs().mean() < 0.06


@every_family
def test_exported_it_computes_the_same(config, tmp_path):
    torch.manual_seed(0)
    expert = make_expert(config).eval().requires_grad_(requires_grad=False)
    for weights in expert.parameters():  # what starts at zero would hide what depends on it
        weights += 0.02 * torch.randn(weights.shape)
    context, state, _, _ = inputs(config, 1)
    graph = system1_graph(expert, expert.project(context)[0], state[0], torch.Generator().manual_seed(0))
    graph.export(tmp_path / "system1.onnx")
    assert graph.parity(tmp_path / "system1.onnx") <= 1e-5
    session = ort.InferenceSession(tmp_path / "system1.onnx", providers=["CPUExecutionProvider"])
    assert ("noise" in [given.name for given in session.get_inputs()]) == bool(config.noise_shape)


def test_coasting_goes_on_with_the_velocity_of_the_prefix_and_stops():
    coding = ChunkCoding(1, 40, 2)
    coasted = coding.coasted(torch.tensor([[[1.0], [1.1]]]))[0, :, 0]
    steps = coasted[2:].diff()
    assert torch.allclose(coasted[2] - 1.1, torch.tensor(0.08), atol=1e-6)
    assert (steps > 0).all()
    assert (steps.diff() < 0).all()
    assert torch.equal(coding.coasted(torch.ones(1, 2, 1))[0], torch.ones(40, 1))


def test_coded_and_decoded_is_the_same():
    torch.manual_seed(0)
    coding, positions = ChunkCoding(3, 8, 2), torch.randn(5, 8, 3)
    coding.fit(torch.zeros(3), torch.ones(3), positions)
    code = coding.encode(positions)
    assert torch.allclose(coding.decode(code, positions[:, :2]), positions, atol=1e-5)
    assert torch.allclose(coding.encode(positions[:, :2]), code[:, :2])
    assert torch.allclose(code[:, 2:].std(0), torch.ones(6, 3), atol=1e-4)


def test_styles_of_act_are_different_valid_motions():
    """Demonstrations go left or right round something: z says which, never a mean of the two."""
    torch.manual_seed(0)
    config = ActConfig(**SIZES | {"joints": 1, "layers": 2}, style=2, style_layers=1, style_weight=0.002)
    expert = ActExpert(config)
    bump = torch.sin(torch.linspace(0, np.pi, 8))[:, None]

    def draw(size):
        side = torch.randint(0, 2, (size, 1, 1)) * 2.0 - 1.0
        return bump * side * (torch.arange(8) >= 2)[:, None]

    expert.fit_statistics(torch.zeros(1), torch.ones(1), draw(500))
    optimiser = torch.optim.Adam(expert.parameters(), 2e-3)
    context = torch.zeros(64, 5, 16)
    for _ in range(900):
        value = expert.loss(draw(64), expert.project(context), torch.zeros(64, 1))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    with torch.no_grad():
        z = torch.randn(64, 2)
        tops = expert.act(expert.project(context), torch.zeros(64, 1), z, torch.zeros(64, 2, 1))[:, 4, 0]
    right, left = (tops - bump[4]).abs() < 0.25, (tops + bump[4]).abs() < 0.25
    assert (right | left).float().mean() > 0.85
    assert right.sum() > 10
    assert left.sum() > 10


def test_one_step_of_shortcuts_is_nearly_two_halves():
    """Trained on straight and on halved steps, one whole step ends near where many small ones end."""
    torch.manual_seed(0)
    config = FlowConfig(**SIZES | {"layers": 2}, steps=1, shortcut=True)
    expert = FlowExpert(config)
    expert.coding.row_std[2:] = 1.0
    optimiser = torch.optim.Adam(expert.parameters(), 2e-3)
    context, state = torch.zeros(128, 5, 16), torch.zeros(128, 3)

    def draw():
        """Two clusters: the flow's lines bend, so that one step of the plain velocity ends between them."""
        side = torch.randint(0, 2, (128, 1, 1)) * 2.0 - 1.0
        return side.expand(-1, 8, 3) * (torch.arange(8) >= 2)[:, None]

    for _ in range(800):
        value = expert.loss(draw(), expert.project(context), state)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    with torch.no_grad():
        given = expert.project(context), state, torch.randn(128, 8, 3), torch.zeros(128, 2, 3)
        one = expert.act(*given)[:, 2:]
        v = expert.velocity(given[2], expert._row_times(torch.zeros(128)), given[0], state, given[3])[:, 2:]
        plain = given[2][:, 2:] + v
    reached, plainly = ((end.mean((1, 2)).abs() > 0.6).float().mean() for end in (one, plain))
    assert reached > 0.6
    assert plainly < reached - 0.3


@pytest.mark.parametrize("kind", ["dct", "uniform"])
def test_tokens_say_smooth_motion_within_their_bins(kind):
    torch.manual_seed(0)
    tokens = ActionTokens(kind, rows=14, joints=2, coefficients=6, bins=256)
    t = torch.linspace(0, 1, 14)[:, None]
    code = torch.randn(300, 1, 2) + torch.randn(300, 1, 2) * t + torch.randn(300, 1, 2) * t**2
    tokens.fit(code)
    said = tokens.encode(code)
    assert said.shape == (300, tokens.count)
    assert tokens.count == 2 * (6 if kind == "dct" else 14)
    assert (tokens.decode(said.float()) - code).abs().max() < 0.15
    assert said.min() >= 0
    assert said.max() < 256


@pytest.mark.parametrize("change", [{"prefix": 0}, {"prefix": 1}, {"prefix": 8}, {"heads": 5}])
@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_that_do_not_fit_are_refused(family, change):
    values = {"horizon": 8, "prefix": 2, "width": 32, "heads": 4} | change
    with pytest.raises(ConfigError, match="expert: got"):
        family_config(family)(**values)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (FlowConfig, {"steps": 0}),
        (FlowConfig, {"steps": 3, "shortcut": True}),
        (DiffusionConfig, {"steps": 0}),
        (ActConfig, {"style": 0}),
        (ActConfig, {"style_weight": float("nan")}),
        (AutoregressiveConfig, {"tokens": "words"}),
        (AutoregressiveConfig, {"coefficients": 15}),
        (AutoregressiveConfig, {"bins": 4}),
    ],
)
def test_what_a_family_cannot_do_is_refused(kind, change):
    with pytest.raises(ConfigError, match="got"):
        kind(**change)


def test_an_unknown_family_is_told_the_good_ones():
    with pytest.raises(
        ConfigError, match=r"got 'gpt', expected one of \['act', 'flow', 'diffusion', 'autoregressive'\]"
    ):
        family_config("gpt")


def test_padding_does_not_change_what_is_seen_and_the_words_do():
    torch.manual_seed(0)
    config = SceneEncoderConfig(image_height=32, image_width=48, vocabulary=20, width=32, max_tokens=6)
    encoder = SceneEncoder(config).eval()
    images = torch.randint(0, 256, (2, 2, 32, 48, 3), dtype=torch.uint8)
    words = torch.tensor([[3, 4, 5, 0, 0, 0], [3, 4, 6, 0, 0, 0]] * 2)
    state = torch.zeros(4, 6)
    together = encoder(images, words, state)
    assert together.tokens.shape == (4, config.context_tokens, 32)
    assert together.pointers.shape == (4, 3, 2 * 2 * 3)
    assert together.source.shape == together.place.shape == together.progress.shape == (4, 3)
    alone = encoder(images[1:], words[3:], state[3:])
    assert torch.allclose(together.tokens[3:], alone.tokens, atol=1e-5)
    assert not torch.allclose(together.source[0], together.source[1], atol=1e-5)
