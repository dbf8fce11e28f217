"""`so-arm compare`: learned policies and hand-crafted controllers on the same seeds, behind the same supervisor."""

import argparse
from pathlib import Path

from tqdm import tqdm

from so_arm_policy.evaluate.compare.cells import ALL, cells_of
from so_arm_policy.evaluate.compare.comparison import RESULTS, TIMING, Comparison
from so_arm_policy.evaluate.compare.journal import Journal
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.compare.summary import compare_pairs, summarise
from so_arm_policy.evaluate.compare.text import report
from so_arm_policy.evaluate.controllers import CONTROLLERS
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.sim.tasks import TASKS
from so_arm_policy.sim.tasks.task import SPLITS

DEFAULT_TASKS = ("reach", "track", "pick_place")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--tasks", nargs="+", default=list(DEFAULT_TASKS), metavar="TASK", help=f"of {', '.join(TASKS)}"
    )
    parser.add_argument(
        "--controllers",
        nargs="+",
        default=[ALL],
        metavar="NAME",
        help=f"{ALL}, or some of {', '.join(CONTROLLERS)}, or folders of bundles",
    )
    parser.add_argument("--seeds", default="1000:1050", help="FIRST:END (END not included), or numbers with commas")
    parser.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="which episodes, as of `so-arm eval`")
    parser.add_argument(
        "--all-objects", action="store_true", help="in scenes of every colour and kind, as `so-arm eval`"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/compare"),
        metavar="FOLDER",
        help="where every episode is kept; episodes that are there already are not run again",
    )


def run(args: argparse.Namespace) -> int:
    """Run what is missing in the folder, and print what all of it says. Raises SoArmError."""
    seeds = parse_seeds(args.seeds)
    cells, left_out = cells_of(args.tasks, args.controllers)
    settings = Settings(split=args.split, all_objects=args.all_objects)
    with Journal(args.out, settings) as journal:
        comparison = Comparison(journal, args.out, cells, seeds)
        done = comparison.total - len(comparison.jobs)
        with tqdm(total=comparison.total, initial=done, unit="episode", dynamic_ncols=True) as bar:
            for outcome in comparison.run(settings, args.jobs):
                bar.set_postfix_str(f"{outcome.row.controller} on {outcome.row.task}", refresh=False)
                bar.update()
        rows, timing = comparison.write()
    print(report(summarise(rows, timing), compare_pairs(rows), left_out))
    print(f"\nevery episode: {args.out / RESULTS}; what the clock said: {args.out / TIMING}")
    return 0
