"""What bench/families.py and its neighbours compare: variants of the same thing, each once in every round."""

import sys
from pathlib import Path

import pytest
import torch

from so_arm_policy.learn.export import system1_graph
from so_arm_policy.learn.families import FAMILIES, family_config, make_expert

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import families  # noqa: E402
import models  # noqa: E402
import system1  # noqa: E402
from compare import Variant, compared, percentiles  # noqa: E402


@pytest.mark.parametrize("name", FAMILIES)
def test_projecting_inside_the_graph_gives_the_same_chunk(name):
    torch.manual_seed(0)
    config = family_config(name)(context_width=16, context_tokens=5, width=16, heads=2, layers=1)
    expert = make_expert(config).eval().requires_grad_(requires_grad=False)
    tokens = torch.randn(5, 16)
    keys_values = expert.project(tokens.unsqueeze(0)).squeeze(0)
    graph = system1_graph(expert, keys_values, torch.randn(6), torch.Generator().manual_seed(0))
    rest = [value for key, value in graph.inputs.items() if key != "keys_values"]
    projecting = families.FromTokens(expert, graph.module)
    assert torch.equal(projecting(tokens, *rest), graph.module(keys_values, *rest))


def test_every_variant_runs_once_a_round_in_changing_order():
    ran = []
    variants = {name: Variant(lambda name=name: ran.append(name), "a") for name in "abc"}
    table = compared(variants, rounds=6)
    rounds = [ran[first : first + 3] for first in range(len(ran) - 18, len(ran), 3)]
    assert [sorted(one) for one in rounds] == [["a", "b", "c"]] * 6
    assert {one[0] for one in rounds} == {"a", "b", "c"}
    assert table["a"]["ratio"] == 1.0
    assert percentiles([1.0, 2.0, 3.0])["p50"] == 2.0


@pytest.mark.parametrize("bench", [models, families, system1])
def test_every_bench_says_what_it_can_do(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [bench.__name__, "--help"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 0
    assert "--rounds" in capsys.readouterr().out
