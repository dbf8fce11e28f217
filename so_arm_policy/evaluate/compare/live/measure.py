"""From what was heard of a live episode to its row."""

import json

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.ticks import percentile_ms
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.evaluate.compare.failures import TIMEOUT, failure_stage
from so_arm_policy.evaluate.compare.live.heard import Heard, Stamped, Verdicts
from so_arm_policy.evaluate.compare.live.poses import Poses
from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.metrics import (
    fingertip_path_length,
    fingertip_speed,
    least_clearance,
    path_length,
    per_minute,
    tracking_error,
)
from so_arm_policy.evaluate.compare.rows import CLEARANCE_EVERY_TICKS, DT_S, Identity, Metrics
from so_arm_policy.evaluate.compare.trace import Trace
from so_arm_policy.evaluate.smoothness import log_dimensionless_jerk, spectral_arc_length
from so_arm_policy.evaluate.statistics import percentile
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.tasks.task import Episode, TaskStatus

TICK_NS = NS // CONTROL_HZ
SLACK_TICKS = 2  # between what two processes count of the same episode


def live_row(
    who: Identity, episode: Episode, limit_s: float, heard: Heard, poses: Poses, clearance: Clearance
) -> LiveRow:
    """Return the row of an episode that ran to its end. limit_s: time limit of the task, simulated."""
    time_s, last, ticks = heard.time_s(limit_s), heard.readings[-1], heard.ticks(limit_s)
    latency = latencies_ms(heard.proposals, heard.pictures)
    late = heard.supervisor.lateness
    interventions, reasons = judged(heard.verdicts, heard.commands)
    return LiveRow(
        **vars(who),
        **vars(_metrics(heard, ticks, poses, clearance)),
        seed=episode.seed,
        instruction=episode.instruction,
        success=time_s is not None,
        time_s=time_s,
        final_distance_m=last.distance_m,
        held_s=last.held_s,
        ticks=ticks,
        contexts=heard.contexts,
        inferences=heard.inferences,
        failure_stage=None if time_s is not None else _stage(heard, episode, poses),
        failure_reason=None if time_s is not None else stopped_by(heard.verdicts),
        interventions_per_min=interventions,
        reasons=json.dumps(reasons, sort_keys=True),
        real_time_factor=ticks / CONTROL_HZ / heard.wall_s,
        latency_p50_ms=percentile(latency, 50),
        latency_p99_ms=percentile(latency, 99),
        context_p50_ms=percentile(heard.context_ms, 50),
        context_p99_ms=percentile(heard.context_ms, 99),
        supervisor_ticks=heard.supervisor.ticks,
        supervisor_missed=heard.supervisor.missed,
        tick_p50_ms=percentile_ms(late, 50) if late else None,
        tick_p99_ms=percentile_ms(late, 99) if late else None,
        tick_p999_ms=percentile_ms(late, 99.9) if late else None,
        lateness_10us=json.dumps({str(place): late[place] for place in sorted(late)}),
        source_missed=heard.source.missed,
        simulator_missed=heard.simulator.missed,
    )


def latencies_ms(proposals: np.ndarray, pictures: np.ndarray) -> list[float]:
    """Return from each picture to the first of the commands that follow from it, ms.

    proposals: (P, 2) ns, when it was made and the oldest measurement behind it; pictures: (K,) ns, when each was taken.
    Joints may have the stamp of a picture, but only one command follows from them, within a tick.
    """
    found, taken = [], set(pictures.tolist())
    for first in np.flatnonzero(np.diff(proposals[:, 1], prepend=-1)):
        made_ns, seen_ns = proposals[first].tolist()
        again = first + 1 < len(proposals) and proposals[first + 1, 1] == seen_ns
        if again and seen_ns in taken and made_ns - seen_ns > TICK_NS:
            found.append((made_ns - seen_ns) / 1e6)
    return found


