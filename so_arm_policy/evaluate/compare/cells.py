"""What there is to run: every controller on every task that it can do."""

from collections.abc import Sequence

from so_arm_policy.core.errors import ConfigError, SoArmError
from so_arm_policy.evaluate.compare.rows import Identity
from so_arm_policy.evaluate.controllers import CONTROLLERS, controller, identify, tasks_of
from so_arm_policy.sim.tasks import make_task

ALL = "all"


def cells_of(tasks: Sequence[str], controllers: Sequence[str]) -> tuple[list[Identity], list[str]]:
    """Return who is to do which task, and what was left out, as text for people.

    controllers: names, or "all" for the whole table. One whose bundle cannot be read is kept, its episodes say why.
    Raises ConfigError for unknown names, and where nothing is left.
    """
    names = list(CONTROLLERS) if ALL in controllers else list(dict.fromkeys(controllers))
    rows = {name: controller(name) for name in names}
    cells, left_out = [], []
    for task in map(make_task, dict.fromkeys(tasks)):
        for name, row in rows.items():
            try:
                does, who = tasks_of(name), identify(name, task)
            except SoArmError:
                does = None
                who = Identity(task=task.name, controller=name, family=row.kind, sees=row.sees, robot=task.robot)
            if does is None or task.name in does:
                cells.append(who)
            else:
                left_out.append(f"{name} on {task.name}: it does {', '.join(does)} only")
    if not cells:
        raise ConfigError(f"comparison: got {names} on {list(tasks)}, expected one that can be done: {left_out}")
    return cells, left_out
