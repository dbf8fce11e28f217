"""What a comparison was made with: everything that it takes to make it again."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from so_arm_policy import __version__
from so_arm_policy.evaluate.compare.rows import EpisodeRow

PACKAGES = (
    "numpy",
    "scipy",
    "mujoco",
    "mink",
    "daqp",
    "ompl",
    "ruckig",
    "onnxruntime",
    "tokenizers",
    "opencv-python-headless",
    "pyarrow",
    "pillow",
    "matplotlib",
)
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A learned policy that took part."""

    controller: str
    id: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Versions, machine and commit are those of when the page was written; the rest is of the episodes."""

    version: str
    python: str
    packages: dict[str, str]
    commit: str
    machine: str
    results_sha256: str
    bundles: tuple[Bundle, ...]
    seeds: dict[str, str]


def provenance(rows: Sequence[EpisodeRow], results: Path) -> Provenance:
    """Return what the episodes in the file `results` were made with."""
    who = {row.controller: row for row in rows}
    return Provenance(
        version=__version__,
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        commit=_commit(),
        machine=_machine(),
        results_sha256=hashlib.sha256(results.read_bytes()).hexdigest(),
        bundles=tuple(
            Bundle(controller=name, id=row.bundle, sha256=row.bundle_sha256 or UNKNOWN)
            for name, row in who.items()
            if row.bundle is not None
        ),
        seeds=seeds_of(rows),
    )


def seeds_of(rows: Sequence[EpisodeRow]) -> dict[str, str]:
    """Return the seeds of every controller on every task, by "task: controllers"; those with the same ones together."""
    cells: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        cells.setdefault((row.task, row.controller), []).append(row.seed)
    alike: dict[tuple[str, str], list[str]] = {}
    for (task, name), seeds in cells.items():
        alike.setdefault((task, ranges(seeds)), []).append(name)
    return {f"{task}: {', '.join(found)}": seeds for (task, seeds), found in alike.items()}


def ranges(seeds: Sequence[int]) -> str:
    """Return seeds in few words, FIRST:END (END not included) for those that follow each other."""
    parts: list[tuple[int, int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][1]:
            parts[-1] = (parts[-1][0], seed + 1)
        else:
            parts.append((seed, seed + 1))
    return ", ".join(f"{first}:{end}" if end - first > 1 else str(first) for first, end in parts)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Return the commit of the source tree that this file is in, "+" where it is changed; UNKNOWN without one."""
    try:
        found = [
            subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
            for words in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    commit, changed = (each.stdout.strip() for each in found)
    return f"{commit}{' with changes' if changed else ''}"


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or "an unknown processor"
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
