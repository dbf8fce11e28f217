"""`so-arm compare`: learned policies and hand-crafted controllers on the same seeds, behind the same supervisor."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.cells import ALL, cells_of
from so_arm_policy.evaluate.compare.comparison import RESULTS, TIMING, Comparison
from so_arm_policy.evaluate.compare.curve_plot import write_curves
from so_arm_policy.evaluate.compare.curves import curves
from so_arm_policy.evaluate.compare.journal import Journal
from so_arm_policy.evaluate.compare.learning_curve import LearningCurve, learning_curves, read_trials
from so_arm_policy.evaluate.compare.learning_curve_plot import write_learning_curves
from so_arm_policy.evaluate.compare.page.choice import representatives
from so_arm_policy.evaluate.compare.page.clips import FOLDER, Clip, clips
from so_arm_policy.evaluate.compare.page.figures import write_figures
from so_arm_policy.evaluate.compare.page.page import Made, plain, write_page
from so_arm_policy.evaluate.compare.rows import EpisodeRow, Identity, TimingRow
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.compare.summary import CellSummary, compare_pairs, summarise
from so_arm_policy.evaluate.compare.text import report
from so_arm_policy.evaluate.controllers import CONTROLLERS
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.evaluate.graded import GRADED, conditions
from so_arm_policy.sim.tasks import TASKS
from so_arm_policy.sim.tasks.task import SPLITS

DEFAULT_TASKS = ("reach", "track", "pick_place")
DEFAULT_CLIPS = 36


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
    parser.add_argument(
        "--perturb",
        nargs="+",
        metavar="NAME=STRENGTH,...",
        help=f"what is made harder and by how much, one after the other: of {', '.join(GRADED)}; without strengths its "
        "sensible ones; 0 is undisturbed",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    # Handled by cli.py: the graph is a layer above this one.
    parser.add_argument("--ros", action="store_true", help="also through the live graph, in real time, beside lockstep")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/compare"),
        metavar="FOLDER",
        help="where every episode is kept, and report.html; episodes that are there already are not run again",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--clips", type=int, default=DEFAULT_CLIPS, metavar="N", help="at most so many moving pictures in the report"
    )
    shown.add_argument("--no-clips", dest="clips", action="store_const", const=0, help="a report of still pictures")
    parser.add_argument(
        "--learning-curve",
        type=Path,
        metavar="FILE",
        help="show this table of `so-arm learning-curve` in the report, too",
    )
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="write its pictures into it, too")


def run(args: argparse.Namespace) -> int:
    """Run what is missing in the folder, report on all of it, and print what it says. Raises SoArmError."""
    if not args.clips >= 0:
        raise ConfigError(f"--clips: got {args.clips}, expected at least 0")
    seeds = parse_seeds(args.seeds)
    cells, left_out = cells_of(args.tasks, args.controllers)
    learning = learning_of(args)
    settings = Settings(split=args.split, all_objects=args.all_objects)
    rows, timing = run_missing(args, settings, cells, seeds)
    cell_summaries = summarise(rows, timing)
    print(report(cell_summaries, compare_pairs(rows), left_out))
    print(f"\nevery episode: {args.out / RESULTS}; what the clock said: {args.out / TIMING}")
    if args.figures:
        written = _figures(args.figures, cell_summaries, rows) + write_learning_curves(args.figures, learning)
        print(f"figures: {', '.join(map(str, written))}")
    print(f"report: {write_report(args, settings, rows, timing, left_out, learning)}")
    return 0


def learning_of(args: argparse.Namespace) -> list[LearningCurve]:
    """Return the learning curves that the report is to show. Raises SoArmError."""
    return learning_curves(read_trials(args.learning_curve)) if args.learning_curve else []


def run_missing(
    args: argparse.Namespace, settings: Settings, cells: Sequence[Identity], seeds: Sequence[int]
) -> tuple[list[EpisodeRow], list[TimingRow]]:
    """Run what is missing in the folder and return all that it has. Raises SoArmError."""
    with Journal(args.out, settings) as journal:
        comparison = Comparison(journal, args.out, cells, seeds, conditions(args.perturb))
        done = comparison.total - len(comparison.jobs)
        with tqdm(total=comparison.total, initial=done, unit="episode", dynamic_ncols=True) as bar:
            for outcome in comparison.run(settings, args.jobs):
                bar.set_postfix_str(f"{outcome.row.controller} on {outcome.row.task}", refresh=False)
                bar.update()
        return comparison.write()


def write_report(
    args: argparse.Namespace,
    settings: Settings,
    rows: Sequence[EpisodeRow],
    timing: Sequence[TimingRow],
    left_out: Sequence[str],
    learning: Sequence[LearningCurve],
) -> Path:
    """Write report.html and return its path. Raises ConfigError."""
    made = Made(command=command_of(args), settings=settings, left_out=tuple(left_out))
    shown = _clips(rows, settings, args.out / FOLDER, args.clips)
    return write_page(args.out, rows, timing, made, shown, learning)


def _figures(folder: Path, cells: Sequence[CellSummary], rows: Sequence[EpisodeRow]) -> list[Path]:
    undisturbed = [cell for cell in cells if not cell.perturbation]
    written = write_figures(folder, undisturbed, plain(rows)) if undisturbed else []
    return written + write_curves(folder, curves(cells))


def command_of(args: argparse.Namespace) -> str:
    """Return the command that `args` were read from, with every choice that changes an episode or the page."""
    words = ["so-arm", "compare", "--tasks", *args.tasks, "--controllers", *args.controllers]
    words += ["--seeds", args.seeds, "--split", args.split, *(["--all-objects"] if args.all_objects else [])]
    words += ["--perturb", *args.perturb] if args.perturb else []
    words += ["--ros"] if args.ros else []
    words += ["--learning-curve", str(args.learning_curve)] if args.learning_curve else []
    return shlex.join([*words, "--jobs", str(args.jobs), "--out", str(args.out)])


def _clips(rows: Sequence[EpisodeRow], settings: Settings, folder: Path, most: int) -> list[Clip]:
    chosen = representatives(plain(rows), most)
    return list(tqdm(clips(chosen, settings, folder), total=len(chosen), unit="clip", disable=not chosen))
