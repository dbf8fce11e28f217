"""Who can be compared: learned policies and hand-crafted controllers in one table, each behind the same interface."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.agent import Agent
from so_arm_policy.evaluate.compare.rows import Identity
from so_arm_policy.evaluate.crafted_agents import (
    pid_agent,
    planner_agent,
    privileged_pid_agent,
    privileged_planner_agent,
    privileged_servo_agent,
    servo_agent,
)
from so_arm_policy.evaluate.hybrid_agent import HybridAgent
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.scripted_agents import expert_agent, hold_agent
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.manifest import FAMILIES, FILE_NAME, Manifest, read_manifest
from so_arm_policy.sim.tasks.task import Task

# What a controller knows of the scene: the true state, pictures only, or nothing.
PRIVILEGED, CAMERAS, NOTHING = "privileged", "cameras", "nothing"
SIGHTS = (PRIVILEGED, CAMERAS, NOTHING)
PLANNED, SERVOED = ("reach", "track", "pick_place", "sort", "handover"), ("reach", "track")
HAND_CRAFTED, SCRIPTED, LEARNED, HYBRID = "hand-crafted", "scripted", "learned", "hybrid"


@dataclass(frozen=True, kw_only=True)
class Controller:
    """One row of the table.

    make: returns who acts, for a task and its robot; called once for many episodes. kind: HAND_CRAFTED, SCRIPTED,
    LEARNED or HYBRID. sees: one of SIGHTS. tasks: names of those that it can do, None for every task; of a policy its
    manifest says so. bundle: path of a policy, or the name of a shipped one; bundle_of: of another one by task, such as
    one of another robot.
    """

    make: Callable[[Task, RobotConfig], Agent]
    kind: str
    sees: str
    tasks: tuple[str, ...] | None = None
    bundle: str | None = None
    bundle_of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a sight that there is not."""
        if self.sees not in SIGHTS:
            raise ConfigError(f"controller: got sees {self.sees!r}, expected one of {list(SIGHTS)}")

    def bundle_for(self, task: str) -> str | None:
        """Return the bundle that does `task`, if any does."""
        return self.bundle_of.get(task, self.bundle)


def learned(bundle: str, **bundle_of: str) -> Controller:
    """Return the row of a policy. bundle: path, or the name of a shipped one; looked for when it is made.

    bundle_of: another one for a task.
    """

    def make(task: Task, robot: RobotConfig) -> Agent:
        chosen = bundle_of.get(task.name, bundle)
        return PolicyAgent(load_bundle(find_shipped("bundles", chosen), robot), robot)

    return Controller(make=make, kind=LEARNED, sees=CAMERAS, bundle=bundle, bundle_of=bundle_of)


def backed(bundle: str) -> Controller:
    """Return the row of a policy with the planner behind it, which sees by the same cameras."""

    def make(task: Task, robot: RobotConfig) -> Agent:
        policy = load_bundle(find_shipped("bundles", bundle), robot)
        return HybridAgent(policy, robot, planner_agent(task, robot))

    return Controller(make=make, kind=HYBRID, sees=CAMERAS, bundle=bundle)


CONTROLLERS: dict[str, Controller] = {
    **{family: learned(f"so101_{family}") for family in FAMILIES},
    "flow": learned("so101_flow", handover="handover_flow"),
    "hybrid": backed("so101_flow"),
    "planner": Controller(make=planner_agent, kind=HAND_CRAFTED, sees=CAMERAS, tasks=PLANNED),
    "planner_privileged": Controller(make=privileged_planner_agent, kind=HAND_CRAFTED, sees=PRIVILEGED, tasks=PLANNED),
    "pid": Controller(make=pid_agent, kind=HAND_CRAFTED, sees=CAMERAS, tasks=("reach",)),
    "pid_privileged": Controller(make=privileged_pid_agent, kind=HAND_CRAFTED, sees=PRIVILEGED, tasks=("reach",)),
    "servo": Controller(make=servo_agent, kind=HAND_CRAFTED, sees=CAMERAS, tasks=SERVOED),
    "servo_privileged": Controller(make=privileged_servo_agent, kind=HAND_CRAFTED, sees=PRIVILEGED, tasks=SERVOED),
    "expert": Controller(make=expert_agent, kind=SCRIPTED, sees=PRIVILEGED),
    "hold": Controller(make=hold_agent, kind=HAND_CRAFTED, sees=NOTHING),
}


def controller(name: str) -> Controller:
    """Return the row called `name`, or one made for the folder of a bundle. Raises ConfigError that lists the names."""
    if name in CONTROLLERS:
        return CONTROLLERS[name]
    if Path(name, FILE_NAME).is_file():
        return learned(name)
    raise ConfigError(f"controller: got {name!r}, expected one of {sorted(CONTROLLERS)} or the folder of a bundle")


def tasks_of(name: str) -> tuple[str, ...] | None:
    """Return the tasks that a controller can do; None for every one. Raises ConfigError or BundleError."""
    row = controller(name)
    return row.tasks if row.bundle is None else (*_manifest(row.bundle).tasks, *row.bundle_of)


def identify(name: str, task: Task) -> Identity:
    """Return who acts under `name` in `task`. Raises ConfigError or BundleError."""
    row = controller(name)
    who = Identity(task=task.name, controller=name, family=row.kind, sees=row.sees, robot=task.robot)
    bundle = row.bundle_for(task.name)
    if bundle is None:
        return who
    manifest = _manifest(bundle)
    promised = json.dumps(to_mapping(replace(manifest, scores={})), sort_keys=True)
    hashed = hashlib.sha256(promised.encode()).hexdigest()
    return replace(
        who, family=manifest.family if row.kind == LEARNED else row.kind, bundle=manifest.id, bundle_sha256=hashed
    )


def _manifest(bundle: str) -> Manifest:
    return read_manifest(find_shipped("bundles", bundle))
