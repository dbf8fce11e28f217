import numpy as np
import pytest

from so_arm_policy.sim.law import ACCELERATION, MAX_SPEED, TICK_S, Plan, advance, rollout


@pytest.fixture(scope="module")
def plans():
    """Five plans of three stages for six joints."""
    rng = np.random.default_rng(0)
    via, goal = rng.uniform(-1, 1, (2, 5, 3, 6))
    return Plan(via, goal, np.full((5, 3), 0.02))


def one(plans, number):
    return Plan(plans.via[number], plans.goal[number], plans.tolerance[number])


def test_many_states_move_as_each_would_alone(plans):
    rng = np.random.default_rng(1)
    q, dq = rng.uniform(-1, 1, (2, 5, 6))
    stage = np.array([0, 1, 2, 0, 1])
    together = advance(q, dq, stage, plans)
    for i in range(5):
        alone = advance(q[i], dq[i], int(stage[i]), one(plans, i))
        for a, b in zip(together, alone, strict=True):
            assert np.array_equal(a[i], b)
    rows = rollout(q, dq, stage, plans, 7, 4)
    assert rows.shape == (5, 7, 6)
    assert np.array_equal(rows[3], rollout(q[3], dq[3], 0, one(plans, 3), 7, 4))


def test_stages_follow_each_other_to_the_last_within_speed_and_acceleration(plans):
    plan = one(plans, 2)
    q, dq, stage = np.zeros(6), np.zeros(6), np.array(0)
    seen = []
    for _ in range(1500):
        before, was = dq, int(stage)
        q, dq, stage = advance(q, dq, stage, plan)
        assert np.abs(dq).max() <= MAX_SPEED + ACCELERATION * TICK_S
        assert np.abs(dq - before).max() <= ACCELERATION * TICK_S + 1e-9
        if int(stage) != was:
            assert np.abs(q - plan.goal[was]).max() <= 0.02
            seen.append(int(stage))
    assert seen == [1, 2]
    assert q == pytest.approx(plan.goal[2], abs=1e-3)


def test_a_stage_without_a_way_only_changes_where_it_stands():
    pose = np.full(6, 0.2)
    plan = Plan.of([(pose, pose, 0.01), (pose, pose + 0.3, 0.0)])
    q, dq, stage = advance(np.zeros(6), np.zeros(6), 0, plan)
    assert np.isfinite(q).all()
    assert (q > 0).all()
    assert plan.stages == 2
