"""The variants that bench/system1.py compares compute the same thing."""

import sys
from pathlib import Path

import torch

from so_arm_policy.learn.families.flow import FlowConfig, FlowExpert

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from system1_variants import FromTokens, flow_like, tokens_like  # noqa: E402

from so_arm_policy.core.paths import find_shipped  # noqa: E402
from so_arm_policy.policy.manifest import read_manifest  # noqa: E402


def test_projecting_in_advance_once_or_in_each_step_gives_the_same_chunk():
    torch.manual_seed(0)
    flow = FlowExpert(FlowConfig(context_width=16, context_tokens=5, width=16, heads=2, layers=1)).eval()
    tokens, state, noise, prefix = tokens_like(flow), torch.randn(6), torch.randn(16, 6), torch.randn(2, 6)
    given = [t.unsqueeze(0) for t in (state, noise, prefix)]
    expected = flow.act(flow.project(tokens.unsqueeze(0)), *given).squeeze(0)
    for each_step in (False, True):
        assert torch.allclose(FromTokens(flow, each_step)(tokens, state, noise, prefix), expected, atol=1e-3)


def test_a_shipped_bundle_has_the_sizes_the_bench_makes():
    flow_like(read_manifest(find_shipped("bundles", "reach_flow")))
