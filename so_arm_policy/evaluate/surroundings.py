"""What the planner keeps clear of, so that the supervisor finds nothing to correct: its volumes, and a little more."""

from so_arm_policy.control.planner.thinking import KEEP_OUT_SPARE_M
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.planning_scene import Margins, PlanningScene

SELF_M, TABLE_M, ARMS_M, HANDS_M = 0.001, 0.002, 0.002, 0.006  # on top of what the supervisor asks for


def surroundings(robot: RobotConfig, safety: SupervisorConfig) -> PlanningScene:
    """Return the scene that motions of `robot` are planned in behind a supervisor with `safety`. Raises ConfigError."""
    margins = Margins(
        self=safety.clear_self_m + SELF_M,
        table=max(0.0, safety.clear_table_m + TABLE_M),
        arms=safety.clear_arms_m + ARMS_M,
        hands=max(0.0, safety.clear_hands_m + HANDS_M),
        keep_out=safety.clear_keep_out_m + KEEP_OUT_SPARE_M,
    )
    return PlanningScene(robot, safety.keep_outs.all, margins)
