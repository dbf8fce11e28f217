"""The groups of faults and all cases; a new case is a row in its group's file, a new group a file and a row here."""

from collections.abc import Iterator

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.faults import arbitration, chunks, clocks, configs, estop, hardware, motion, stamps, values
from so_arm_policy.evaluate.faults.case import FaultCase

GROUPS: dict[str, tuple[FaultCase, ...]] = {
    "values": values.CASES,
    "configs": configs.CASES,
    "motion": motion.CASES,
    "stamps": stamps.CASES,
    "clocks": clocks.CASES,
    "chunks": chunks.CASES,
    "arbitration": arbitration.CASES,
    "estop": estop.CASES,
    "hardware": hardware.CASES,
}


def every_case() -> Iterator[tuple[str, FaultCase]]:
    """Yield the group and each case of it."""
    for group, cases in GROUPS.items():
        for case in cases:
            yield group, case


def find(name: str) -> FaultCase:
    """Return the case called `name`. Raises ConfigError."""
    for _, case in every_case():
        if case.name == name:
            return case
    raise ConfigError(f"faults: got case {name!r}, expected one of {sorted(case.name for _, case in every_case())}")


def chosen(group: str | None = None, name: str | None = None) -> list[tuple[str, FaultCase]]:
    """Return all cases, those of one group, or the one of a name. Raises ConfigError."""
    if group is not None and group not in GROUPS:
        raise ConfigError(f"faults: got group {group!r}, expected one of {list(GROUPS)}")
    if name is not None:
        find(name)
    return [(g, case) for g, case in every_case() if group in (None, g) and name in (None, case.name)]
