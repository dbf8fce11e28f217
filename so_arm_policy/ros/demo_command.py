"""`so-arm demo`: the full stack in simulation, told one thing after another; a summary, a report, an exit code."""

import argparse
import json
import math
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from so_arm_policy.core.errors import ConfigError, SoArmError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.evaluate.controllers import tasks_of
from so_arm_policy.evaluate.demo_summary import DemoSummary, summarise_demo, table
from so_arm_policy.evaluate.director import shortest_run_s
from so_arm_policy.evaluate.film import write_film
from so_arm_policy.evaluate.recording import Kill, Recording
from so_arm_policy.evaluate.report import write_report
from so_arm_policy.evaluate.sight import Sight, sights
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.manifest import FAMILIES
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros.crafted import CRAFTED
from so_arm_policy.ros.demo_run import DemoPlan, NodeLog, run_demo
from so_arm_policy.ros.domain import own_domain
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import SIMULATED, StackOptions, resolved
from so_arm_policy.sim.tasks import TASKS, make_task
from so_arm_policy.sim.tasks.task import Task

FAILED = 1
MAX_DURATION_S = 3600.0  # everything heard is kept in memory


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--duration", type=float, default=60.0, help="length of the run, seconds")
    parser.add_argument("--task", default="reach", choices=sorted(TASKS), help="what is asked of the robot")
    parser.add_argument(
        "--family",
        default="flow",
        choices=(*FAMILIES, *CRAFTED),
        help=f"kind of policy, where no bundle is named; {', '.join(CRAFTED)}: hand-crafted, no policy",
    )
    parser.add_argument("--bundle", help="policy: shipped name or folder (default: one for the task and the family)")
    parser.add_argument(
        "--robot",
        default="sim",
        choices=SIMULATED,
        help="sim: MuJoCo follows the commands; feetech-sim: a driver moves simulated servos by serial packets",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene, and of the order of instructions")
    parser.add_argument("--film", type=float, default=60.0, help="film so much of the beginning, seconds; 0: nothing")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the report")
    parser.add_argument("--bag", metavar="FOLDER", help="record every topic into it, as `so-arm record` does; new")
    parser.add_argument(
        "--kill", action="append", default=[], metavar="NODE@SECONDS", help="kill a node at that time (repeat for more)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo. Returns 0 when the arm did its job, 1 when not. Raises SoArmError."""
    task = make_task(args.task)
    least_s = shortest_run_s(task.time_limit_s)
    if not least_s <= args.duration <= MAX_DURATION_S:
        expected = f"{least_s:g} (one try) to {MAX_DURATION_S:.0f} seconds"
        raise ConfigError(f"--duration: got {args.duration:g}, expected {expected}")
    if not 0.0 <= args.film < math.inf:
        raise ConfigError(f"--film: got {args.film:g}, expected seconds, 0 or more")
    if args.bag and os.path.lexists(args.bag):
        raise ConfigError(f"--bag: got {args.bag}, which exists, expected a new folder")
    options, bundle = _who(args, task)
    who = bundle.manifest.id if bundle else args.family
    robot = load_robot(options.description)
    specs = stack(options)
    plan = DemoPlan(
        specs=specs,
        robot=robot,
        bundle_id=who,
        source=options.control_source,
        task=task,
        seed=args.seed,
        duration_s=args.duration,
        kills=parse_kills(args.kill, specs, args.duration),
    )
    out = make_folder(args.out)
    signal.signal(signal.SIGTERM, _interrupt)
    with own_domain() as domain:
        print(f"demo of {task.name} with {who}: {args.duration:g} s, seed {args.seed}, domain {domain}")
        log = NodeLog(out / "nodes.log")
        try:
            recording = run_demo(plan, log, lambda text: print(text, flush=True))
        finally:
            log.close()
    summary = summarise_demo(recording)
    print_summary(summary)
    _write(out, recording, summary, bundle, args.film)
    if args.bag:
        print(f"bag:    {args.bag}")
    print("the arm did its job" if not summary.problems else f"NOT GOOD ENOUGH: {'; '.join(summary.problems)}")
    return FAILED if summary.problems else 0


def _who(args: argparse.Namespace, task: Task) -> tuple[StackOptions, Bundle | None]:
    """Return the stack, and the policy in it, if any. Raises ConfigError for a task that it does not know."""
    options = StackOptions(
        robot=args.robot,
        bundle=args.bundle or "",
        family=args.family,
        task=task.name,
        seed=args.seed,
        record=bool(args.bag),
        bag=args.bag or "",
    )
    if args.family in CRAFTED:
        if args.bundle:
            raise ConfigError(f"--bundle: got {args.bundle!r}, expected none with --family {args.family}")
        options, bundle = replace(options, control_source=CRAFTED[args.family]), None
        can = tasks_of(args.family) or ()
    else:
        options = resolved(options)
        bundle = load_bundle(Path(options.bundle))
        can = bundle.manifest.tasks
    if task.name not in can:
        raise ConfigError(
            f"--task: got {task.name!r}, expected one of {list(can)} with that {'bundle' if bundle else 'family'}"
        )
    return resolved(options), bundle


def parse_kills(texts: Sequence[str], specs: Sequence[NodeSpec], duration_s: float) -> tuple[Kill, ...]:
    """Read NODE@SECONDS. Raises ConfigError."""
    names = [spec.name for spec in specs]
    kills = []
    for text in texts:
        node, _, seconds = text.rpartition("@")
        try:
            time_s = float(seconds)
        except ValueError:
            time_s = math.nan
        if node not in names or not 0.0 <= time_s < duration_s:
            raise ConfigError(
                f"--kill: got {text!r}, expected NODE@SECONDS, a node of {names}, 0 <= s < {duration_s:g}"
            )
        kills.append(Kill(node=node, time_s=time_s))
    return tuple(kills)


def make_folder(path: Path) -> Path:
    """Make the folder for the outputs before the work. Raises ConfigError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: got {path} ({error.strerror}), expected a folder that can be made") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"--out: got {path}, expected a folder that can be written to")
    return path


def print_summary(summary: DemoSummary) -> None:
    """Print the table."""
    print(f"\ntasks done: {summary.tasks_done} / {summary.tasks_tried}")
    for row in table(summary):
        print(f"  {row.name:18} {row.value}{f'  ({row.note})' if row.note else ''}")
    print()


def _write(out: Path, recording: Recording, summary: DemoSummary, bundle: Bundle | None, film_s: float) -> None:
    """Write summary.json, the film and the page; a part that cannot be made is named, and the rest is written."""
    print("drawing the report ...", flush=True)
    (out / "summary.json").write_text(json.dumps(to_mapping(summary), indent=1) + "\n", encoding="utf-8")
    film: Path | None = None
    views: Sequence[Sight] = ()
    try:
        if film_s > 0.0:
            write_film(recording, out / "demo.gif", end_s=film_s)
            film = out / "demo.gif"
    except SoArmError as error:
        print(f"no film: {error}")
    try:
        views = sights(recording, bundle) if bundle else ()
    except SoArmError as error:
        print(f"no view of System 2: {error}")
    write_report(out / "report.html", recording, summary, views, film)
    print(f"report: {out / 'report.html'}")
    if film:
        print(f"film:   {film}")
    print(f"figures: {out / 'summary.json'}, output of the nodes: {out / 'nodes.log'}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End like Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt
