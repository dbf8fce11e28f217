"""Where a training begins: the weights of another run, or of a bundle."""

import dataclasses
import shutil

import pytest
import torch
from small_training import training
from torch import nn

from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.learn.loop import LoopConfig, fit
from so_arm_policy.learn.run_notes import history, tokenizer_of
from so_arm_policy.learn.weights import adopt, weights_from
from so_arm_policy.policy.bundle import load_bundle

# What begins anew, for no graph holds it: see weights.py.
ANEW = {"act": "expert.posterior", "flow": "expert.time.0."}


class Doubling(nn.Module):
    """Learns to double numbers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, batch):
        return (self.linear(batch.x) - 2.0 * batch.x).square().mean(), {}


@dataclasses.dataclass(frozen=True)
class Numbers:
    x: torch.Tensor


def numbers(step, process):
    del process
    return Numbers(torch.randn(16, 2, generator=torch.Generator().manual_seed(step)))


def trained(run, family):
    """The averaged weights in the checkpoints of `run`, by the names that both systems have."""
    files = run / "scene.pt", run / family / "action.pt"
    states = [torch.load(file, weights_only=True)["averaged"] for file in files]
    return {name.removeprefix("module."): value for state in states for name, value in state.items()}


def test_a_training_may_begin_from_the_weights_of_another(tmp_path):
    encoder = training(tmp_path, "act", None).config.encoder
    earlier = fit(Doubling(), numbers, LoopConfig(steps=40, warmup=5), tmp_path, "earlier")
    given = weights_from(tmp_path / "earlier.pt", encoder)

    class Larger(Doubling):
        def __init__(self):
            super().__init__()
            self.more = nn.Linear(2, 3)

    larger = Larger()
    assert adopt(larger, given, tmp_path) == ["more.bias", "more.weight"]
    assert torch.equal(larger.linear.weight, earlier.module.state_dict()["linear.weight"])
    with pytest.raises(InputError, match=r"got weights .*linear.*, expected some of"):
        adopt(nn.Sequential(nn.Linear(4, 2)), given, tmp_path)
    with pytest.raises(InputError, match=r"none\.pt: got .*, expected a checkpoint"):
        weights_from(tmp_path / "none.pt", encoder)
    torch.save({"averaged": 3}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: got .*, expected a checkpoint"):
        weights_from(tmp_path / "other.pt", encoder)


@pytest.mark.parametrize("family", ANEW)
def test_the_graphs_of_a_bundle_give_back_the_weights_it_was_exported_from(run, data, bundle_of, family):
    given = weights_from(bundle_of(family), training(run, family, data).config.encoder)
    expected = trained(run, family)
    same = {name for name, value in given.items() if torch.equal(value, expected[name])}
    assert set(given) - same <= {"expert.coding.row_std"}  # its first rows are never used
    assert torch.equal(given["expert.coding.row_std"][2:], expected["expert.coding.row_std"][2:])
    both = {name for name in expected if name.startswith(("encoder.", "expert."))}
    assert {name for name in both - set(given) if not name.startswith(ANEW[family])} == set()


def test_a_training_begins_from_a_bundle_as_from_its_run(run, data, bundle_of, tmp_path):
    bundle = bundle_of("act")
    manifest = load_bundle(bundle).manifest
    new = training(tmp_path / "run", "act", data, steps=1, warmup=0, rate=1e-7)
    kept = dataclasses.replace(new.config, scene=dataclasses.replace(new.config.scene, steps=0))
    again = dataclasses.replace(new, config=kept, scene_from=bundle, action_from=bundle)
    again.networks()
    assert again.summary["scene"] == manifest.training["scene"]
    given, near = weights_from(bundle, new.config.encoder), trained(tmp_path / "run", "act")
    assert {name for name in given if not torch.allclose(given[name], near[name], atol=1e-5)} == set()
    assert (tmp_path / "run/tokenizer.json").read_bytes() == (run / "tokenizer.json").read_bytes()
    assert history(bundle)["bundle"] == manifest.id
    assert tokenizer_of(tmp_path) is None


def test_a_tokenizer_is_kept_by_whom_it_can_serve(run, data, tmp_path):
    first = training(run, "act", data)
    first.system2()
    for tokens, kept in ((18, True), (3, False)):  # three tokens are too few for any instruction
        sizes = dataclasses.replace(first.config.encoder, max_tokens=tokens)
        config = dataclasses.replace(first.config, encoder=sizes)
        new = dataclasses.replace(first, run=tmp_path / str(tokens), config=config, scene_from=run / "scene.pt")
        assert new.can_say_all(run / "tokenizer.json") == kept


def test_a_bundle_of_other_networks_is_refused(run, data, bundle_of, tmp_path):
    first = training(run, "act", data)
    shutil.copytree(bundle_of("act"), tmp_path / "bundle")
    deeper = dataclasses.replace(first.config.encoder, fusion_layers=2)
    with pytest.raises(InputError, match="bundle: got .* of its graph, expected .*networks of these sizes"):
        weights_from(tmp_path / "bundle", deeper)
    with pytest.raises(InputError, match="got .*96, 32.* for 'encoder.place' of its graph, expected .*96, 16"):
        weights_from(tmp_path / "bundle", dataclasses.replace(first.config.encoder, width=16))
    other = dataclasses.replace(first.config.encoder, patch=10, image_height=90, image_width=120)
    with pytest.raises(InputError, match=r"bundle: got .*, expected a bundle of networks of these sizes"):
        weights_from(tmp_path / "bundle", other)
    (tmp_path / "bundle/system1.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="sha256"):
        weights_from(tmp_path / "bundle", first.config.encoder)
