"""One file per task."""

from collections.abc import Callable

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.sim.scene import ObjectSet
from so_arm_policy.sim.tasks.handover import Handover
from so_arm_policy.sim.tasks.pick_place import PickPlace
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.sort import Sort
from so_arm_policy.sim.tasks.task import Task
from so_arm_policy.sim.tasks.track import Track

TASKS: dict[str, Callable[..., Task]] = {
    "reach": Reach,
    "pick_place": PickPlace,
    "track": Track,
    "sort": Sort,
    "handover": Handover,
}


def make_task(name: str, objects: ObjectSet | None = None) -> Task:
    """Return the task called `name`, in scenes of `objects` where given. Raises ConfigError that lists the tasks."""
    if name not in TASKS:
        raise ConfigError(f"task: got {name!r}, expected one of {sorted(TASKS)}")
    return TASKS[name]() if objects is None else TASKS[name](objects=objects)
