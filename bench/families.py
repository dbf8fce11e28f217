"""How fast the four families of System 1 are, side by side, at the sizes that `so-arm train` uses.

    python bench/families.py
    python bench/families.py --set width=256 --set layers=5
    python bench/families.py --lerobot lerobot_env/lib/python3.11/site-packages

Weights are random: the time does not depend on them. One inference on one thread of one core, back to back; every
variant once in each round, in changing order, and ratios to the same family's fp32 graph of the same round. For each
family: the graph of a bundle (keys and values of the context given) in onnxruntime, its int8 version, a graph that
projects keys and values itself, and torch eager. Then System 2's graph, and LeRobot's own ACT where it can be imported
(docs/data.md says how to make an environment for it; it also needs pyserial): a whole policy in one, pictures
included, so it is compared with System 2 and System 1 of family act together.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from compare import Variant, compared, pin_to_one_core, print_compared, session_run
from lerobot_act import lerobot_act
from torch import Tensor, nn
from tqdm import tqdm

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.overrides import overridden
from so_arm_policy.learn.export import Graph, graphs
from so_arm_policy.learn.families import FAMILIES, family_config, make_expert
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.int8 import quantised
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.robot.description import load_robot

SYSTEM2, WHOLE = "system 2  fp32", "system 2 + act  fp32"


class FromTokens(nn.Module):
    """System 1 that gets context tokens and projects their keys and values by itself."""

    def __init__(self, expert: ActionExpert, system1: nn.Module) -> None:
        """Wrap System 1's graph."""
        super().__init__()
        self.expert, self.system1 = expert, system1

    def forward(self, tokens: Tensor, *rest: Tensor) -> Tensor:
        """tokens: (N, d); rest: as System 1's but for keys and values. Returns positions (H, n) rad."""
        return self.system1(self.expert.project(tokens.unsqueeze(0)).squeeze(0), *rest)


@dataclass(frozen=True)
class Family:
    """One family at one size. parameters: of System 1's graph, without the projection of the context."""

    variants: dict[str, Variant]
    system2: Graph
    parameters: int
    passes: int


def family(config: ExpertConfig, encoder: SceneEncoder, folder: Path) -> Family:
    """Export the family of `config` with random weights and return its variants."""
    torch.manual_seed(0)
    expert = make_expert(config).eval().requires_grad_(requires_grad=False)
    name, robot = expert.family, load_robot("so101")
    system2, system1 = graphs(encoder, expert, robot.home)
    rest = {key: value for key, value in system1.inputs.items() if key != "keys_values"}
    tokens = {"tokens": torch.randn(config.context_tokens, config.context_width)}
    projecting = Graph(module=FromTokens(expert, system1.module), inputs=tokens | rest, outputs=system1.outputs)
    fp32, base = exported(system1, folder / f"{name}.onnx"), f"{name}  fp32"
    runs = {
        base: session_run(fp32, feed(system1), system1.outputs),
        f"{name}  int8": session_run(quantised(fp32), feed(system1), system1.outputs),
        f"{name}  fp32, keys and values projected in the graph": session_run(
            exported(projecting, folder / f"{name}_projecting.onnx"), feed(projecting), system1.outputs
        ),
        f"{name}  torch eager": eager(system1),
    }
    return Family(
        variants={key: Variant(run, base) for key, run in runs.items()},
        system2=system2,
        parameters=sum(p.numel() for p in expert.parameters()) - sum(p.numel() for p in expert.context.parameters()),
        passes=config.passes,
    )


def exported(graph: Graph, path: Path) -> bytes:
    """Export `graph` and return the file's bytes."""
    graph.export(path)
    return path.read_bytes()


def feed(graph: Graph) -> dict[str, Any]:
    """Return the graph's example inputs as arrays."""
    return {name: value.numpy() for name, value in graph.inputs.items()}


def eager(graph: Graph) -> Callable[[], object]:
    """Return what runs the graph's module in torch."""

    def run() -> object:
        with torch.inference_mode():
            return graph.module(*graph.inputs.values())

    return run


def system2_variants(made: dict[str, Family], folder: Path, others: tuple[int, int]) -> dict[str, Variant]:
    """Variants of System 2's graph, and of LeRobot's ACT where it is. others: height and width of its pictures."""
    system2 = made["act"].system2
    run2 = session_run(exported(system2, folder / "system2.onnx"), feed(system2), system2.outputs)
    run1 = made["act"].variants["act  fp32"].run

    def whole() -> object:
        return run2(), run1()

    variants = {SYSTEM2: Variant(run2, SYSTEM2), "system 2  torch eager": Variant(eager(system2), SYSTEM2)}
    try:
        act = lerobot_act(joints=6, horizon=16, height=others[0], width=others[1])
    except ImportError as error:
        print(f"LeRobot's ACT is left out: {error}", file=sys.stderr)
        return variants
    name = f"lerobot {act.version} ACT, {act.parameters / 1e6:.1f} M  torch eager"
    return {**variants, WHOLE: Variant(whole, WHOLE), name: Variant(act.run, WHOLE)}


def measure(changes: list[str], rounds: int) -> tuple[dict[str, Family], dict[str, dict[str, float]]]:
    """Make all variants and time them. Raises SoArmError."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = SceneEncoderConfig()
    encoder = SceneEncoder(sizes).eval().requires_grad_(requires_grad=False)
    made, variants = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for kind in tqdm(FAMILIES, desc="exporting", unit="family"):
            config = family_config(kind)(context_tokens=sizes.context_tokens, context_width=sizes.width)
            made[kind] = family(overridden(config, changes), encoder, Path(name))
            variants |= made[kind].variants
        variants |= system2_variants(made, Path(name), (sizes.image_height, sizes.image_width))
    return made, compared(variants, rounds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="rounds of the comparison (default %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="other sizes, e.g. width=256")
    parser.add_argument(
        "--lerobot", type=Path, action="append", default=[], metavar="SITE_PACKAGES", help="where lerobot lies"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    sys.path += [str(path) for path in args.lerobot]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    core = pin_to_one_core()
    try:
        made, table = measure(args.set, args.rounds)
    except SoArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"onnxruntime {ort.__version__}, torch {torch.__version__}, one thread on core {core} of {os.cpu_count()}")
    print(f"sizes {', '.join(args.set) or 'of so-arm train'}; {args.rounds} rounds, every variant once in each\n")
    print(f"{'family':16s} {'parameters':>12s} {'passes':>8s}")
    for name, one in made.items():
        print(f"{name:16s} {one.parameters:12d} {one.passes:8d}")
    print("\none inference; ratio to the fp32 graph of the same round")
    print_compared(table)
    if args.json:
        sizes = {name: {"parameters": one.parameters, "passes": one.passes} for name, one in made.items()}
        args.json.write_text(json.dumps({"set": args.set, "families": sizes, "compared": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
