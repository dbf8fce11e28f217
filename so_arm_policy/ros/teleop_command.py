"""`so-arm teleop`: the clutch between a leader arm and the arm that follows it."""

import argparse

from std_srvs.srv import SetBool

from so_arm_policy.ros import topics
from so_arm_policy.ros.operator import call, operator


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("engage", "release"), help="engage: come to the leader, slowly, then follow")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for the teleop node")


def run(args: argparse.Namespace) -> int:
    """Call the service; 0 when it was done, 1 when it was refused."""
    request = SetBool.Request(data=args.action == "engage")
    with operator(args.namespace) as node:
        done, message = call(node, topics.CLUTCH, request, args.timeout)
    print(message)
    return 0 if done else 1
