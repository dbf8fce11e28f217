"""The figures of a live run, and whether it was good enough."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.ticks import percentile_ms
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.recording import Kill, NodeRecord, Outcome, Recording
from so_arm_policy.evaluate.statistics import percentile

MIN_DONE_SHARE = 0.8
RATE_TOLERANCE = 0.01
MOVING_RAD = 1e-6  # a command that changes by less than this stands
STANDING_TICKS = 6
SUPERVISOR, SYSTEM1, SYSTEM2, SIMULATOR = "safety_supervisor", "system1", "system2", "simulator"
CRAFTED = ("planner", "servo", "cartesian_pid")
# Which messages show that a node works again after it was restarted; cameras are added by name.
STREAMS = {
    SUPERVISOR: "joint_command",
    SYSTEM1: "chunk",
    SYSTEM2: "context",
    SIMULATOR: "joint_states",
    **{source: f"proposal/{source}" for source in CRAFTED},
}


@dataclass(frozen=True, kw_only=True)
class KillEffect:
    """What came of killing one node. Times in s after the kill, None where it did not happen.

    hold_s: the supervisor declared a hold; still_s: the command stood, 0 when it did already; back_s: the node's
    messages came again; resumed_s: after that hold, the supervisor let the source act again. held: what it said when it
    held. tasks_after: tries done after the node was back.
    """

    node: str
    time_s: float
    hold_s: float | None
    still_s: float | None
    back_s: float | None
    resumed_s: float | None
    held: str
    tasks_after: int


@dataclass(frozen=True, kw_only=True)
class DemoSummary:
    """Figures of one run. Rates in Hz, times in ms unless named _s; None where nothing was heard.

    command_hz: as received at joint_command, not counting the outage of a supervisor killed on purpose.
    ticks, ticks_missed, lateness: of the supervisor's loop. context_age: from the oldest picture to the joints, at
    each chunk. stops: those that last until a reset, when and why. problems: why the run was not good
    enough; empty when it was.
    """

    duration_s: float
    tasks_done: int
    tasks_tried: int
    command_hz: float | None
    command_gap_max_ms: float | None
    command_gap_at_s: float | None
    ticks: int
    ticks_missed: int
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    lateness_max_ms: float | None
    inference_hz: float | None
    inference_p50_ms: float | None
    inference_p99_ms: float | None
    context_hz: float | None
    context_age_p50_ms: float | None
    context_age_p99_ms: float | None
    encode_p50_ms: float | None
    encode_p99_ms: float | None
    camera_hz: dict[str, float | None]
    passed: int
    verdicts: dict[str, int]
    stops: tuple[str, ...]
    restarts: dict[str, int]
    real_time_factor: float | None
    rss_mib: dict[str, float]
    kills: tuple[KillEffect, ...] = ()
    problems: tuple[str, ...] = field(default=())


def summarise_demo(recording: Recording) -> DemoSummary:
    """Return the figures of `recording`."""
    done = sum(t.outcome is Outcome.DONE for t in recording.tries)
    tried = sum(t.outcome is not Outcome.LATE for t in recording.tries)
    command_times = recording.arrivals.get("joint_command", np.zeros(0))
    command_hz = rate_hz(command_times, [kill.time_s for kill in recording.kills if kill.node == SUPERVISOR])
    gaps = np.diff(command_times)
    supervisor = recording.node(SUPERVISOR) or NodeRecord(name=SUPERVISOR)
    ages_ms = (1e3 * recording.context_age.values[:, 0]).tolist()
    return DemoSummary(
        duration_s=recording.duration_s,
        tasks_done=done,
        tasks_tried=tried,
        command_hz=command_hz,
        command_gap_max_ms=1e3 * float(gaps.max()) if len(gaps) else None,
        command_gap_at_s=float(command_times[gaps.argmax()]) if len(gaps) else None,
        ticks=supervisor.ticks,
        ticks_missed=supervisor.missed,
        lateness_p50_ms=_late_ms(supervisor, 50),
        lateness_p99_ms=_late_ms(supervisor, 99),
        lateness_max_ms=_late_ms(supervisor, 100),
        inference_hz=rate_hz(recording.arrivals.get("chunk", np.zeros(0))),
        inference_p50_ms=fact(recording, SYSTEM1, "inference_p50_ms"),
        inference_p99_ms=fact(recording, SYSTEM1, "inference_p99_ms"),
        context_hz=rate_hz(recording.arrivals.get("context", np.zeros(0))),
        context_age_p50_ms=percentile(ages_ms, 50),
        context_age_p99_ms=percentile(ages_ms, 99),
        encode_p50_ms=fact(recording, SYSTEM2, "inference_p50_ms"),
        encode_p99_ms=fact(recording, SYSTEM2, "inference_p99_ms"),
        camera_hz={name: rate_hz(recording.arrivals.get(name, np.zeros(0))) for name in recording.robot.camera_names},
        passed=recording.passed,
        verdicts=dict(sorted(recording.verdicts.items(), key=lambda item: -item[1])),
        stops=tuple(f"at {m.time_s:.1f} s: {m.reason}" for m in recording.modes if m.mode == "ESTOP"),
        restarts={node.name: node.starts - 1 for node in recording.nodes if node.starts > 1},
        real_time_factor=fact(recording, SIMULATOR, "real_time_factor"),
        rss_mib={node.name: node.rss_mib for node in recording.nodes if np.isfinite(node.rss_mib)},
        kills=tuple(kill_effect(recording, kill) for kill in recording.kills),
        problems=_problems(done, tried, command_hz, recording.failure),
    )


def rate_hz(times_s: FloatArray, outages_s: list[float] | None = None) -> float | None:
    """Return messages a second from the first to the last; intervals that hold an outage are left out."""
    if len(times_s) < 2:
        return None
    intervals = np.diff(times_s)
    keep = np.ones(len(intervals), dtype=bool)
    for outage_s in outages_s or []:
        keep &= ~((times_s[:-1] <= outage_s) & (outage_s < times_s[1:]))
    seconds = float(intervals[keep].sum())
    return int(keep.sum()) / seconds if seconds > 0 else None


def fact(recording: Recording, node: str, name: str) -> float | None:
    """Return a number out of a node's diagnostics, or None."""
    found = recording.node(node)
    try:
        value = float(found.facts[name]) if found else float("nan")
    except (KeyError, ValueError):
        return None
    return value if np.isfinite(value) else None


