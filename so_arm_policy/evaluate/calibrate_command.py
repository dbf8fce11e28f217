"""`so-arm calibrate`: what a policy sees and does when it succeeds, kept in its bundle, to notice when it does not."""

import argparse
import os
import shlex
from pathlib import Path

import numpy as np
from tqdm import tqdm

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.calibration import SEEDS, Calibration, Course, calibrate, watch_all
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.evaluate.statistics import percentile
from so_arm_policy.policy.manifest import Manifest, read_manifest
from so_arm_policy.policy.monitors import FILE_NAME, keep_monitors
from so_arm_policy.safety.config import SupervisorConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", help="path of a bundle, or the name of a shipped one")
    parser.add_argument(
        "--seeds",
        # `so-arm train --watch-every` chooses among candidates by the first seeds of this range.
        default="95000:95060",
        help=f"FIRST:END (END not included), or numbers with commas, in {SEEDS.start}:{SEEDS.stop}",
    )
    parser.add_argument("--tasks", help="with commas (default: all that the bundle is for)")
    parser.add_argument("--all-objects", action="store_true", help="in scenes of every colour and kind")
    parser.add_argument("--alpha", type=float, default=0.05, help="share of good episodes each monitor may doubt")
    parser.add_argument("--jobs", type=int, default=2, help="processes")


def run(args: argparse.Namespace) -> int:
    """Run the policy, fit, and write into the bundle. Raises SoArmError."""
    folder, seeds = find_shipped("bundles", args.bundle), parse_seeds(args.seeds)
    manifest = read_manifest(folder)
    tasks = tuple(args.tasks.split(",")) if args.tasks else manifest.tasks
    _check(args, folder, manifest, tasks, seeds)
    doubt_s = SupervisorConfig().doubt_s
    courses: list[Course] = []
    with tqdm(total=len(tasks) * len(seeds), unit="episode", dynamic_ncols=True) as bar:
        for part in watch_all(str(folder), tasks, seeds, args.jobs, args.all_objects):
            courses += part
            bar.set_postfix(success=f"{sum(c.success for c in courses)}/{len(courses)}", refresh=False)
            bar.update(len(part))
    found = calibrate(courses, args.alpha, doubt_s)
    notes = {
        "command": _command(args, folder, tasks, manifest),
        "episodes": {t: sum(c.task == t for c in courses) for t in tasks},
        "successes": {t: sum(c.task == t and c.success for c in courses) for t in tasks},
        "fitted": found.fitted,
        "held_out": found.held_out,
        "alpha": args.alpha,
        "doubt_s": doubt_s,
        "axes": len(found.monitors.familiar.spread),
        "novelty_threshold": round(found.monitors.novelty_threshold, 4),
        "looks_thresholds": dict(zip(manifest.cameras, np.round(_thresholds(found), 4).tolist(), strict=True)),
        "disagreement_rad": round(found.monitors.disagreement_rad, 5),
    }
    keep_monitors(folder, found.monitors, notes, bundle_id=manifest.id)
    print(report(folder, found, args.alpha))
    return 0


def report(folder: Path, found: Calibration, alpha: float) -> str:
    """Return what was found, as text for people."""
    monitors = found.monitors
    lines = [
        f"{folder / FILE_NAME}: {(folder / FILE_NAME).stat().st_size / 1024:.0f} KiB",
        f"  {found.fitted} successful episodes say what is familiar ({len(monitors.familiar.spread)} axes), "
        f"{found.held_out} others set the thresholds (alpha {alpha})",
    ]
    for what, threshold, peaks, unit in (
        ("novelty", monitors.novelty_threshold, found.novelty, ""),
        *(
            (f"pictures {k}", threshold, peaks, "")
            for k, (threshold, peaks) in enumerate(zip(_thresholds(found), found.looks, strict=True), 1)
        ),
        ("disagreement", monitors.disagreement_rad, found.disagreement_rad, " rad"),
    ):
        lines.append(f"  {what:13s} threshold {threshold:.4f}{unit}, median peak {percentile(peaks, 50):.4f}{unit}")
    return "\n".join(lines)


def _thresholds(found: Calibration) -> FloatArray:
    assert found.monitors.looks_thresholds is not None
    return found.monitors.looks_thresholds


def _check(
    args: argparse.Namespace, folder: Path, manifest: Manifest, tasks: tuple[str, ...], seeds: list[int]
) -> None:
    """Fail before the work, not after it."""
    unknown = [t for t in tasks if t not in manifest.tasks]
    if unknown or len(set(tasks)) != len(tasks):
        raise ConfigError(f"--tasks: got {list(tasks)}, expected different ones of {list(manifest.tasks)}")
    if not all(seed in SEEDS for seed in seeds):
        kept = f"{SEEDS.start}..{SEEDS.stop - 1}"
        raise ConfigError(f"--seeds: got {args.seeds!r}, expected some of {kept}: no training or published score does")
    if not 0.0 < args.alpha < 1.0:
        raise ConfigError(f"--alpha: got {args.alpha}, expected 0 < alpha < 1")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: got a folder that cannot be written to, expected to keep {FILE_NAME} there")


def _command(args: argparse.Namespace, folder: Path, tasks: tuple[str, ...], manifest: Manifest) -> str:
    """Return the command line that does the same again."""
    words = ["so-arm", "calibrate", folder.name, "--seeds", args.seeds]
    words += ["--tasks", ",".join(tasks)] if tasks != manifest.tasks else []
    words += ["--all-objects"] if args.all_objects else []
    words += ["--alpha", str(args.alpha)] if args.alpha != 0.05 else []
    return shlex.join(words)
