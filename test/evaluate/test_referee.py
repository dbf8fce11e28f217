"""The referee finds every kind of violation in commands made by hand, and none in legal ones."""

import mujoco
import numpy as np
import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.contacts import Touch
from so_arm_policy.evaluate.halt import DT, Halt, judge_halt
from so_arm_policy.evaluate.referee import STOOD_TICKS, Ratios, Referee, judge_commands
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Task

JERK_STEP = 2000.0 * DT**3  # what the move of a joint's command may bend more in each tick, rad
PAN, ROLL = 0, 4


@pytest.fixture(scope="module")
def simulator(robot: RobotConfig, task: Task) -> Simulator:
    return Simulator(robot, task.sample(0).scene)


def path_of(robot: RobotConfig, moves: list[float], joint: int = PAN) -> list[tuple[int, np.ndarray]]:
    """Commands from home, one a tick, of which one joint makes `moves`, rad."""
    way = np.cumsum(moves)
    path = np.tile(robot.home, (len(moves), 1))
    path[:, joint] += way
    return list(enumerate(path))


def judged(robot: RobotConfig, moves: list[float], joint: int = PAN) -> Ratios:
    return judge_commands(robot, robot.home, path_of(robot, moves, joint))


def legal_moves(ticks: int = 40) -> list[float]:
    """To nine tenths of the velocity limit and back to rest, with jerk and acceleration at their limits."""
    bend = 20.0 * DT**2
    up = [JERK_STEP, *[bend] * 12, bend - JERK_STEP]
    return [*np.cumsum([*up, *[0.0] * ticks, *(-b for b in up)]), 0.0, 0.0]


def test_legal_motion_at_its_limits_breaks_none(robot: RobotConfig) -> None:
    ratios = judged(robot, legal_moves())
    assert ratios.broken == ()
    assert ratios.acceleration == pytest.approx(1.0, abs=0.02)
    assert ratios.jerk == pytest.approx(1.0, abs=0.02)
    assert ratios.velocity == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("moves", "broken"),
    [
        ([0.021] * 30, "velocity"),
        ([0.0, 0.01], "acceleration"),
        ([*[0.0013] * 2, *[0.0026] * 2, *[0.0013] * 2], "jerk"),
        ([0.0003 * k for k in range(90)], "velocity"),
    ],
)
def test_each_limit_is_judged(robot: RobotConfig, moves: list[float], broken: str) -> None:
    assert broken in judged(robot, moves).broken


def test_a_hundredth_too_much_is_too_much(robot: RobotConfig) -> None:
    step = robot.velocity[PAN] * DT
    assert judged(robot, [step * 1.005] * 5).velocity == pytest.approx(1.005)
    assert "velocity" not in judged(robot, [step * 1.005] * 5).broken
    assert "velocity" in judged(robot, [step * 1.02] * 5).broken


def test_positions_beyond_a_limit(robot: RobotConfig) -> None:
    slowly = [0.001] * round((robot.upper[ROLL] - robot.home[ROLL]) / 0.001 - 1)
    assert "position" not in judged(robot, slowly, ROLL).broken
    assert "position" in judged(robot, [*slowly, *[0.001] * 5], ROLL).broken


def test_a_joint_that_starts_outside_may_move_inward_only(robot: RobotConfig) -> None:
    start = robot.home.copy()
    start[ROLL] = robot.upper[ROLL] + 0.05
    for way, broken in ((-1e-4, ()), (0.0, ()), (1e-4, ("position",))):
        sent = [(k, start + np.eye(6)[ROLL] * way * (k + 1)) for k in range(20)]
        assert judge_commands(robot, start, sent).broken == broken


def test_a_stop_in_one_tick_is_a_violation_but_a_lost_command_is_none(robot: RobotConfig) -> None:
    moving = legal_moves()[:30]
    assert "acceleration" in judged(robot, [*moving, *[0.0] * 20]).broken
    path = path_of(robot, moving)
    assert judge_commands(robot, robot.home, [(k + (k >= 20), q) for k, q in path]).broken == ()
    repeated = [*path[:20], (20, path[19][1]), *((k + 1, q) for k, q in path[20:])]
    assert judge_commands(robot, robot.home, repeated).broken == ()


def test_after_a_long_gap_commands_are_judged_from_standstill(robot: RobotConfig) -> None:
    moving = path_of(robot, legal_moves()[:30])
    late = [(k + STOOD_TICKS * (k >= 20), q) for k, q in moving]
    assert "acceleration" in judge_commands(robot, robot.home, late).broken
    again = path_of(robot, legal_moves())
    from_rest = [*moving[:20], *((k + 20 + STOOD_TICKS, q + moving[19][1] - robot.home) for k, q in again)]
    assert judge_commands(robot, robot.home, from_rest).broken == ()


def test_a_burst_moves_no_further_than_time_has_passed(robot: RobotConfig) -> None:
    slow = path_of(robot, [0.0002 * k for k in range(1, 30)])
    assert judge_commands(robot, robot.home, slow).burst == 0.0
    at_once = [(min(k, 10), q) for k, q in slow]
    assert judge_commands(robot, robot.home, at_once).burst > 1.5


