"""The rules in their order. The first that fails decides; a new rule is a file and a row here."""

from collections.abc import Callable
from dataclasses import dataclass

from so_arm_policy.safety import bands, continuity, doubt, plant, schema, sources, timing
from so_arm_policy.safety.case import Case, Tick
from so_arm_policy.safety.values import Finding


@dataclass(frozen=True)
class Rule:
    """One subject. tick: looks at clocks, measured state and faults; proposal: looks at one proposal."""

    name: str
    tick: Callable[[Tick], Finding | None] | None
    proposal: Callable[[Case], Finding | None] | None


RULES: tuple[Rule, ...] = (
    Rule("schema", schema.check_tick, schema.check_proposal),
    Rule("time", timing.check_tick, timing.check_proposal),
    Rule("source", sources.check_tick, sources.check_proposal),
    Rule("plant", plant.check_tick, None),
    Rule("continuity", None, continuity.check_proposal),
    Rule("limit", None, bands.check_proposal),
    Rule("policy", None, doubt.check_proposal),  # what passes here goes through the limiter
)
TICK_CHECKS = tuple(rule.tick for rule in RULES if rule.tick)
PROPOSAL_CHECKS = tuple(rule.proposal for rule in RULES if rule.proposal)

# Every reason a verdict other than PASS can give; a Fault brings its own code besides.
REASONS: dict[str, str] = {
    "schema.state": "measured state with a wrong length or a value that is not finite",
    "schema.length": "proposal with a wrong number of names or values",
    "schema.nonfinite": "proposal with NaN or infinity",
    "schema.names": "proposal with a wrong, missing or double joint name",
    "schema.score": "proposal with a score that is negative or not finite",
    "time.tick": "the monotonic clock did not advance: no motion in this tick, or braking, if the ROS clock did",
    "time.burst": "ticks faster than time passes: no motion in this tick",
    "time.stall": "a tick came too late, unless the ROS clock knows better: the arm stands, the source must join again",
    "time.clock_back": "the ROS clock went back",
    "time.clock_paused": "the ROS clock stands still",
    "time.no_state": "no measured state yet",
    "time.state_stale": "measured state too old",
    "time.state_future": "measured state stamped ahead of now",
    "time.state_backwards": "measured state older than an earlier one",
    "time.zero": "proposal with an empty stamp",
    "time.future": "proposal stamped ahead of now",
    "time.before_reset": "proposal, or what it was made from, is older than the last reset",
    "time.stale": "proposal too old on arrival",
    "time.silent": "no new proposal within the timeout",
    "time.observation": "proposal made from a measurement that is too old",
    "time.repeated": "new proposal with the stamp of the previous one",
    "time.backwards": "proposal stamped before the previous one",
    "time.sequence": "proposal with a repeated or smaller sequence number",
    "time.gap": "no new proposal in this tick: bridged for one tick with the velocity of the last one",
    "source.unknown_publisher": "somebody else writes to a command topic",
    "source.mismatch": "proposal in the name of another source",
    "plant.report": "motors that no longer say how they are, or not for each joint",
    "plant.torque_off": "a motor without torque",
    "plant.temperature": "a motor too hot",
    "plant.voltage": "supply voltage too low or too high",
    "plant.jump": "a reading further from the last than the joint can have moved",
    "plant.frozen": "readings that stand still while the command moves on",
    "plant.following": "a joint too far behind its command for too long",
    "plant.stall": "a joint that presses with too much load for too long",
    "continuity.far": "first command far from the arm",
    "continuity.blend": "the source was let in; the command moves to it within limits",
    "limit.position_band": "position far outside its limits",
    "limit.step_band": "position far from the present command",
    "limit.position": "position slightly outside its limits",
    "limit.velocity": "faster than the velocity limit",
    "limit.acceleration": "change of velocity above the acceleration limit",
    "limit.jerk": "change of acceleration above the jerk limit",
    "limit.braking": "too fast to stop before a position limit, or to stop accelerating before the velocity limit",
    "geometry.self": "would come too near to itself",
    "geometry.table": "would press on the table",
    "geometry.arms": "would come too near to the other arm",
    "geometry.hands": "would press its hand on the other's",
    "geometry.keep_out": "would come too near to a keep-out volume",
    "policy.novelty": "what the policy sees is unlike what it saw when it succeeded",
    "policy.disagreement": "the policy wants something else than a moment before",
    "policy.context_age": "the policy acts on old pictures",
    "estop.request": "emergency stop asked for",
}


def first_of_tick(tick: Tick) -> Finding | None:
    """Return what is wrong with the tick itself, or None."""
    for check in TICK_CHECKS:
        finding = check(tick)
        if finding is not None:
            return finding
    return None


def first_of_proposal(case: Case) -> Finding | None:
    """Return what is wrong with the proposal, or None."""
    for check in PROPOSAL_CHECKS:
        finding = check(case)
        if finding is not None:
            return finding
    return None
