"""When and how the supervisor's verdicts become SafetyStatus messages."""

from rclpy.publisher import Publisher

from so_arm_policy.msg import SafetyStatus
from so_arm_policy.ros import convert
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Verdict

PERIOD_TICKS = 12
QUIET_TICKS = 4  # verdicts that alternate from tick to tick are not worth a message each; a change of mode always is


def moves(msg: SafetyStatus, source: str) -> bool:
    """Whether `source` moves the arm: it was selected, or stands in as the fallback."""
    return msg.source == source and msg.state in (SafetyStatus.ACTIVE, SafetyStatus.FALLBACK)


def stands(msg: SafetyStatus) -> bool:
    """Whether nobody moves the arm: it is held or stopped, or a person has selected `hold` for a pause."""
    return msg.state not in (SafetyStatus.ACTIVE, SafetyStatus.FALLBACK) or msg.source == "hold"


class StatusWriter:
    """Publishes a status ten times a second, and at once when something changes."""

    def __init__(self, publisher: Publisher) -> None:
        """publisher: of safety/status."""
        self._publisher = publisher
        self._since = PERIOD_TICKS
        self._mode: tuple[int, str, bool] | None = None
        self._reason: tuple[str, ...] = ()

    def update(self, supervisor: Supervisor, verdict: Verdict, now_ns: int, black_box: str = "") -> None:
        """Look at the verdict of one tick. black_box: path of the newest bag, or ""."""
        self._since += 1
        mode = (int(verdict.mode), verdict.source, verdict.limp)
        reason = (verdict.code, *verdict.doubts)
        changed = mode != self._mode or (reason != self._reason and self._since > QUIET_TICKS)
        if changed or self._since >= PERIOD_TICKS:
            self._since, self._mode, self._reason = 0, mode, reason
            self._publisher.publish(status_msg(supervisor, verdict, now_ns, black_box))


def status_msg(supervisor: Supervisor, verdict: Verdict, now_ns: int, black_box: str = "") -> SafetyStatus:
    """Return the status after `verdict`; begins a new period of the worst margin."""
    counts = {code: n for code, n in supervisor.counts.items() if n}
    msg = SafetyStatus(
        state=int(verdict.mode),
        source=verdict.source,
        verdict=verdict.action.value,
        reason_code=verdict.code,
        reason_text=verdict.text,
        rules=list(counts),
        counts=list(counts.values()),
        passed=supervisor.passed,
        black_box=black_box,
        doubts=list(verdict.doubts),
        slowed=verdict.slowed,
        limp=verdict.limp,
        worst_margin=supervisor.take_worst_margin(),
    )
    msg.header.stamp = convert.time_msg(now_ns)
    return msg
