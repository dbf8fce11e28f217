"""What keeps the tick thread on time. All of it is optional and none of it is fatal where it is not permitted."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.params import parameter

Log = Callable[[str], object]

BACKGROUND_NICE = 5
PR_SET_TIMERSLACK = 29
MCL_CURRENT, MCL_FUTURE = 1, 2
SWITCH_INTERVAL_S = 0.0005  # a callback may keep the tick thread from the interpreter this long; Python's own is 5 ms


@dataclass(frozen=True, kw_only=True)
class RealtimeConfig:
    """How the process asks the kernel for punctuality."""

    fifo_priority: int = parameter(0, "SCHED_FIFO priority of the tick thread; 0: normal scheduler", low=0, high=99)
    nice: int = parameter(0, "niceness of the tick thread under the normal scheduler", low=-20, high=19)
    lock_memory: bool = parameter(False, "lock all memory, so that the tick thread meets no page fault")
    cpus: str = parameter("", "CPU numbers the tick thread may use, e.g. '1' or '0,1'; empty for all")

    def __post_init__(self) -> None:
        """Refuse text that names no CPUs."""
        if not all(part.isdecimal() for part in self.cpus.split(",") if self.cpus):
            raise ConfigError(f"parameter 'realtime.cpus': got {self.cpus!r}, expected numbers such as '0,1'")


def prepare_process(config: RealtimeConfig, warn: Log) -> None:
    """Call once when everything is loaded: the collector stops looking at what is there to stay."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if config.lock_memory:
        _try(_lock_memory, "lock memory", "raise the memlock limit (ulimit -l, /etc/security/limits.conf)", warn)


def prepare_tick_thread(config: RealtimeConfig, warn: Log) -> None:
    """Call in the tick thread before its first tick."""
    thread = 0  # Linux: the calling thread
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    if config.cpus:
        wanted = {int(part) for part in config.cpus.split(",")}
        _try(lambda: os.sched_setaffinity(thread, wanted), f"stay on CPU {config.cpus}", "name CPUs that exist", warn)
    if config.fifo_priority:
        parameters = os.sched_param(config.fifo_priority)
        _try(
            lambda: os.sched_setscheduler(thread, os.SCHED_FIFO, parameters),
            f"run under SCHED_FIFO {config.fifo_priority}",
            "raise the rtprio limit (ulimit -r, /etc/security/limits.conf)",
            warn,
        )
    elif config.nice:
        _try(
            lambda: os.setpriority(os.PRIO_PROCESS, thread, config.nice),
            f"run at nice {config.nice}",
            "raise the nice limit (ulimit -e, /etc/security/limits.conf)",
            warn,
        )


def stay_in_background() -> None:
    """Call in a thread whose work may wait, such as pictures and inferences: ticks of all nodes go first."""
    os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + BACKGROUND_NICE, 19))


def _lock_memory() -> None:
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _try(action: Callable[[], object], what: str, remedy: str, warn: Log) -> None:
    try:
        action()
    except OSError as error:
        warn(f"not permitted to {what} ({error.strerror}); running without it. To allow it, {remedy}.")