def judged(verdicts: tuple[Verdicts, ...], commands: Stamped) -> tuple[float | None, dict[str, int]]:
    """Return the supervisor's interventions a minute, and their counts by reason.

    Every verdict comes with a command, and both with the stamp of its tick. Doubts are counted by reason while they
    last, though they change nothing: so what did not pass is all ticks
    less those passed. None where commands were lost.
    """
    if len(verdicts) < 2:
        return None, {}
    first, last = verdicts[0], verdicts[-1]
    passed = last.passed - first.passed
    ticks = int(((commands.stamps_ns > first.stamp_ns) & (commands.stamps_ns <= last.stamp_ns)).sum())
    grown = {code: count - first.counts.get(code, 0) for code, count in last.counts.items()}
    reasons = {code: count for code, count in grown.items() if count}
    if not 0 <= passed <= ticks or ticks == 0:
        return None, reasons
    return per_minute(ticks - passed, ticks), reasons


def paired(commands: Stamped, joints: Stamped) -> FloatArray:
    """Return the command that led from each row of `joints` to the next, (T, n) rad: the newest one before that.

    NaN for the last row, and where there was none yet.
    """
    found = np.full_like(joints.values, np.nan)
    newest = np.searchsorted(commands.stamps_ns, joints.stamps_ns[1:], side="right") - 1
    known = newest >= 0
    found[:-1][known] = commands.values[newest[known]]
    return found


def whole(stream: Stamped) -> bool:
    """Whether a message came for every tick between the first and the last."""
    if len(stream) < 2:
        return False
    ticks = (int(stream.stamps_ns[-1]) - int(stream.stamps_ns[0])) / TICK_NS
    return abs(len(stream) - 1 - ticks) <= 1.0


def stopped_by(verdicts: tuple[Verdicts, ...]) -> str:
    """Return what ended a failure: the supervisor, where it let nothing move in the last second, or a timeout."""
    last = [each for each in verdicts if each.stamp_ns > verdicts[-1].stamp_ns - NS]
    return TIMEOUT if any(each.moving for each in last) else f"supervisor: {last[-1].code}"


def _metrics(heard: Heard, ticks: int, poses: Poses, clearance: Clearance) -> Metrics:
    joints, commands = heard.joints, heard.commands
    if len(joints) < 2:
        return Metrics()
    if (np.diff(joints.stamps_ns) < 0).any() or (np.diff(commands.stamps_ns) < 0).any():
        raise ShapeError("live episode: got stamps that go back, expected messages in order")
    tips = poses.fingertips(joints.values)
    nearest = least_clearance(joints.values, clearance, CLEARANCE_EVERY_TICKS)
    told = (commands.stamps_ns >= joints.stamps_ns[0]) & (commands.stamps_ns < joints.stamps_ns[-1] + TICK_NS)
    sent = Stamped(stamps_ns=commands.stamps_ns[told], values=commands.values[told])
    even = abs(len(joints) - ticks) <= SLACK_TICKS
    return Metrics(
        joint_path_rad=path_length(joints.values),
        tip_path_m=fingertip_path_length(tips),
        log_dimensionless_jerk=log_dimensionless_jerk(sent.values, DT_S) if whole(sent) else None,
        sparc=spectral_arc_length(fingertip_speed(tips, DT_S), DT_S) if even else None,
        tracking_error_rad=tracking_error(paired(commands, joints), joints.values),
        clearance_m=nearest.distance_m,
        clearance_kind=nearest.kind,
    )


def _stage(heard: Heard, episode: Episode, poses: Poses) -> str:
    """Return how far a failure came, from the states of the simulator, 30 a second."""
    if not len(heard.states):
        return "start"
    q = poses.joints(heard.states)
    unknown = np.full_like(q, np.nan)
    statuses = [TaskStatus(success=False, distance_m=r.distance_m, held_s=r.held_s) for r in heard.readings]
    trace = Trace(
        q=q,
        dq=unknown,
        torque=unknown,
        commands=unknown,
        fingertips=poses.fingertips(q),
        objects=poses.objects(heard.states),
        verdicts=(),
        statuses=tuple(statuses),
    )
    return failure_stage(trace, episode.goal)
