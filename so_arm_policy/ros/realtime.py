"""What keeps the tick thread on time. All of it is optional and none of it is fatal where it is not permitted."""

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.params import parameter

Log = Callable[[str], object]

BACKGROUND_NICE = 5
PR_SET_TIMERSLACK = 29
MCL_CURRENT, MCL_FUTURE = 1, 2
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # number of the system call, which older C libraries do not name
SWITCH_INTERVAL_S = 0.0005  # a callback may keep the tick thread from the interpreter this long; Python's own is 5 ms


class _SchedAttr(ctypes.Structure):
    """What sched_setattr(2) takes."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


@dataclass(frozen=True, kw_only=True)
class RealtimeConfig:
    """How the process asks the kernel for punctuality."""

    fifo_priority: int = parameter(0, "SCHED_FIFO priority of the tick thread; 0: normal scheduler", low=0, high=99)
    nice: int = parameter(0, "niceness of the tick thread under the normal scheduler", low=-20, high=19)
    slice_us: int = parameter(100, "time slice to ask for: short ones begin sooner; 0: the usual", low=0, high=100_000)
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
    if config.slice_us:
        for thread in os.listdir("/proc/self/task"):
            ask_for_slice(config.slice_us * 1000, int(thread))
    if config.lock_memory:
        _try(_lock_memory, "lock memory", "raise the memlock limit (ulimit -l, /etc/security/limits.conf)", warn)


def prepare_tick_thread(config: RealtimeConfig, warn: Log) -> None:
    """Call in the tick thread before its first tick."""
    thread = 0  # Linux: the calling thread
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    if config.slice_us:
        ask_for_slice(config.slice_us * 1000)
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


def ask_for_slice(slice_ns: int, thread: int = 0) -> None:
    """Ask for time slices of `slice_ns`, 0 for the usual ones, for a thread, by default the calling one.

    Short slices are no more processor time, only sooner, and need no privilege. Kernels before 6.12 ignore it.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if number is not None:
        nice = os.getpriority(os.PRIO_PROCESS, thread)
        attributes = _SchedAttr(size=ctypes.sizeof(_SchedAttr), policy=os.SCHED_OTHER, nice=nice, runtime=slice_ns)
        ctypes.CDLL(None).syscall(number, thread, ctypes.byref(attributes), 0)


def stay_in_background() -> None:
    """Call in a thread whose work may wait, such as pictures and inferences: ticks of all nodes go first."""
    ask_for_slice(0)
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
