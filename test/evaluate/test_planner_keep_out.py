"""Keep-out volumes: the planner goes around them by itself, and goes nowhere into them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.keep_out import KeepOutBox, KeepOuts, KeepOutSphere
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.evaluate.crafted_agents import privileged_planner_agent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.evaluate.surroundings import surroundings
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.planning_scene import Margins
from so_arm_policy.sim.tasks import make_task


def rules(*boxes, **changes):
    return SupervisorConfig(sources=("planner",), keep_outs=KeepOuts(boxes=boxes), **changes)


def wall(angle, height):
    """A thin one that stands on the table and points to the arm."""
    at = (0.28 * math.cos(angle), 0.28 * math.sin(angle), height / 2)
    return KeepOutBox(name="wall", center_xyz_m=at, half_sizes_m=(0.06, 0.005, height / 2), yaw_rad=angle)


def direction(point):
    return math.atan2(point[1], point[0])


class Distances:
    """How near the commands came to a keep-out volume, m."""

    def __init__(self, robot, safety):
        self._clearance = Clearance(robot, safety.keep_outs.all)
        self.least = math.inf

    def on_start(self, episode): ...
    def on_end(self, result): ...

    def on_step(self, step):
        found = (gap for gap in self._clearance.nearest(step.verdict.command) if gap.kind == "keep_out")
        self.least = min(self.least, *(gap.distance_m for gap in found))


def thing_of(episode):
    thing = episode.scene.objects[episode.goal.steps[0].object]
    return thing.x, thing.y


@pytest.mark.parametrize("seed", [1, 6])
def test_it_reaches_around_a_wall_and_the_supervisor_changes_no_command(robot, seed):
    task = make_task("reach")
    episode = task.sample(seed)
    safety = rules(wall(0.45 * direction(thing_of(episode)), 0.1))
    near = Distances(robot, safety)
    result = Rollout(task, robot, privileged_planner_agent(task, robot, safety), safety).run(episode, [near])
    assert result.success
    assert set(result.actions) == {"PASS"}
    assert near.least > safety.clear_keep_out_m
    # Who does not know of the wall is stopped by the supervisor.
    unaware = Rollout(task, robot, privileged_planner_agent(task, robot), safety).run(episode)
    assert not unaware.success
    assert unaware.rules["geometry.keep_out"] > 0


@pytest.mark.parametrize("seed", [1, 17])
def test_it_carries_over_a_wall_and_the_supervisor_changes_no_command(robot, seed):
    task = make_task("pick_place")
    episode = task.sample(seed)
    place = place_center(episode.scene, episode.goal.steps[0].place)
    safety = rules(wall((direction(thing_of(episode)) + direction(place)) / 2, 0.12))
    near = Distances(robot, safety)
    result = Rollout(task, robot, privileged_planner_agent(task, robot, safety), safety).run(episode, [near])
    assert result.success
    assert set(result.actions) == {"PASS"}
    assert near.least > safety.clear_keep_out_m


@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("reach", "thing", "descend: got a goal in a keep-out volume or too near to it: "),
        ("pick_place", "thing", "put: got a way through a keep-out volume, expected a free one: "),
        ("pick_place", "place", "put: got a way through a keep-out volume, expected a free one: "),
    ],
)
def test_a_goal_in_a_keep_out_volume_is_refused_and_nothing_moves(robot, name, where, expected):
    task = make_task(name)
    episode = task.sample(1)
    x, y = thing_of(episode) if where == "thing" else place_center(episode.scene, episode.goal.steps[0].place)[:2]
    safety = rules(KeepOutBox(name="glass", center_xyz_m=(x, y, 0.02), half_sizes_m=(0.03, 0.03, 0.02)))
    agent, commands = privileged_planner_agent(task, robot, safety), []

    class Moves:
        def on_start(self, episode): ...
        def on_end(self, result): ...
        def on_step(self, step):
            commands.append(step.verdict.command)

    short = replace(task, time_limit_s=3.0)
    result = Rollout(short, robot, agent, safety).run(episode, [Moves()])
    assert not result.success
    assert set(result.actions) == {"PASS"}
    assert agent._source.trouble.startswith(expected)
    assert "glass" in agent._source.trouble
    assert np.ptp(commands, axis=0).max() < 1e-9


def test_it_keeps_further_away_than_the_supervisor_asks_for(robot):
    assert to_mapping(Margins()) == pytest.approx(margins(robot, SupervisorConfig()))
    wide = margins(robot, SupervisorConfig(clear_keep_out_m=0.1, clear_self_m=0.02, clear_hands_m=-0.02))
    assert wide["keep_out"] > 0.1
    assert (wide["self"], wide["hands"]) == (pytest.approx(0.021), 0.0)
    with pytest.raises(ConfigError, match="keep-out: got name 'table' that is in use"):
        surroundings(robot, rules(replace(wall(0.5, 0.1), name="table")))


def margins(robot, safety):
    return surroundings(robot, safety)._margins


def test_a_pose_says_how_near_it_is_to_what_must_be_kept_out_of(robot):
    ball = KeepOutSphere(name="lamp", center_xyz_m=(0.0, 0.0, 1.0), radius_m=0.1)
    far = surroundings(robot, SupervisorConfig(keep_outs=KeepOuts(spheres=(ball,)))).near(robot.home)
    assert far.barred is None
    assert far.kept_out.first == ""
    assert surroundings(robot, SupervisorConfig()).near(robot.home).kept_out is None
    around = replace(ball, center_xyz_m=(0.2, 0.0, 0.15), radius_m=0.15)
    near = surroundings(robot, SupervisorConfig(keep_outs=KeepOuts(spheres=(around,)))).near(robot.home)
    assert near.barred is near.kept_out
    assert near.barred.second == "lamp"
    # Whatever else may be come nearer to: not this.
    assert near.relaxed(1.0, 0.0).room_m == near.kept_out.room_m
    assert near.relaxed(1.0, 0.01).room_m == pytest.approx(near.kept_out.room_m + 0.01)
    assert far.relaxed(0.004, 0.0).room_m == pytest.approx(min(far.room_m + 0.004, far.kept_out.room_m))