def test_a_command_that_is_no_number_is_no_command(simulator: Simulator) -> None:
    simulator.reset(simulator.scene)
    for bad in (np.full(6, np.nan), np.zeros(5), np.full(6, np.inf)):
        referee = Referee(simulator)
        assert referee.sent(simulator.q.copy())
        assert not referee.sent(bad)
        referee.stepped()
        assert referee.findings(0, 1).ratios.broken == ("finite",)


def test_the_first_command_is_judged_from_where_the_arm_truly_stands(simulator: Simulator) -> None:
    for away, broken in ((0.0, False), (0.2, True)):
        simulator.reset(simulator.scene)
        referee = Referee(simulator)
        referee.sent(simulator.q + away)
        referee.stepped()
        assert bool(referee.findings(0, 1).ratios.broken) == broken


def halted(speed: np.ndarray, onset: int, end: int) -> Halt:
    return judge_halt(speed, speed > 0.05, onset, end)


def test_a_halt_is_timed_from_the_command_alone() -> None:
    speed = np.array([1.0, 1.0, 1.0, 1.0, 0.7, 0.4, 0.1, *[0.0] * 10])
    halt = halted(speed, 2, 17)
    assert (halt.reaction, halt.standstill, halt.arm, halt.moved_again) == (2, 5, 5, False)
    speed[8] = 0.5  # it stands for a tick only
    assert halted(speed, 2, 17).standstill == 7
    speed[14] = 1.0
    assert halted(speed, 2, 17).moved_again
    assert not halted(speed, 2, 14).moved_again
    assert halted(np.ones(20), 2, 20).standstill is None


def test_a_source_that_slows_down_a_little_is_no_reaction() -> None:
    speed = np.array([1.0, 0.999, 0.998, 0.997, 0.8, 0.6, 0.3, 0.01, 0.005, *[0.0] * 5])
    assert halted(speed, 1, 14).reaction == 3


def test_slowing_down_and_quickening_again_is_no_reaction() -> None:
    speed = np.array([1.0, 0.9, 0.8, 0.9, 0.6, 0.3, *[0.0] * 5])
    assert halted(speed, 1, 11).reaction == 3


@pytest.mark.parametrize(
    ("pose", "touch"),
    [((0.0, 0.65, 0.45, 1.2, 0.0, 0.0), Touch.TABLE), ((0.0, -1.05, 1.45, 1.6, 0.05, 0.0), Touch.SELF)],
)
def test_pressing_on_the_table_and_on_itself_is_seen(
    simulator: Simulator, pose: tuple[float, ...], touch: Touch
) -> None:
    simulator.reset(simulator.scene)
    referee, start = Referee(simulator), simulator.q.copy()
    for share in np.linspace(0.0, 1.0, 120):
        simulator.step(start + share * (np.array(pose) - start))
        referee.stepped()
    contacts = referee.findings(0, 120).contacts
    assert [c.touch for c in contacts] == [touch]
    assert contacts[0].force_n > 1.0


def test_a_grasp_is_no_collision(simulator: Simulator) -> None:
    """The gripper holds a cube in the air: neither the contact nor the force of its servo counts."""
    simulator.reset(simulator.scene)
    at = simulator.model.joint("object0").qposadr[0]
    mujoco.mj_forward(simulator.model, simulator.data)
    open_q = simulator.robot.home.copy()
    open_q[5] = 0.6
    simulator.reset(simulator.scene, open_q)
    simulator.data.qpos[at : at + 3] = simulator.fingertip()
    referee = Referee(simulator)
    for _ in range(200):
        simulator.step(simulator.robot.home)
        referee.stepped()
    found = referee.findings(0, 200)
    assert found.contacts == ()
    assert found.pressed_s == 0.0


def test_a_servo_that_pushes_a_blocked_joint_is_seen(simulator: Simulator) -> None:
    simulator.reset(simulator.scene)
    damping = simulator.model.dof_damping.copy()
    try:
        simulator.model.dof_damping[simulator.model.joint("shoulder_pan").dofadr[0]] = 1e4
        referee, q = Referee(simulator), simulator.q.copy()
        q[PAN] += 0.3
        for _ in range(60):
            simulator.step(q)
            referee.stepped()
    finally:
        simulator.model.dof_damping[:] = damping
    assert referee.findings(0, 60).pressed_s == pytest.approx(0.5, abs=0.05)


def test_going_after_a_false_value_is_told_from_braking(simulator: Simulator) -> None:
    for bend, follows in ((-2e-4, False), (0.0, False), (2e-4, True)):
        simulator.reset(simulator.scene)
        referee, q = Referee(simulator), simulator.q.copy()
        for k in range(6):
            q = q + np.eye(6)[PAN] * (0.001 + (bend if k == 5 else 0.0))
            referee.sent(q)
            referee.stepped()
        referee.told(q - 0.001, q + np.eye(6)[PAN])
        assert (referee.findings(0, 6).pull_rad > 1e-6) == follows
