"""How fast System 1 is: paced at 120 Hz on one core, and against other ways to do the same.

    python bench/system1.py --bundle reach_flow

Part 1 runs the bundle's System 1 as its node does, on one core: a 120 Hz loop on the absolute grid that samples the
chunk, and a worker thread that infers. An inference that is not done when the next is due is late: counted, never
waited for. Turns of a bare loop that does nothing lie between, so that the machine's own noise can be told apart.

Part 2 compares, one thread, back to back, every variant once in each round in changing order; so ratios hold although
the machine is noisy. Where torch is installed, variants are exported on the fly with the bundle's sizes and random
weights: the time does not depend on the weights.
"""

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime as ort
from compare import Variant, compared, pin_to_one_core, print_compared, session_run
from system1_paced import paced
from tqdm import tqdm

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.graphs import PRECISIONS, system1_spec, system2_spec
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.robot.description import load_robot

BUDGET_MS = 1000.0 / CONTROL_HZ
SHIPPED = "A the bundle's graph, keys and values given"
EXPORTED = "B as A, exported now with opset 23, random weights"


def shipped_variants(bundle: Bundle) -> dict[str, Variant]:
    """Variants that need nothing but the bundle."""
    data = bundle.read(golden.FILE_NAME)
    spec1, spec2 = system1_spec(bundle.manifest), system2_spec(bundle.manifest)
    golden1, golden2 = golden.read_golden(data, spec1), golden.read_golden(data, spec2)
    feed1 = {name: golden1[name] for name in spec1.inputs}
    feed2 = {name: golden2[name] for name in spec2.inputs}
    system1, system2 = bundle.system1_session(), bundle.system2_session()

    def with_system2() -> object:
        (keys_values,) = system2.run(["keys_values"], feed2)
        return system1.run(["positions"], feed1 | {"keys_values": keys_values})

    int8 = {}
    if "int8" in bundle.precisions:
        session = bundle.system1_session(precision="int8")
        int8["A in int8"] = Variant(lambda: session.run(["positions"], feed1), SHIPPED)
    return {
        SHIPPED: Variant(lambda: system1.run(["positions"], feed1), SHIPPED),
        **int8,
        "A + whole System 2 graph before each inference": Variant(with_system2, SHIPPED),
    }


def torch_variants(manifest: Manifest, folder: Path) -> dict[str, Variant]:
    """Variants that torch makes: the same sizes, random weights; of family flow only."""
    import torch  # noqa: PLC0415 - optional
    from system1_variants import FromTokens, flow_like, tokens_like  # noqa: PLC0415 - needs torch

    from so_arm_policy.learn.export import Graph, System1Graph  # noqa: PLC0415 - needs torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    flow = flow_like(manifest)
    inputs = {name: torch.randn(tensor.shape) for name, tensor in system1_spec(manifest).inputs.items()}
    rest = {name: value for name, value in inputs.items() if name != "keys_values"}
    given = Graph(module=System1Graph(flow).eval(), inputs=inputs, outputs=("positions",))
    made = {
        EXPORTED: (given, 23),
        "B with opset 20": (given, 20),
    }
    for each_step, name in ((False, "once an inference"), (True, "once a flow step")):
        module = FromTokens(flow, each_step).eval()
        graph = Graph(module=module, inputs={"tokens": tokens_like(flow)} | rest, outputs=("positions",))
        made[f"B with keys and values projected {name}"] = (graph, 23)
    variants: dict[str, Variant] = {}
    for number, (name, (graph, opset)) in enumerate(tqdm(made.items(), desc="exporting", unit="graph")):
        path = folder / f"{number}.onnx"
        graph.export(path, opset)
        feed = {key: value.numpy() for key, value in graph.inputs.items()}
        variants[name] = Variant(session_run(path.read_bytes(), feed, ("positions",)), EXPORTED)

    def eager() -> object:
        with torch.inference_mode():
            return given.module(*inputs.values())

    return {**variants, "B in torch, eager": Variant(eager, EXPORTED)}


def print_paced(figures: dict[str, Any], every: int) -> None:
    """Print part 1."""
    ms = "{:8.3f} {:8.3f} {:8.3f} {:8.3f}"
    print(f"\nSystem 1 at {CONTROL_HZ} Hz, inference each {every} ticks, {figures['ticks']} ticks, on one core")
    print(f"{'ms':34s} {'p50':>8s} {'p99':>8s} {'p99.9':>8s} {'max':>8s}")
    rows = {
        f"inference (one tick is {BUDGET_MS:.2f})": figures["inference_ms"],
        "work on the tick thread": figures["tick_work_ms"],
        "tick lateness, with System 1": figures["lateness_ms"]["system1"],
        "tick lateness, bare loop": figures["lateness_ms"]["bare"],
    }
    for name, values in rows.items():
        print(f"{name:34s} " + ms.format(*values.values()))
    missed = figures["missed"]
    of = f"of {figures['ticks']} each"
    print(f"ticks missed: {missed['system1']} with System 1, {missed['bare']} by the bare loop, {of}")
    share = 100.0 * figures["late"] / max(1, figures["due"])
    print(
        f"inferences late (still running when the next was due): {figures['late']} of {figures['due']} = {share:.2f} %"
    )
    print(f"ticks without a chunk: {figures['expired']}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="reach_flow", help="path of a bundle, or the name of a shipped one")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the paced part's System 1")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the paced part (default %(default)s)")
    parser.add_argument("--turns", type=int, default=6, help="turns between System 1 and the bare loop")
    parser.add_argument("--rounds", type=int, default=400, help="rounds of the comparison (default %(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    core = pin_to_one_core()
    try:
        bundle = load_bundle(find_shipped("bundles", args.bundle))
        robot = load_robot(bundle.manifest.robot)
    except SoArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = paced(bundle, robot, args.seconds, args.turns, args.precision)
    variants = shipped_variants(bundle)
    with tempfile.TemporaryDirectory() as folder:
        if bundle.manifest.family == "flow" and find_spec("torch") and find_spec("onnxscript"):
            variants |= torch_variants(bundle.manifest, Path(folder))
        table = compared(variants, args.rounds)
    print(f"bundle {bundle.manifest.id}, onnxruntime {ort.__version__}, core {core} of {os.cpu_count()}")
    print_paced(figures, bundle.manifest.infer_every)
    print(f"\nOne inference, one thread, {args.rounds} rounds, every variant once in each")
    print("ratios to A or B of the same round")
    print_compared(table)
    if not find_spec("torch"):
        print("torch is not installed: its variants are left out")
    elif bundle.manifest.family != "flow":
        print("variants in torch are those of family flow: left out; bench/families.py compares all families")
    if args.json:
        args.json.write_text(json.dumps({"bundle": bundle.manifest.id, "paced": figures, "compared": table}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