def kill_effect(recording: Recording, kill: Kill) -> KillEffect:
    """Return what came of killing one node: from the commands, the supervisor's mode and the node's own messages."""
    stream = STREAMS.get(kill.node, kill.node.removesuffix("_camera"))
    times = recording.arrivals.get(stream, np.zeros(0))
    back = times[times > kill.time_s + _already_sent_s(stream)]
    end_s = float(back[0]) if len(back) else recording.duration_s
    hold = next((m for m in recording.modes if kill.time_s <= m.time_s <= end_s and m.mode == "HOLD"), None)
    # Not "after the node was back": its first message may be recorded a moment later than what followed from it.
    resumed = next((m for m in recording.modes if hold and m.time_s > hold.time_s and m.mode == "ACTIVE"), None)
    return KillEffect(
        node=kill.node,
        time_s=kill.time_s,
        hold_s=hold.time_s - kill.time_s if hold else None,
        still_s=still_after_s(recording, kill.time_s, end_s),
        back_s=float(back[0]) - kill.time_s if len(back) else None,
        resumed_s=resumed.time_s - kill.time_s if resumed else None,
        held=hold.reason if hold else "",
        tasks_after=sum(t.outcome is Outcome.DONE and t.end_s > end_s for t in recording.tries),
    )


def _already_sent_s(stream: str) -> float:
    """Messages sent before a kill may arrive after it; no node comes back this soon."""
    return 0.3 if stream == "context" else 0.15


def still_after_s(recording: Recording, time_s: float, end_s: float) -> float | None:
    """Return how long after `time_s` the command stood, for several ticks on end; None if not before `end_s`."""
    part = recording.commands.between(time_s, end_s)
    if len(part) <= STANDING_TICKS:
        return None
    moving = np.abs(np.diff(part.values, axis=0)).max(axis=1) > MOVING_RAD
    for i in range(len(moving) - STANDING_TICKS + 1):
        if not moving[i : i + STANDING_TICKS].any():
            return float(part.times_s[i] - time_s) if i else 0.0
    return None


