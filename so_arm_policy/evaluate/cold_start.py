"""How long a fresh process takes until a bundle's graph has inferred once. This module is also that process."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError, DeviceError, SoArmError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.graphs import system1_spec, system2_spec
from so_arm_policy.policy.providers import Provider

SYSTEMS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """Durations of one process, ms, in this order; `second` is an inference that has nothing to wait for.

    imports: from the start of the process until its modules are there. bundle: hashes and golden outputs, on the CPU.
    session: the graph on its provider, engines and golden outputs included. first: the first inference.
    """

    imports: float
    bundle: float
    session: float
    first: float
    second: float

    @property
    def total(self) -> float:
        """From the start of the process to the end of the first inference, ms."""
        return self.imports + self.bundle + self.session + self.first


def measure(bundle: Path, system: int, provider: Provider, threads: int = 1) -> ColdStart:
    """Start a process that runs System `system` of `bundle` once. Raises ConfigError, and DeviceError when it fails."""
    if system not in SYSTEMS:
        raise ConfigError(f"system: got {system}, expected one of {list(SYSTEMS)}")
    asked = {"bundle": str(bundle), "system": system, "threads": threads, "provider": asdict(provider)}
    began_ns = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(asked)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise DeviceError(f"cold start: got exit code {done.returncode} and {last!r}, expected an inference")
    # The monotonic clock is that of the machine, so times of two processes can be subtracted.
    times = [began_ns, *json.loads(done.stdout.splitlines()[-1])]
    names = ColdStart.__dataclass_fields__
    spans = (b - a for a, b in zip(times, times[1:], strict=False))
    return ColdStart(**{name: span / 1e6 for name, span in zip(names, spans, strict=True)})


def run(asked: Mapping[str, Any]) -> list[int]:
    """Do in this process what `measure` asked for; returns when each part was done, monotonic ns. Raises SoArmError."""
    times = [time.monotonic_ns()]
    bundle = load_bundle(asked["bundle"])
    times.append(time.monotonic_ns())
    spec = (system1_spec if asked["system"] == 1 else system2_spec)(bundle.manifest)
    provider = from_mapping(Provider, asked["provider"], "provider")
    open_graph = bundle.system1_session if asked["system"] == 1 else bundle.system2_session
    session = open_graph(asked["threads"], provider)
    arrays = golden.read_golden(bundle.read(golden.FILE_NAME), spec)
    feed = {name: arrays[name] for name in spec.inputs}
    times.append(time.monotonic_ns())
    for _ in range(2):
        session.run(list(spec.outputs), feed)
        times.append(time.monotonic_ns())
    return times


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
    except SoArmError as error:
        sys.exit(f"error: {error}")
