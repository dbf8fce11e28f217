"""Which controllers of comparisons can act on the graph, and by which nodes."""

from collections.abc import Sequence

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.compare.cells import ALL, cells_of
from so_arm_policy.evaluate.compare.rows import Identity
from so_arm_policy.evaluate.controllers import CONTROLLERS, LEARNED, controller, identify
from so_arm_policy.ros.crafted import CRAFTED
from so_arm_policy.ros.stack_options import StackOptions, resolved
from so_arm_policy.sim.tasks import make_task

HOLD = "hold"


def live_controllers() -> list[str]:
    """Return the names of those in the table that can act on the graph."""
    return [name for name in CONTROLLERS if _source(name) is not None]


def live_cells(tasks: Sequence[str], controllers: Sequence[str]) -> tuple[list[Identity], list[str]]:
    """Return who is to do which task on the graph, and what was left out, as text for people.

    Raises ConfigError for names that are unknown, and for those that have no node; BundleError for a bundle that cannot
    be read.
    """
    names = live_controllers() if ALL in controllers else list(dict.fromkeys(controllers))
    without = [name for name in names if _source(name) is None]
    if without:
        raise ConfigError(
            f"--ros: got {', '.join(without)}, which no node runs, expected some of {', '.join(live_controllers())} or "
            "folders of bundles"
        )
    for name in names:
        identify(name, make_task(tasks[0]))
    return cells_of(tasks, names)


def options_of(who: Identity, seed: int) -> StackOptions:
    """Return the stack in which `who` acts. Raises ConfigError or BundleError."""
    bundle, source = controller(who.controller).bundle_for(who.task), _source(who.controller)
    assert source is not None
    path = str(find_shipped("bundles", bundle)) if bundle else ""
    return resolved(StackOptions(bundle=path, control_source=source, task=who.task, description=who.robot, seed=seed))


def _source(name: str) -> str | None:
    if controller(name).kind == LEARNED:
        return "system1"
    return HOLD if name == HOLD else CRAFTED.get(name)
