"""A whole bag through a policy and the supervisor: what came of it, as a value."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.bags import messages
from so_arm_policy.evaluate.bags.again import Again
from so_arm_policy.evaluate.bags.horizon import HorizonError
from so_arm_policy.evaluate.bags.judge_again import JudgeAgain
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.recent import Parity
from so_arm_policy.evaluate.bags.roles import Event, Roles
from so_arm_policy.evaluate.bags.timed import Timed
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.safety.config import SupervisorConfig

MODES = ("auto", "again", "timed")
DECISIONS = ("context", "chunk", "system1_tick", "supervisor_tick")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What came of one bag.

    mode: "again": the recorded decisions were made again; "timed": a policy ran at the recorded times. parity: of each
    kind of decision, in the mode "again". errors: predicted against recorded actions. skipped: messages passed over.
    """

    mode: str
    joints: tuple[str, ...]
    dt_s: float
    parity: dict[str, Parity]
    errors: HorizonError
    actions: Counter[str]
    codes: Counter[str]
    latency_ms: dict[str, FloatArray]
    silences: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    damage: Counter[str] = field(default_factory=Counter)
    jumps: int = 0
    stops: int = 0


def evaluate_bag(
    bag: Bag,
    bundle: Bundle,
    robot: RobotConfig,
    roles: Roles,
    safety: SupervisorConfig,
    mode: str = "auto",
    instruction: str | None = None,
) -> Evaluation:
    """Run `bag` through `bundle` and the supervisor.

    mode: "auto" makes the recorded decisions again where the bag has them, else runs at the recorded times.
    instruction: for bags without one. Raises InputError for a bag that lacks a topic that is needed.
    """
    cameras = [] if mode == "again" else [f"camera {camera}" for camera in bundle.manifest.cameras]
    if mode == "auto":
        decided = all(set(roles.topic_of(role)) & set(bag.kinds) for role in DECISIONS)
        mode = "again" if decided and _bundle_of(roles) == bundle.manifest.id else "timed"
    words = ["instruction"] if mode == "timed" and instruction is None else []
    roles.require("joint_states", *cameras, *words, *(DECISIONS if mode == "again" else ()))
    errors = HorizonError(len(robot.joints))
    if mode == "again":
        judge = JudgeAgain(safety, robot, Parity())
        again = Again(bundle, robot, judge)
        _feed(roles, robot, again, errors)
        parity = {"contexts": again.contexts, "chunks": again.chunks, "verdicts": judge.parity}
        counts, latency = (judge.actions, judge.codes), again.latency_ms
        silences, jumps, stops = Counter[str](), 0, 0
    else:
        timed = Timed(bundle, robot, safety, instruction=instruction)
        _feed(roles, robot, timed, errors)
        parity, counts, latency = {}, (timed.actions, timed.codes), timed.latency_ms
        silences, jumps, stops = timed.silences, timed.jumps, timed.stops
    return Evaluation(
        mode=mode,
        joints=robot.joint_names,
        dt_s=bundle.manifest.dt_s,
        parity=parity,
        errors=errors,
        actions=counts[0],
        codes=counts[1],
        latency_ms={name: np.array(values) for name, values in latency.items()},
        silences=silences,
        skipped=roles.skipped,
        damage=bag.damage,
        jumps=jumps,
        stops=stops,
    )


def _feed(roles: Roles, robot: RobotConfig, runner: Again | Timed, errors: HorizonError) -> None:
    """Let `runner` hear the bag, and compare what it predicts with what was done."""
    timed, jumps = isinstance(runner, Timed), 0
    late: list[tuple[int, FloatArray]] = []  # recorded actions wait until the chunks before them are made again
    heard = False
    for event in roles.events():
        heard = True
        for chunk in runner.hear(event, roles):
            errors.predicted(chunk)
        if isinstance(runner, Timed) and runner.jumps != jumps:
            jumps = runner.jumps
            errors.forget()
            late.clear()
        if event.role == "action":
            late += _action(event, roles, robot, timed)
            while late and (timed or event.time_ns - late[0][0] > 2 * 10**9):
                errors.recorded(*late.pop(0))
    if isinstance(runner, Again):
        for chunk in runner.finish():
            errors.predicted(chunk)
    for item in late:
        errors.recorded(*item)
    if not heard:
        raise InputError("bag: got no message of any use, expected joints and pictures; see --topics")


def _action(event: Event, roles: Roles, robot: RobotConfig, timed: bool) -> Iterator[tuple[int, FloatArray]]:
    """Yield when an action was made and what it was, (n,) rad; nothing, and counted, for one that cannot be used."""
    try:
        command = messages.motor_command(event.message, robot)
    except InputError as error:
        roles.unusable(event, error)
        return
    if not command.limp:
        yield event.time_ns if timed else messages.stamp_ns(event.message.header.stamp), command.q


def _bundle_of(roles: Roles) -> str:
    """Return the bundle that made the first context of the bag."""
    return next((str(e.message.bundle_id) for e in roles.events() if e.role == "context"), "")
