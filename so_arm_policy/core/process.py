"""Facts about a running process."""

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def rss_mib(pid: int | None = None) -> float:
    """Resident memory of process `pid` (by default this one) in MiB; nan when there is no such process."""
    try:
        fields = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()
    except OSError:
        return float("nan")
    return int(fields[1]) * PAGE_BYTES / 2**20
