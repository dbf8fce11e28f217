"""`so-arm models`: the table of the shipped bundles, docs/models.md, from their manifests."""

import argparse
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import SOURCE_ROOT
from so_arm_policy.evaluate.latency import read_latency
from so_arm_policy.evaluate.models_table import models_page, read_models


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    docs = SOURCE_ROOT / "docs"
    parser.add_argument("--bundles", type=Path, default=SOURCE_ROOT / "bundles", help="folder of bundles")
    parser.add_argument("--latency", type=Path, default=docs / "latency.json", help="figures of bench/models.py")
    parser.add_argument("--out", type=Path, default=docs / "models.md", help="page to write")


def run(args: argparse.Namespace) -> int:
    """Write the page. Raises SoArmError."""
    models = read_models(args.bundles)
    page = models_page(models, read_latency(args.latency) if args.latency.exists() else None)
    try:
        args.out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out: got {error}, expected a file that can be written") from error
    print(f"{args.out}: {len(models)} bundle{'s' if len(models) != 1 else ''}")
    return 0
