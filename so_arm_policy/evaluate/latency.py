"""How long the graphs of the shipped bundles take, as `bench/models.py` measured it on one machine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping


@dataclass(frozen=True, kw_only=True)
class Times:
    """Inferences of one graph file. sha256: of that file; ms; late of due inferences were not done when the next was.

    due is 0 where the graph ran back to back.
    """

    sha256: str
    p50_ms: float
    p99_ms: float
    inferences: int
    due: int = 0
    late: int = 0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """command: what measured; machine, software: where and with what; graphs: by bundle, then by file name."""

    command: str
    machine: str
    software: str
    graphs: dict[str, dict[str, Times]]

    def of(self, bundle: str, files: Mapping[str, str], name: str) -> Times | None:
        """Return the times of file `name` of `bundle`, or None where none, or another file, was measured.

        files: the hashes of the bundle's manifest.
        """
        times = self.graphs.get(bundle, {}).get(name)
        return times if times is not None and times.sha256 == files.get(name) else None


def read_latency(path: Path) -> Latency:
    """Read what `bench/models.py` wrote. Raises InputError."""
    try:
        return from_mapping(Latency, json.loads(path.read_text(encoding="utf-8")), "latency")
    except (OSError, ValueError, ConfigError) as error:
        raise InputError(f"{path}: got {error}, expected the figures that bench/models.py writes") from error
