"""`so-arm export`: a trained run to a bundle, or an int8 System 1 into a bundle that has none."""

import argparse
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.policy.graphs import PRECISIONS
from so_arm_policy.policy.manifest import Manifest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run", nargs="?", type=Path, help="folder of a run of `so-arm train`, e.g. runs/reach_0")
    parser.add_argument("--family", help="which one, where the run has trained several")
    parser.add_argument("--out", type=Path, help="the bundle (default out/bundles/NAME_FAMILY)")
    parser.add_argument("--int8", metavar="BUNDLE", help="only make BUNDLE's int8 System 1 from its fp32 graph")


def run(args: argparse.Namespace) -> int:
    """Export and print how far onnxruntime is from torch. Raises SoArmError."""
    if (args.run is None) == (args.int8 is None) or (args.int8 and (args.family or args.out)):
        raise ConfigError("export: got no run and no --int8, or both, expected either RUN or --int8 BUNDLE")
    if args.int8:
        from so_arm_policy.learn.int8 import add_int8  # noqa: PLC0415 - needs no torch

        folder = find_shipped("bundles", args.int8)
        print(report(add_int8(folder), folder))
        return 0
    from so_arm_policy.learn.run_notes import export_run  # noqa: PLC0415 - needs torch

    manifest, folder = export_run(args.run, args.family, args.out)
    print(report(manifest, folder))
    return 0


def report(manifest: Manifest, folder: Path) -> str:
    """Return what was made and how far it is from torch, as text for people."""
    lines = [f"{manifest.id} in {folder}", f"  {'':18s}{'size':>10s}  largest difference to torch on the golden inputs"]
    parity = manifest.training.get("parity_max_abs", {}) | {PRECISIONS["int8"]: manifest.training["int8_max_abs_rad"]}
    for name, difference in sorted(parity.items()):
        size = (folder / name).stat().st_size / 1024
        judge = "   (its success is the judge)" if name == PRECISIONS["int8"] else ""
        lines.append(f"  {name:18s}{size:6.0f} KiB  {difference:.1e}{judge}")
    return "\n".join(lines)
