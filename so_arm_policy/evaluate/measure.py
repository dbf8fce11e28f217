"""What the distance that a task's judge publishes is, in words, for plots and reports."""

from dataclasses import dataclass

from so_arm_policy.sim.tasks.reach import REACHED_M
from so_arm_policy.sim.tasks.track import CLOSE_M


@dataclass(frozen=True, kw_only=True)
class Measure:
    """distance: between what; done: when a try is; limit_m: a distance that alone decides, with its name, if any."""

    distance: str = "what is left to the goal"
    done: str = "the simulator found the goal reached"
    limit_m: float | None = None
    limit_name: str = ""


MEASURES = {
    "reach": Measure(
        distance="from the fingertip to the named object",
        done=f"within {100 * REACHED_M:g} cm for 0.5 s",
        limit_m=REACHED_M,
        limit_name="reached",
    ),
    "track": Measure(
        distance="from the fingertip to the moving object, mean once it was caught up with",
        done=f"within {100 * CLOSE_M:g} cm for 90 % of 8 s",
        limit_m=CLOSE_M,
        limit_name="close",
    ),
    "pick_place": Measure(
        distance="from the named object to the middle of its place",
        done="it rested there for 0.5 s, alone, with the gripper away",
    ),
    "sort": Measure(
        distance="from the named objects to the middle of their places, the larger one",
        done="both rested there for 0.5 s, put down in the order of the sentence, with the gripper away",
    ),
    "handover": Measure(
        distance="from the named object to the middle of the bowl",
        done="it was in the left hand, then in the right one, and rested in the bowl for 0.5 s",
    ),
}


def measure(task: str) -> Measure:
    """Return the words for `task`; general ones where there are no own ones."""
    return MEASURES.get(task, Measure())
