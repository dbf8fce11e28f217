"""`so-arm faults --live`: faults of whole processes on the real ROS graph; a table, and an exit code."""

import argparse
import json
import math
import signal
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.domain import own_domain
from so_arm_policy.ros.live_fault_table import LIVE_CASES, case_of
from so_arm_policy.ros.live_faults import LiveResult, Outcome, run_cases

FAILED = 1
COLUMNS = f"{'case':26} {'outcome':14} {'stands ms':>9} {'way rad':>8} {'peak':>6} {'arm':>5} {'lost':>4}  recovered"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this one (repeat for more)")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--bundle", default="", help="policy of the cases with System 1 (default: the one for reach)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write there what the nodes print")


def run(args: argparse.Namespace) -> int:
    """Run the cases; 0 when every one is contained, 1 when not. Raises SoArmError."""
    return run_live(args)


def run_live(args: argparse.Namespace) -> int:
    """Run the live cases: `args.case` (names, a list), `args.json` (a path or None); `args.bundle`, `args.log` if any.

    Returns 0 when every case is contained, 1 when not. Raises SoArmError.
    """
    if getattr(args, "list", False):
        for case in LIVE_CASES:
            print(f"{case.name:26} {case.expect.value:14} {case.text}")
        return 0
    names = [args.case] if isinstance(args.case, str) else list(args.case or [])
    cases = [case_of(name) for name in names] or LIVE_CASES
    _check_folder("--json", args.json)
    signal.signal(signal.SIGTERM, _interrupt)
    results: list[LiveResult] = []
    log = _Log(getattr(args, "log", None))
    with own_domain() as domain:
        print(f"{len(cases)} live faults on ROS domain {domain}\n\n{COLUMNS}", flush=True)
        for result in run_cases(cases, log, getattr(args, "bundle", "") or ""):
            results.append(result)
            print(row(result), flush=True)
    bad = [result for result in results if result.outcome is not Outcome.CONTAINED]
    if args.json is not None:
        args.json.write_text(json.dumps([_plain(r) for r in results], indent=1) + "\n", encoding="utf-8")
    print(f"\n{len(results) - len(bad)} of {len(results)} contained")
    return FAILED if bad else 0


def row(result: LiveResult) -> str:
    """Return the line of one case, and one more for each thing that was wrong."""
    stands = "-" if result.standstill_ms is None else f"{result.standstill_ms:.0f}"
    latched = f" ({result.latched})" if result.latched else ""
    figures = f"{stands:>9} {result.overshoot_rad:8.3f} {result.peak:6.3f} {result.arm_peak:5.2f} {result.lost:4}"
    line = f"{result.case:26} {result.outcome.value:14} {figures}  {result.recovered}{latched}"
    return "\n".join([line, *(f"    {text}" for text in (*result.problems, result.note) if text)])


def _plain(result: LiveResult) -> dict[str, object]:
    """Return a result as JSON can write it: no NaN, no infinity."""
    values = {**asdict(result), "outcome": result.outcome.value}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _check_folder(option: str, path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise ConfigError(f"{option}: got {path}, expected a file in a folder that exists")


class _Log:
    """Writes what the nodes print into a file, if there is one to be."""

    def __init__(self, path: Path | None) -> None:
        _check_folder("--log", path)
        self._path = path
        if path is not None:
            path.write_text("", encoding="utf-8")

    def __call__(self, node: str, line: str) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{node:18} | {line}\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt
