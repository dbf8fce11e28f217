"""`so-arm evaluate-bag`: a bag's observations through a policy and the supervisor, beside what was recorded."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.bags import report
from so_arm_policy.evaluate.bags.evaluation import MODES, Evaluation, evaluate_bag
from so_arm_policy.evaluate.bags.playback import read_names
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.roles import ROLES, Roles
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.robot.description import load_robot, load_yaml
from so_arm_policy.safety.config import SupervisorConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bag", type=Path, help="folder of the bag, or its .mcap or .db3 file")
    parser.add_argument("--bundle", required=True, help="policy: path of a bundle, or the name of a shipped one")
    parser.add_argument("--robot", help="robot description (default: the bundle's robot)")
    parser.add_argument("--safety", default="safety.yaml", help="the supervisor's rules: a shipped file or a path")
    parser.add_argument(
        "--mode", choices=MODES, default="auto", help="make the recorded decisions again, or run at the recorded times"
    )
    roles = ", ".join(["CAMERA", *ROLES])
    parser.add_argument("--topics", default="", help=f"topics of others: ROLE=TOPIC, joined by commas; roles: {roles}")
    parser.add_argument("--joints", default="", help="joints of others: THEIRS=OURS, joined by commas")
    parser.add_argument("--namespace", help="of the topics (default: what the recorder noted)")
    parser.add_argument("--instruction", help="for bags without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of them to FILE")


def run(args: argparse.Namespace) -> int:
    """Print what came of it; 1 when recorded decisions came out otherwise, else 0."""
    path = find_shipped("bundles", args.bundle)
    robot = load_robot(args.robot or read_manifest(path).robot)
    robot = replace(robot, aliases={**robot.aliases, **read_names(args.joints, "--joints")})
    bundle = load_bundle(path, robot)
    rules = find_shipped("config", args.safety)
    safety = from_mapping(SupervisorConfig, load_yaml(rules), str(rules))
    bag = Bag(args.bag)
    roles = Roles(bag, robot, read_names(args.topics, "--topics"), args.namespace)
    result = evaluate_bag(bag, bundle, robot, roles, safety, args.mode, args.instruction)
    print("\n".join(report.lines(result)))
    for target, write in ((args.json, _write_json), (args.plot, report.plot)):
        if target is not None:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write(result, target)
            except OSError as error:
                raise ConfigError(f"{target}: got {error.strerror or error}, expected to write it") from error
            print(f"written: {target}")
    return int(any(parity.same < parity.compared for parity in result.parity.values()))


def _write_json(result: Evaluation, path: Path) -> None:
    path.write_text(json.dumps(report.as_mapping(result), indent=1) + "\n", encoding="utf-8")
