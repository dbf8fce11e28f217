"""`so-arm scaling`: how loss and success follow from size and number of demonstrations."""

import argparse
import dataclasses
import logging
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn import train_command
from so_arm_policy.learn.closed_loop import ClosedLoop
from so_arm_policy.learn.families import family_config
from so_arm_policy.learn.recipe import System2, Training
from so_arm_policy.learn.scaling.grid import (
    Point,
    append_point,
    flops_each,
    lasting,
    missing,
    read_points,
    share,
    sized,
    train_point,
)
from so_arm_policy.learn.scaling.law import LEAST_POINTS, Fit, fit_law
from so_arm_policy.learn.scaling.plot import draw_scaling


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command: those of `so-arm train`, and the grid."""
    train_command.configure(parser)
    parser.set_defaults(steps=3000)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 192], help="sizes of System 1")
    parser.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[50, 200, 800, 3200],
        help="numbers of demonstrations: --steps are for the most, fewer get their share",
    )
    parser.add_argument(
        "--success-episodes", type=int, default=0, help="tries in closed loop at each point, 0 for none"
    )
    parser.add_argument(
        "--budget", type=float, default=1e15, help="floating point operations to name the best size for"
    )


def run(args: argparse.Namespace) -> int:
    """Train what the grid lacks, fit the law, draw it, and print the best size for the budget."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    _check(args)
    training = train_command.prepare(args)
    out = args.out or Path("out") / "scaling" / f"{training.name}_{args.family}"
    path = out / "points.jsonl"
    todo = missing(read_points(path), args.widths, args.counts)
    system2 = training.system2() if todo else None
    for width, count in todo:
        assert system2 is not None
        steps = share(args.steps, count, max(args.counts))
        append_point(path, _point(training, system2, width, count, steps, args.success_episodes))
    points = read_points(path)
    fit = None
    if len(points) >= LEAST_POINTS:
        fit = fit_law([p.parameters for p in points], [p.demonstrations for p in points], [p.loss for p in points])
    draw_scaling(points, fit, out / "scaling.png")
    print(table(points))
    if fit is not None:
        print(verdict(fit, points, args.budget))
    print(f"drawn in {out / 'scaling.png'}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Fail before the work, not after it."""
    default = family_config(args.family)()
    for width in args.widths:
        sized(default, width)
    if not (args.budget > 0.0 and args.success_episodes >= 0 and min(args.counts) > 0):
        got = f"counts {args.counts}, {args.success_episodes} success episodes, budget {args.budget}"
        raise ConfigError(f"scaling: got {got}, expected positive counts and budget, no negative number of episodes")


def _point(training: Training, system2: System2, width: int, count: int, steps: int, episodes: int) -> Point:
    """Train and judge one point of the grid."""
    config = dataclasses.replace(system2.config, expert=sized(system2.config.expert, width))
    folder = training.run / "scaling" / f"{training.family}_{width}_{count}"
    expert, point = train_point(config, lasting(config.action, steps), training.lessons, system2.context, count, folder)
    if not episodes:
        return point
    loop = ClosedLoop(training.lessons.names, folder / "best", training.jobs, episodes)
    training.export(system2.encoder, expert, loop.candidate)
    rates = loop.judge()
    return dataclasses.replace(point, success=sum(rates.values()) / len(rates))


def table(points: list[Point]) -> str:
    """Return the points as text for people."""
    lines = [f"{'width':>6s} {'parameters':>11s} {'demonstrations':>15s} {'loss':>8s} {'success':>8s} {'minutes':>8s}"]
    for p in points:
        success = "-" if p.success is None else f"{100 * p.success:.0f} %"
        lines.append(
            f"{p.width:6d} {p.parameters:11,d} {p.demonstrations:15,d} {p.loss:8.4f} {success:>8s} {p.minutes:8.1f}"
        )
    return "\n".join(lines)


def verdict(fit: Fit, points: list[Point], budget: float) -> str:
    """Return the law with its intervals and the best size for `budget` floating point operations, as text."""
    if not budget > 0.0:
        raise InputError(f"scaling: got a budget of {budget}, expected a positive number of operations")
    each = flops_each(points)
    law = fit.law
    parts = [
        f"{name} {getattr(law, name):.3g} ({low:.3g} .. {high:.3g})"
        for name in ("floor", "a", "alpha", "b", "beta")
        for low, high in [fit.interval(name)]
    ]
    n, d = law.best_size(budget, each)
    return (
        "L(N, D) = floor + a / N^alpha + b / D^beta, 95 % bootstrap intervals: " + ", ".join(parts) + "\n"
        f"best for {budget:.3g} operations: {n:,.0f} parameters, {d:,.0f} demonstrations, loss {law.loss(n, d):.4f}"
    )
