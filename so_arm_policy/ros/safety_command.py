"""`so-arm safety`: stop the arm, let it go on, choose who moves it."""

import argparse

from std_srvs.srv import Trigger

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros import topics
from so_arm_policy.ros.operator import call, operator
from so_arm_policy.srv import SelectSource


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("estop", "reset", "select"), help="estop latches until reset")
    parser.add_argument("source", nargs="?", help="for select: system1, pid, hold, ...")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for the supervisor")


def run(args: argparse.Namespace) -> int:
    """Call the service; 0 when it was done, 1 when the supervisor refused."""
    if (args.action == "select") != (args.source is not None):
        raise ConfigError(f"safety {args.action}: got source {args.source!r}, expected one for select only")
    services = {"estop": topics.ESTOP, "reset": topics.RESET, "select": topics.SELECT}
    request = SelectSource.Request(source=args.source) if args.source else Trigger.Request()
    with operator(args.namespace) as node:
        done, message = call(node, services[args.action], request, args.timeout)
    print(message)
    return 0 if done else 1
