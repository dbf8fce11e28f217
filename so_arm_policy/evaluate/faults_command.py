"""`so-arm faults`: put faults between a moving arm and its supervisor, and have an independent referee judge."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.evaluate.faults.bus import CASES, BusStage, bus_table
from so_arm_policy.evaluate.faults.case import SOURCES
from so_arm_policy.evaluate.faults.matrix import TICK_MS, Cell, cells_of, jobs_of, reactions_text, run_jobs
from so_arm_policy.evaluate.faults.report import write_report
from so_arm_policy.evaluate.faults.run import CaseResult
from so_arm_policy.evaluate.faults.table import GROUPS, chosen

NOT_CONTAINED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    which = parser.add_mutually_exclusive_group(required=True)
    # Handled by cli.py: the graph is a layer above this one.
    which.add_argument("--live", action="store_true", help="faults of whole processes on the ROS graph instead")
    which.add_argument("--bus", action="store_true", help="faults of the servo bus, under the real driver instead")
    which.add_argument("--all", action="store_true", help="every case")
    which.add_argument("--group", choices=list(GROUPS), help="the cases of one group")
    which.add_argument("--case", metavar="NAME", help="one case")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES), help="who moves the arm")
    parser.add_argument("--seeds", default="1000:1003", help="FIRST:END (END not included), or numbers with commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run and the matrix to FILE")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page to FILE")


def run(args: argparse.Namespace) -> int:
    """Run the cases and print the matrix; 1 when any is not contained. Raises SoArmError."""
    if args.bus:
        return run_bus(args)
    for path, option in ((args.json, "--json"), (args.report, "--report")):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise ConfigError(f"{option}: got {path}, expected a file in a folder that exists")
    sources = list(dict.fromkeys(args.sources))
    jobs = jobs_of(chosen(args.group, args.case), sources, parse_seeds(args.seeds))
    if not jobs:
        raise ConfigError(f"faults: got sources {sources}, expected some that case {args.case!r} has")
    results = list(tqdm(run_jobs(jobs, args.jobs), total=len(jobs), unit="run", dynamic_ncols=True))
    cells = cells_of(results)
    if args.json:
        _write_json(args.json, args.seeds, cells, results)
    if args.report:
        write_report(args.report, cells, args.seeds)
    print(matrix(cells, args.seeds))
    return 0 if all(cell.good for cell in cells) else NOT_CONTAINED


def run_bus(args: argparse.Namespace) -> int:
    """Run the faults of the servo bus and print their table; 1 when any is not as it must be. Raises SoArmError."""
    stage = BusStage()
    results = [stage.run(case) for case in tqdm(CASES, unit="case", dynamic_ncols=True)]
    if args.json:
        _write(args.json, {"bus": to_mapping(results)})
    print(bus_table(results))
    return NOT_CONTAINED if any(result.why for result in results) else 0


def matrix(cells: list[Cell], seeds: str) -> str:
    """Return the matrix as text for people: a line for each case and source, then what was not contained."""
    lines = [
        f"seeds {seeds}; reaction: ticks of {TICK_MS:.2f} ms until the command only gets slower, p50 p99 max;",
        "stands: ticks until it does not move; worst: of all limits, 1 is at the limit",
        "",
        f"{'group':12s}{'case':27s}{'source':9s}{'expected':18s}{'':11s}{'reaction':>20s}{'stands':>8s}{'worst':>10s}"
        "  reasons given",
    ]
    lines += [_line(cell) for cell in cells]
    bad = [cell for cell in cells if not cell.good]
    lines.append("")
    lines += [f"{cell.case} with {cell.source}: {'; '.join(cell.why)}" for cell in bad]
    lines += ["", *_summary(cells)]
    return "\n".join(lines)


def _line(cell: Cell) -> str:
    outcome = "contained" if cell.good else f"NOT {cell.runs - cell.contained}/{cell.runs}"
    reaction = "-"
    if cell.reactions:
        p50, p99, most = (float(cell.reaction(percent) or 0.0) for percent in (50, 99, 100))
        reaction = f"{p50:.0f} {p99:.0f} {most:.0f} ({most * TICK_MS:.0f} ms)"
    stands = "-" if cell.standstill_max is None else str(cell.standstill_max)
    worst = "-" if math.isnan(cell.worst) else f"{cell.worst:.3f}"
    expected = cell.expect if cell.allowed is None else f"{cell.expect} by {cell.allowed}"
    row = f"{cell.group:12s}{cell.case:27s}{cell.source:9s}{expected:18s}{outcome:11s}{reaction:>20s}{stands:>8s}"
    return f"{row}{worst:>10s}  {' '.join(cell.reasons)}".rstrip()


def _summary(cells: list[Cell]) -> list[str]:
    names = list(dict.fromkeys(cell.case for cell in cells))
    bad = {cell.case for cell in cells if not cell.good}
    worst = max((cell.worst for cell in cells if not math.isnan(cell.worst)), default=0.0)
    contained, runs = len(names) - len(bad), sum(cell.runs for cell in cells)
    return [f"{contained} of {len(names)} cases contained, {runs} runs, worst {worst:.3f}", *reactions_text(cells)]


def _write_json(path: Path, seeds: str, cells: list[Cell], results: list[CaseResult]) -> None:
    _write(path, {"seeds": seeds, "matrix": to_mapping(cells), "runs": to_mapping([_plain(r) for r in results])})


def _write(path: Path, data: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json: got {error}, expected a file that can be written") from error


def _plain(result: CaseResult) -> dict[str, Any]:
    return {"contained": result.contained, **to_mapping(result)}
