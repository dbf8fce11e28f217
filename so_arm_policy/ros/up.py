"""The stack as processes, where there is no `ros2 launch`: started, watched, started again, stopped cleanly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.process import rss_mib
from so_arm_policy.ros.decisions import forget
from so_arm_policy.ros.environment import ros_environment
from so_arm_policy.ros.node_spec import PACKAGE, NodeSpec

UNUSABLE = 2  # a node's exit code: starting it again would not help (see ros/run.py)
PARENT_VARIABLE = "SO_ARM_PARENT_PID"
QUICK_S = 10.0  # a node that ran this long starts again at once; one that did not waits longer each time
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
GIVE_UP = 5  # quick deaths in a row
# Not SIGINT: in a node that is still importing it would raise in the midst of whatever library is just loading.
STOP_SIGNALS = ((signal.SIGTERM, 6.0), (signal.SIGKILL, 2.0))

Log = Callable[[str, str], None]


@dataclass
class _Child:
    """One node's process and its history."""

    spec: NodeSpec
    process: "subprocess.Popen[str] | None" = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    quick_deaths: int = 0
    restarts: int = 0
    exit_codes: list[int] = field(default_factory=list)


class Stack:
    """Runs NodeSpecs as processes. Call `poll` a few times a second; one thread owns it.

    log(node, line) gets each line the nodes print, from threads of their own, and what happens to them.
    failure: why the stack cannot go on, or "".
    """

    def __init__(self, specs: Iterable[NodeSpec], log: Log, *, restart: bool = True) -> None:
        """Raises ConfigError for two nodes of one name."""
        children = [_Child(spec) for spec in specs]
        self._children = {child.spec.name: child for child in children}
        if len(self._children) != len(children):
            raise ConfigError(f"stack: got nodes {[c.spec.name for c in children]}, expected different names")
        self._log = log
        self._restart = restart
        self._environment = {**ros_environment(), "PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(os.getpid())}
        self.failure = ""
        self.unusable = False

    def __enter__(self) -> "Stack":
        """Start on entering a with block."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop on leaving it."""
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the nodes that run, by node name."""
        running = {name: c.process for name, c in self._children.items()}
        return {name: p.pid for name, p in running.items() if p is not None and p.poll() is None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each node was started again, by node name."""
        return {name: child.restarts for name, child in self._children.items()}

    @property
    def exit_codes(self) -> dict[str, list[int]]:
        """Exit codes of all ended runs, by node name; negative for a signal."""
        return {name: list(child.exit_codes) for name, child in self._children.items()}

    def rss_mib(self) -> dict[str, float]:
        """Resident memory of the nodes that run, MiB."""
        return {name: rss_mib(pid) for name, pid in self.pids.items()}

    def start(self) -> None:
        """Start all nodes."""
        for child in self._children.values():
            self._start(child)

    def poll(self) -> bool:
        """Take note of nodes that died and start them again when it is time; False once the stack has failed."""
        now = time.monotonic()
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                self._on_death(child, now)
            if child.process is None and child.start_at is not None and now >= child.start_at and not self.failure:
                child.restarts += 1
                self._start(child)
        return not self.failure

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to one node, by default the one it cannot catch. Raises ConfigError."""
        if name not in self._children:
            raise ConfigError(f"stack: got node {name!r}, expected one of {sorted(self._children)}")
        process = self._children[name].process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def stop(self) -> None:
        """Ask every node to end, then less and less politely; returns when all have."""
        alive = [c for c in self._children.values() if c.process is not None]
        for number, patience_s in STOP_SIGNALS:
            alive = [c for c in alive if c.process is not None and c.process.poll() is None]
            for child in alive:
                assert child.process is not None
                child.process.send_signal(number)
            if number == signal.SIGKILL and alive:
                self._log("up", f"still running: {', '.join(c.spec.name for c in alive)}; sending SIGKILL")
            deadline = time.monotonic() + patience_s
            while any(c.process is not None and c.process.poll() is None for c in alive):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                child.exit_codes.append(child.process.returncode)
                child.process = None
                child.start_at = None
            forget(str(child.spec.parameters.get("decisions", "")))

    def _start(self, child: _Child) -> None:
        module = f"{PACKAGE}.ros.{child.spec.executable}_node"
        child.process = subprocess.Popen(
            [sys.executable, "-m", module, *child.spec.ros_arguments()],
            env={**self._environment, **child.spec.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        )
        child.started_at, child.start_at = time.monotonic(), None
        assert child.process.stdout is not None
        reader = threading.Thread(target=self._read, args=(child.spec.name, child.process.stdout), daemon=True)
        reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._log(name, line.rstrip("\n"))

    def _on_death(self, child: _Child, now: float) -> None:
        assert child.process is not None
        code, child.process = child.process.returncode, None
        child.exit_codes.append(code)
        name = child.spec.name
        child.quick_deaths = child.quick_deaths + 1 if now - child.started_at < QUICK_S else 1
        if code == UNUSABLE:
            self.failure, self.unusable = f"{name} cannot run with what it was given (exit code {code})", True
        elif not self._restart:
            self.failure = f"{name} ended ({_how(code)})"
        elif child.quick_deaths >= GIVE_UP:
            self.failure = f"{name} kept dying ({_how(code)}), {child.quick_deaths} times in a row"
        else:
            wait_s = min(FIRST_WAIT_S * 2 ** (child.quick_deaths - 1), LONGEST_WAIT_S)
            child.start_at = now + (wait_s if now - child.started_at < QUICK_S else 0.0)
            self._log("up", f"{name} ended ({_how(code)}); starting it again")
        if self.failure:
            self._log("up", self.failure)


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
