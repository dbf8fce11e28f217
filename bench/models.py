"""How fast the shipped bundles are on this machine: what the page of models publishes. Writes docs/latency.json.

    python bench/models.py

Each bundle's System 1 is paced at 120 Hz on one core as its node runs it, in fp32 and, where there is one, in int8, in
turns with a bare loop; its System 2 runs back to back on one thread. Only a quiet machine gives figures to publish.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import onnxruntime as ort
from compare import Variant, compared, pin_to_one_core, session_run
from system1_paced import paced

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.paths import SOURCE_ROOT
from so_arm_policy.evaluate.latency import Latency, Times
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.graphs import PRECISIONS, system2_spec
from so_arm_policy.policy.manifest import FILE_NAME
from so_arm_policy.robot.description import load_robot


def measured(bundle: Bundle, seconds: float, rounds: int) -> dict[str, Times]:
    """Return the times of every graph of the bundle, by file name."""
    robot, files = load_robot(bundle.manifest.robot), bundle.manifest.files
    times = {}
    for precision in bundle.precisions:
        figures = paced(bundle, robot, seconds, turns=4, precision=precision)
        name, inference = PRECISIONS[precision], figures["inference_ms"]
        times[name] = Times(
            sha256=files[name],
            p50_ms=round(inference["p50"], 3),
            p99_ms=round(inference["p99"], 3),
            inferences=figures["inferences"],
            due=figures["due"],
            late=figures["late"],
        )
    spec = system2_spec(bundle.manifest)
    arrays = golden.read_golden(bundle.read(golden.FILE_NAME), spec)
    feed = {name: arrays[name] for name in spec.inputs}
    run = session_run(bundle.read(spec.name), feed, list(spec.outputs))
    row = compared({spec.name: Variant(run, spec.name)}, rounds)[spec.name]
    p50, p99 = round(row["p50"], 3), round(row["p99"], 3)
    return {**times, spec.name: Times(sha256=files[spec.name], p50_ms=p50, p99_ms=p99, inferences=rounds)}


def machine() -> str:
    """Return the processor and how many of its cores there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else 'an unknown processor'}, {os.cpu_count()} cores"


def print_times(name: str, graphs: dict[str, Times]) -> None:
    """Print one bundle."""
    for file, times in graphs.items():
        late = f"  late {times.late} of {times.due}" if times.due else ""
        print(f"{name:24s} {file:18s} p50 {times.p50_ms:8.3f} ms  p99 {times.p99_ms:8.3f} ms{late}")


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, default=SOURCE_ROOT / "bundles", help="folder of bundles")
    parser.add_argument("--seconds", type=float, default=12.0, help="paced, for each graph (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=400, help="inferences of System 2 (default %(default)s)")
    parser.add_argument("--out", type=Path, default=SOURCE_ROOT / "docs" / "latency.json", help="file to write")
    args = parser.parse_args()
    pin_to_one_core()
    graphs = {}
    try:
        for path in sorted(args.bundles.glob(f"*/{FILE_NAME}")):
            graphs[path.parent.name] = measured(load_bundle(path.parent), args.seconds, args.rounds)
            print_times(path.parent.name, graphs[path.parent.name])
    except SoArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = f"python bench/models.py --seconds {args.seconds:g} --rounds {args.rounds}"
    latency = Latency(command=command, machine=machine(), software=f"onnxruntime {ort.__version__}", graphs=graphs)
    args.out.write_text(json.dumps(to_mapping(latency), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
