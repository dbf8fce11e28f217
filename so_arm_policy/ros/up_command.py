"""`so-arm up`: start the stack as processes and keep it running."""

import argparse
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack

POLL_S = 0.1
CLEAN = {0, -signal.SIGTERM}  # a node that was still starting has no handler for SIGTERM yet
COLORS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; those of the stack have the names of the launch files' arguments."""
    for option in dataclasses.fields(StackOptions):
        name, text = f"--{option.name.replace('_', '-')}", option.metadata["help"]
        if isinstance(option.default, bool):
            parser.add_argument(name, action="store_true", help=text)
        else:
            choices = option.metadata["choices"] or None
            parser.add_argument(name, type=type(option.default), default=option.default, choices=choices, help=text)
    parser.add_argument("--duration", type=float, default=0.0, help="stop after so many seconds; 0: run until Ctrl-C")
    parser.add_argument("--no-restart", action="store_true", help="stop everything when a node dies")


def run(args: argparse.Namespace) -> int:
    """Run until a signal or the end of the duration.

    Returns 0 when stopped on purpose and every node ended cleanly, 1 when a node kept dying or did not end cleanly,
    2 when a node cannot run with what it was given.
    """
    return run_specs(stack(options_from(args)), args.duration, restart=not args.no_restart)


def options_from(args: argparse.Namespace) -> StackOptions:
    """Return the stack that the command line asks for. Raises ConfigError."""
    return StackOptions(**{f.name: getattr(args, f.name) for f in dataclasses.fields(StackOptions)})


def run_specs(specs: Sequence[NodeSpec], duration_s: float, restart: bool, may_end: bool = False) -> int:
    """Run nodes until a signal or for `duration_s` (0: no end); return the exit code as `run`. Raises ConfigError.

    may_end: a node that ends by itself, without a failure, has done its work.
    """
    if not 0.0 <= duration_s < float("inf"):
        raise ConfigError(f"--duration: got {duration_s}, expected seconds, 0 or more")
    signals_seen = _note_signals()
    nodes = Stack(specs, _Printer([s.name for s in specs]), restart=restart)
    end_at = time.monotonic() + duration_s if duration_s else float("inf")
    with nodes:
        while nodes.poll() and time.monotonic() < end_at and not signals_seen:
            time.sleep(POLL_S)
        ended_before = {name: len(codes) for name, codes in nodes.exit_codes.items()}
    if may_end and all(codes == [0] for codes in nodes.exit_codes.values()):
        return 0
    return _exit_code(nodes, ended_before)


def _exit_code(nodes: Stack, ended_before: dict[str, int]) -> int:
    if nodes.failure:
        return 2 if nodes.unusable else 1
    unclean = {n: codes[-1] for n, codes in nodes.exit_codes.items() if not CLEAN.issuperset(codes[ended_before[n] :])}
    restarts = {name: count for name, count in nodes.restarts.items() if count}
    if restarts:
        print(f"started again: {', '.join(f'{n} {c} times' for n, c in restarts.items())}")
    if unclean:
        print(f"did not end cleanly: {unclean}", file=sys.stderr)
    return 1 if unclean else 0


def _note_signals() -> list[int]:
    # Not an Event: its lock may be held by the very step that a handler breaks into.
    seen: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: seen.append(number))
    return seen


class _Printer:
    """Prints lines with the name of their node before them, in its colour on a terminal."""

    def __init__(self, names: list[str]) -> None:
        width = max(map(len, names))
        colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._prefixes = {"up": f"{'up':{width}} | "}
        for i, name in enumerate(names):
            text = f"{name:{width}} | "
            self._prefixes[name] = f"\033[{COLORS[i % len(COLORS)]}m{text}\033[0m" if colored else text

    def __call__(self, name: str, line: str) -> None:
        with self._lock:
            print(self._prefixes[name] + line, flush=True)
