"""`so-arm learning-curve`: success against the number of demonstrations, with hand-crafted controllers as lines."""

import argparse
import dataclasses
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.compare.cells import cells_of
from so_arm_policy.evaluate.compare.comparison import Comparison
from so_arm_policy.evaluate.compare.journal import Journal
from so_arm_policy.evaluate.compare.learning_curve import learning_curves, lines, trials_of, write_trials
from so_arm_policy.evaluate.compare.learning_curve_plot import write_learning_curves
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.run import Settings
from so_arm_policy.evaluate.controllers import controller
from so_arm_policy.evaluate.eval_command import parse_seeds
from so_arm_policy.learn import train_command
from so_arm_policy.learn.families import FAMILIES, family_config
from so_arm_policy.learn.recipe import System2, Training
from so_arm_policy.learn.scaling.nested import check_counts, episodes_for, left_of
from so_arm_policy.learn.scaling.taught import Taught, teach
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.sim.tasks import TASKS

COUNTS = (10, 30, 100, 300, 1000, 2000)
BASELINES = ("planner", "planner_privileged", "pid", "pid_privileged")
TABLE, POLICIES, EPISODES = "learning_curve.csv", "bundles", "compare"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    steps = TrainConfig().action.steps
    parser.add_argument("tasks", help=f"what to learn, with commas: some of {', '.join(TASKS)}")
    parser.add_argument("--family", default="flow", help=f"kind of policy: {', '.join(FAMILIES)}")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=list(COUNTS), help="demonstrations of each task, growing"
    )
    parser.add_argument("--steps", type=int, default=steps, help="batches for System 1, at every count the same")
    parser.add_argument("--seeds", default="1000:1050", help="FIRST:END (END not included), or numbers with commas")
    parser.add_argument(
        "--baselines", nargs="*", default=list(BASELINES), metavar="NAME", help="controllers of so-arm compare"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and the order of demonstrations")
    parser.add_argument(
        "--scene-from",
        type=Path,
        metavar="PATH",
        help="bundle, or scene.pt of a run, whose System 2 all points have (default: the shipped so101_FAMILY)",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of datasets, one for each task")
    parser.add_argument(
        "--episodes", type=int, help="demonstrations of each task in it (default: all, or as many as --counts need)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. expert.width=256")
    parser.add_argument("--jobs", type=int, default=2, help="processes that collect and evaluate")
    parser.add_argument("--run", type=Path, help="folder of checkpoints (default runs/learning_curve_TASKS_SEED)")
    parser.add_argument("--out", type=Path, help="bundles, episodes, table (default out/learning_curve/TASKS_FAMILY)")
    # What so-arm train has beside these: here System 2 stays as it is, and System 1 begins anew.
    parser.set_defaults(scene_steps=0, action_from=None, scenes=[], watch_every=0, watch_episodes=1, name=None)


def run(args: argparse.Namespace) -> int:
    """Train what is missing, run the episodes that are missing, and write table and pictures. Raises SoArmError."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for noisy in ("onnxscript", "onnx_ir"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    training, seeds, out = prepare(args)
    print("\n".join(measure(training, training.system2(), args.counts, args.baselines, seeds, out)))
    return 0


def measure(
    training: Training,
    system2: System2,
    counts: Sequence[int],
    baselines: Sequence[str],
    seeds: Sequence[int],
    out: Path,
) -> list[str]:
    """Train and run what `out` lacks, write table and pictures there, and return what they say as text."""
    bundles = {out / POLICIES / f"{training.family}_{count:04d}": count for count in counts}
    taught = [teach(training, system2, count, bundle) for bundle, count in bundles.items()]
    learners = {str(bundle): count for bundle, count in bundles.items()}
    rows, left_out = _episodes(training.lessons.names, [*learners, *baselines], seeds, out / EPISODES, training.jobs)
    trials = trials_of(rows, learners)
    write_trials(out / TABLE, trials)
    curves = learning_curves(trials)
    drawn = ", ".join(map(str, write_learning_curves(out, curves)))
    return [
        *table(taught),
        "",
        *lines(curves),
        *(f"left out: {text}" for text in left_out),
        f"table: {out / TABLE}; figures: {drawn}",
    ]


def prepare(args: argparse.Namespace) -> tuple[Training, list[int], Path]:
    """Return the training, the seeds of the episodes and the folder; demonstrations that were missing are collected.

    Raises ConfigError or InputError before any training.
    """
    check_counts(args.counts)
    family_config(args.family)
    seeds = parse_seeds(args.seeds)
    tasks = [task.name for task in train_command.tasks_of(args.tasks)]
    for name in args.baselines:
        controller(name)
    label = "_".join(tasks)
    args.scene_from = args.scene_from or find_shipped("bundles", f"so101_{args.family}")
    args.run = args.run or Path("runs") / f"learning_curve_{label}_{args.seed}"
    if args.episodes is None:
        args.episodes = episodes_for(max(args.counts), [args.data / task for task in tasks])
    left = left_of(args.episodes, len(tasks))
    if left < max(args.counts):
        got = f"{max(args.counts)} of {args.episodes} demonstrations of each task"
        raise ConfigError(
            f"--counts: got {got}, expected at most {left}: the others are held out; give more --episodes"
        )
    training = train_command.prepare(args)
    out = args.out or Path("out") / "learning_curve" / f"{label}_{args.family}"
    return dataclasses.replace(training, origin=training.origin | {"command": command_of(args)}), seeds, out


def command_of(args: argparse.Namespace) -> str:
    """Return the command line that trains the same points again."""
    words = ["so-arm", "learning-curve", args.tasks, "--family", args.family, "--counts", *map(str, args.counts)]
    words += ["--steps", str(args.steps), "--seed", str(args.seed), "--episodes", str(args.episodes)]
    words += ["--scene-from", str(args.scene_from), *(word for each in args.set for word in ("--set", each))]
    return shlex.join(words)


def table(taught: Sequence[Taught]) -> list[str]:
    """Return how the trainings went, as text for people."""
    text = [f"{'demonstrations':>14s} {'steps':>6s} {'kept at':>8s} {'held-out loss':>14s} {'at last':>8s} {'min':>6s}"]
    for each in taught:
        losses = f"{each.loss:14.4f} {each.last_loss:8.4f}"
        text.append(f"{each.demonstrations:14d} {each.steps:6d} {each.kept_at:8d} {losses} {each.minutes:6.1f}")
    return text


def _episodes(
    tasks: Sequence[str], controllers: Sequence[str], seeds: Sequence[int], folder: Path, jobs: int
) -> tuple[list[EpisodeRow], list[str]]:
    """Let all of them act on the seeds; returns those episodes, and what was left out."""
    cells, left_out = cells_of(tasks, controllers)
    settings = Settings()
    with Journal(folder, settings) as journal:
        comparison = Comparison(journal, folder, cells, seeds)
        done = comparison.total - len(comparison.jobs)
        with tqdm(total=comparison.total, initial=done, unit="episode", mininterval=10.0) as bar:
            for _ in comparison.run(settings, jobs):
                bar.update()
        rows, _ = comparison.write()
    wanted = {(who.task, who.controller, seed) for who in cells for seed in seeds}
    return [row for row in rows if (row.task, row.controller, row.seed) in wanted], left_out
