"""Rule 7, geometry: with a wall that is known exactly, and with the real arm."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from safety_world import DT, Gap, World

from so_arm_policy.core.keep_out import KeepOuts, KeepOutSphere
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action
from so_arm_policy.sim.clearance import Clearance

WALL = 1.0  # "m", of the first joint's angle in rad
ROBOT = load_robot("so101")


class Wall:
    """A wall that the first joint reaches at 1 rad: one rad is one metre."""

    def nearest(self, q):
        return (Gap("self", 1.0), Gap("keep_out", WALL - float(q[0])))


def before_a_wall(robot, clearance=None, **config):
    world = World(robot, **config)
    world.supervisor = Supervisor(SupervisorConfig(**config), robot, world.source, clearance or Wall())
    return world


def push(world, velocity, ticks, joint=0):
    """Let the source go on at a velocity, whatever becomes of it; returns the verdicts."""
    q, verdicts = world.q.copy(), []
    for k in range(ticks):
        q = q.copy()
        q[joint] += velocity / 2.0 * (1.0 - np.cos(np.pi * min(k / 24.0, 1.0))) * DT
        q = np.where(np.abs(q - world.q) > 0.2, world.q + 0.2 * np.sign(q - world.q), q)
        verdicts.append(world.step(q))
    return verdicts


@pytest.mark.parametrize("velocity", [0.3, 1.0, 2.3])
def test_the_arm_slows_down_before_a_wall_and_stands_before_it_touches(robot, velocity):
    world = before_a_wall(robot)
    world.start()
    verdicts = push(world, velocity, 500)
    way = np.array([v.command[0] for v in verdicts])
    assert way.max() <= WALL - 0.01 + 1e-9
    assert way[-1] > WALL - 0.02, "stopped far from the wall"
    touched = [v for v in verdicts if v.code == "geometry.keep_out"]
    assert touched
    assert all(v.action is Action.CLAMP for v in touched)
    assert "arm and wall" in touched[0].text
    speed, room = np.diff(way) / DT, WALL - 0.01 - way[1:]
    assert (speed**2 / (2 * robot.acceleration[0]) <= room + speed * DT / 2 + 1e-6).all()


def test_what_stays_clear_passes_bit_for_bit(robot):
    world = before_a_wall(robot)
    world.start()
    for k in range(240):
        q = robot.home.copy()
        q[0] = 0.35 * (1.0 - np.cos(2 * np.pi * k / 120.0))
        verdict = world.step(q)
        assert verdict.action is Action.PASS
        assert verdict.command.tobytes() == q.tobytes()


def test_who_is_too_near_may_move_away_but_no_nearer(robot):
    world = before_a_wall(robot)
    world.q = robot.home.copy()
    world.q[0] = WALL + 0.05
    inside = world.q.copy()
    world.start(inside)
    nearer = inside.copy()
    nearer[0] += 0.001
    verdict = world.step(nearer)
    assert verdict.code == "geometry.keep_out"
    np.testing.assert_array_equal(verdict.command, inside)
    away = inside.copy()
    away[0] -= 0.001
    assert world.step(away).action is Action.PASS


wishes = st.lists(st.floats(-0.24, 0.24), min_size=6, max_size=6).map(np.array)


@settings(max_examples=settings.default.max_examples * 6 // 10)
@given(st.lists(st.tuples(wishes, st.integers(1, 25), st.booleans()), max_size=25))
def test_no_source_gets_through_the_wall_whatever_it_does(sequence):
    world = before_a_wall(ROBOT)
    world.q = ROBOT.home.copy()
    world.q[0] = 0.7
    world.start(world.q.copy())
    for wish, ticks, silent in sequence:
        target = world.q + wish
        for _ in range(ticks):
            verdict = world.silence() if silent else world.step(target)
            assert verdict.command[0] <= WALL - 0.01 + 1e-6


@pytest.mark.parametrize(("joint", "velocity", "code"), [(1, 1.5, "geometry.table"), (1, 0.4, "geometry.table")])
def test_the_real_arm_stops_above_the_table(joint, velocity, code):
    clearance = Clearance(ROBOT)
    world = before_a_wall(ROBOT, clearance)
    world.start()
    verdicts = push(world, velocity, 400, joint)
    assert code in {v.code for v in verdicts}
    nearest = min(gap.distance_m for v in verdicts for gap in clearance.nearest(v.command) if gap.kind == "table")
    assert -5e-4 <= nearest <= 0.01


def test_the_real_arm_keeps_out_of_a_sphere():
    keep_outs = KeepOuts(spheres=(KeepOutSphere(name="cup", center_xyz_m=(0.20, 0.12, 0.1), radius_m=0.05),))
    config = SupervisorConfig(keep_outs=keep_outs)
    clearance = Clearance(ROBOT, keep_outs.all, config.looking_m)
    world = before_a_wall(ROBOT, clearance, keep_outs=keep_outs)
    world.start()
    assert all(v.action is Action.PASS for v in push(world, 1.5, 100)), "it stood too near, and went away"
    verdicts = push(world, -1.5, 200)
    assert "geometry.keep_out" in {v.code for v in verdicts}
    nearest = min(gap.distance_m for v in verdicts for gap in clearance.nearest(v.command) if gap.kind == "keep_out")
    assert 0.0095 <= nearest <= 0.011
