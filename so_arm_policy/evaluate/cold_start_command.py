"""`so-arm cold-start`: how long a policy takes from the start of its process to its first inference."""

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import onnxruntime as ort
from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.cold_start import SYSTEMS, ColdStart, measure
from so_arm_policy.policy.providers import PROVIDERS, Provider, check_offered

ROWS = {
    "imports": "Python and imports",
    "bundle": "bundle checked",
    "session": "session open",
    "first": "first inference",
    "total": "in all",
    "second": "second inference",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", help="a shipped bundle's name, or a folder")
    parser.add_argument("--provider", choices=tuple(PROVIDERS), default="cpu", help="where inferences run")
    parser.add_argument("--system", type=int, choices=SYSTEMS, nargs="+", default=list(SYSTEMS), help="which graphs")
    parser.add_argument("--runs", type=int, default=5, help="processes of each kind")
    parser.add_argument("--threads", type=int, default=1, help="threads of an inference")
    parser.add_argument("--json", type=Path, help="write all figures to this file")


def run(args: argparse.Namespace) -> int:
    """Measure and print; with TensorRT once into an empty engine folder and once with what that left, in each run."""
    if not 1 <= args.runs <= 1000:
        raise ConfigError(f"--runs: got {args.runs}, expected 1..1000")
    bundle, provider = find_shipped("bundles", args.bundle), Provider(name=args.provider)
    check_offered(provider)
    print(f"bundle {bundle.name}, onnxruntime {ort.__version__}, {args.provider}, threads {args.threads}")
    measured = {}
    for system in args.system:
        for kind, starts in _measured(bundle, system, provider, args.threads, args.runs).items():
            measured[f"System {system}{kind}"] = starts
    for title, starts in measured.items():
        _print(title, starts)
    if args.json:
        figures = {title: [asdict(start) for start in starts] for title, starts in measured.items()}
        args.json.write_text(json.dumps({"bundle": bundle.name, "provider": args.provider, "ms": figures}, indent=1))
    return 0


def _measured(bundle: Path, system: int, provider: Provider, threads: int, runs: int) -> dict[str, list[ColdStart]]:
    kinds = (", no engines yet", ", engines cached") if provider.name == "tensorrt" else ("",)
    starts: dict[str, list[ColdStart]] = {kind: [] for kind in kinds}
    for _ in tqdm(range(runs), desc=f"System {system}", unit="run"):
        with tempfile.TemporaryDirectory(prefix="so_arm_engines_") as folder:
            for kind in kinds:
                starts[kind].append(measure(bundle, system, replace(provider, engine_cache=folder), threads))
    return starts


def _print(title: str, starts: list[ColdStart]) -> None:
    print(f"\n{f'{title}, {len(starts)} processes, ms':45s} {'p50':>9s} {'least':>9s} {'most':>9s}")
    for name, text in ROWS.items():
        values = [getattr(start, name) for start in starts]
        print(f"{text:45s} {median(values):9.1f} {min(values):9.1f} {max(values):9.1f}")