def _late_ms(node: NodeRecord, percent: float) -> float | None:
    value = percentile_ms(node.lateness, percent)
    return value if np.isfinite(value) else None


def _problems(done: int, tried: int, command_hz: float | None, failure: str) -> tuple[str, ...]:
    problems = []
    if not (tried and done >= MIN_DONE_SHARE * tried):
        problems.append(f"{done} of {tried} tasks were done, expected at least {MIN_DONE_SHARE:.0%}")
    if command_hz is None:
        problems.append("no commands came on joint_command")
    elif not abs(command_hz / CONTROL_HZ - 1.0) <= RATE_TOLERANCE:
        problems.append(f"commands came at {command_hz:.1f} Hz, expected {CONTROL_HZ} Hz +- {RATE_TOLERANCE:.0%}")
    if failure:
        problems.append(failure)
    return tuple(problems)


@dataclass(frozen=True)
class Row:
    """One line of the table: what, how much, and what to think of it."""

    name: str
    value: str
    note: str = ""


def table(summary: DemoSummary) -> list[Row]:
    """Return the summary as lines for people."""
    s = summary
    gap = f"{_number(s.command_gap_max_ms, 'ms')} at {_number(s.command_gap_at_s, 's')}"
    worst = _number(s.lateness_max_ms, "ms")
    encoding = _pair(s.encode_p50_ms, s.encode_p99_ms)
    rows = [
        Row("command rate", _number(s.command_hz, "Hz", 2), f"at joint_command, longest gap {gap}"),
        Row("missed ticks", f"{s.ticks_missed} of {s.ticks + s.ticks_missed}", "safety_supervisor, 120 Hz grid"),
        Row("tick lateness", _pair(s.lateness_p50_ms, s.lateness_p99_ms), f"p50 / p99, worst {worst}"),
        Row("inference rate", _number(s.inference_hz, "Hz"), "chunks of System 1"),
        Row("inference time", _pair(s.inference_p50_ms, s.inference_p99_ms), "p50 / p99, beside the tick"),
        Row("context rate", _number(s.context_hz, "Hz"), f"System 2, encoding p50 / p99 {encoding}"),
        Row(
            "context age",
            _pair(s.context_age_p50_ms, s.context_age_p99_ms),
            "p50 / p99, pictures to joints, at each chunk",
        ),
        Row("camera rates", _counts({n: _number(hz, "Hz") for n, hz in s.camera_hz.items()})),
        Row("passed unchanged", str(s.passed), "proposals"),
        Row("other verdicts", _counts(s.verdicts)),
        Row("stops", str(len(s.stops)), "; ".join(s.stops)),
        Row("restarts", _counts(s.restarts)),
        Row("real-time factor", _number(s.real_time_factor, "", 3), "of the simulator"),
        Row("memory", f"{sum(s.rss_mib.values()):.0f} MiB", _counts({n: f"{v:.0f}" for n, v in s.rss_mib.items()})),
    ]
    return rows + [Row(f"killed {k.node}", f"at {k.time_s:.1f} s", kill_text(k)) for k in s.kills]


def kill_text(effect: KillEffect) -> str:
    """Say in words what came of a kill."""
    if effect.node == SUPERVISOR:
        still = "no commands meanwhile, the robot side held by itself"
    elif effect.still_s is None:
        still = "the command never had to stop"
    elif effect.still_s == 0.0:
        still = "the command stood already"
    else:
        still = f"the command stood after {1e3 * effect.still_s:.0f} ms"
    hold = f"hold declared after {1e3 * effect.hold_s:.0f} ms, " if effect.hold_s is not None else ""
    back = f"back after {effect.back_s:.1f} s" if effect.back_s is not None else "never back"
    if effect.resumed_s is not None:
        back += f", followed again after {effect.resumed_s:.1f} s"
    return f"{hold}{still}, {back}, {effect.tasks_after} tasks done after that"


def _number(value: float | None, unit: str, digits: int = 1) -> str:
    return "none" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def _pair(first: float | None, second: float | None) -> str:
    return "none" if first is None or second is None else f"{first:.2f} / {second:.2f} ms"


def _counts(counts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
