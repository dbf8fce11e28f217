"""`so-arm compare --ros`: the same comparison through the live graph, and how that differs from lockstep."""

import argparse
import signal
from collections.abc import Sequence
from types import FrameType

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate import compare_command
from so_arm_policy.evaluate.compare.journal import LiveJournal
from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.live.summary import summarise_live
from so_arm_policy.evaluate.compare.live.table import LIVE
from so_arm_policy.evaluate.compare.live.text import live_report
from so_arm_policy.evaluate.compare.rows import EpisodeRow, Identity
from so_arm_policy.evaluate.compare.run import Settings, end_workers
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.ros.demo_run import NodeLog
from so_arm_policy.ros.domain import own_domain
from so_arm_policy.ros.live_cells import live_cells
from so_arm_policy.ros.live_compare import LiveComparison

DEFAULT_SEEDS = "1000:1005"  # in real time, and with a table to lay for each
LOG = "live_nodes.log"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `so-arm compare`."""
    compare_command.configure(parser)
    parser.set_defaults(seeds=DEFAULT_SEEDS, ros=True)


def run(args: argparse.Namespace) -> int:
    """Run in lockstep and then live what is missing in the folder; print live beside lockstep. Raises SoArmError."""
    if args.perturb:
        raise ConfigError(f"--perturb: got {' '.join(args.perturb)} with --ros, expected none: the graph has no such")
    if not args.clips >= 0:
        raise ConfigError(f"--clips: got {args.clips}, expected at least 0")
    seeds = parse_seeds(args.seeds)
    cells, left_out = live_cells(args.tasks, args.controllers)
    learning = compare_command.learning_of(args)
    settings = Settings(split=args.split, all_objects=args.all_objects)
    signal.signal(signal.SIGTERM, _interrupt)
    print(f"in lockstep: {len(cells) * len(seeds)} episodes", flush=True)
    rows, timing = compare_command.run_missing(args, settings, cells, seeds)
    end_workers()
    live = _run_live(args, settings, cells, seeds)
    print("\n" + "\n".join([live_report(summarise_live(live, rows)), *(f"left out: {text}" for text in left_out)]))
    print(f"\nevery live episode: {args.out / LIVE}; output of the nodes: {args.out / LOG}")
    print(f"report: {compare_command.write_report(args, settings, rows, timing, left_out, learning)}")
    return 0


def _run_live(
    args: argparse.Namespace, settings: Settings, cells: Sequence[Identity], seeds: Sequence[int]
) -> list[LiveRow]:
    with LiveJournal(args.out, settings) as journal, own_domain() as domain:
        comparison = LiveComparison(journal, args.out, cells, seeds)
        print(f"live: {len(comparison.jobs)} of {comparison.total} episodes to run, domain {domain}", flush=True)
        log = NodeLog(args.out / LOG)
        try:
            for row in comparison.run(settings, log, lambda text: print(text, flush=True)):
                print(line(row), flush=True)
        finally:
            log.close()
        return comparison.write()


def line(row: EpisodeRow) -> str:
    """Return the line for one live episode."""
    told = f"success in {row.time_s:.2f} s" if row.time_s is not None else f"{row.failure_stage}: {row.failure_reason}"
    return f"  {row.controller:10} {row.task:10} {row.seed:6}  {row.instruction:28} {told}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt
