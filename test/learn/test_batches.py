"""What System 1 and System 2 learn from: batches drawn from demonstrations."""

import numpy as np
import torch
from small_training import words_for

from so_arm_policy.learn.lessons.action_batches import (
    MOST_LATE_ROWS,
    ActionBatches,
    onward_rows,
    rows_before,
    still_frames,
)
from so_arm_policy.learn.lessons.scene_batches import NOWHERE, SceneBatches


def drawn(data, horizon, size):
    """Draw a batch whose contexts name their episodes; return it, and these, (size,)."""
    told = torch.from_numpy(data.episode[data.frames]).float().reshape(-1, 1, 1)
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), told, horizon=horizon, prefix=2)
    batch = batches.draw(np.random.default_rng(0), size)
    return batch, batch.context.flatten().long().numpy()


def first_goals(data, episodes):
    """Return where the first two ways of episodes (B,) lead, (B, n) each: around the object, and closed."""
    goals = data.expert["expert.goal"][data.starts]
    return (torch.from_numpy(goals[episodes, i]).float() for i in range(2))


def test_labels_start_at_what_is_committed_and_end_where_the_plan_goes(data):
    context = torch.zeros(len(data.frames), 1, 1)
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), context, horizon=60, prefix=2)
    batch = batches.draw(np.random.default_rng(0), 256)
    goals = torch.from_numpy(data.expert["expert.goal"].reshape(-1, 6)).float().unique(dim=0)
    away = torch.cdist(batch.positions[:, -1], goals, p=float("inf")).min(dim=1).values
    assert away.quantile(0.6) < 0.15
    steps = batch.positions[:, 2:].diff(dim=1).abs().amax(dim=-1)
    assert steps.max() < 2.5 * 4 / 120  # rad in a row: no label is faster than the robot may be


def test_the_arm_is_where_its_committed_motion_is_however_far_that_is_from_the_expert_s(data):
    batches = ActionBatches(data, np.ones(data.episodes, dtype=bool), torch.zeros(len(data.frames), 1, 1), 16, 2)
    batch = batches.draw(np.random.default_rng(0), 512)
    assert (batch.state - batch.positions[:, 0]).abs().max() < 0.12
    demonstrated = torch.from_numpy(data.action)
    strayed = torch.cdist(batch.positions[:, 0], demonstrated, p=float("inf")).min(dim=1).values
    assert strayed.quantile(0.5) < 0.02
    assert strayed.max() > 0.1


def test_ways_to_an_object_begin_where_the_arm_was_in_other_episodes_too(data):
    """Or the pose of the arm would tell where the object is."""
    batch, asked = drawn(data, horizon=60, size=512)
    apart = torch.cdist(batch.positions[:, 0], torch.from_numpy(data.action), p=float("inf"))
    undisturbed = (apart.min(dim=1).values < 1e-6).numpy()
    elsewhere = undisturbed & (data.episode[apart.argmin(dim=1).numpy()] != asked)
    assert 0.05 < elsewhere.mean() < 0.4
    goal = torch.from_numpy(data.expert["expert.goal"][data.starts, 0]).float()[asked]
    arrived = (batch.positions[:, -1] - goal).abs().amax(dim=-1).numpy()
    reach = data.task_of[asked] == 0
    assert np.quantile(arrived[elsewhere & reach], 0.6) < 0.15


def test_a_late_arm_is_where_the_expert_was_before_on_the_same_way(data):
    row = np.flatnonzero(np.ones(len(data.q)))
    before = rows_before(data, row, np.random.default_rng(0))
    stage = data.expert["expert.stage"]
    assert (data.episode[before] == data.episode).all()
    assert (row - before).min() == 0
    assert 20 <= (row - before).max() <= MOST_LATE_ROWS
    assert (before == row)[stage > 0].all()
    assert (stage[before] == stage).all()
    assert (before < row)[stage == 0].mean() > 0.8


def test_a_half_closed_hand_goes_on_only_near_the_object(data):
    batch, asked = drawn(data, horizon=16, size=4096)
    approach, grip = first_goals(data, asked)
    begun, gripper, picks = batch.positions[:, 0], 5, torch.from_numpy(data.task_of[asked] == 1)
    still = (batch.positions[:, 1] - begun).abs().amax(dim=-1) < 1e-6
    half = ((begun - grip)[:, gripper] > 0.12) & ((approach - begun)[:, gripper] > 0.05)
    aside = (begun - grip)[:, :gripper].abs().amax(dim=-1)
    closes = (batch.positions[:, -1] - begun)[:, gripper] < -0.05
    near, beside = (picks & still & half & at for at in (aside < 0.03, (aside > 0.07) & (aside < 0.2)))
    assert min(near.sum(), beside.sum()) >= 8
    assert closes[near].float().mean() > 0.9
    assert closes[beside].float().mean() < 0.25  # but some that hold it


def test_a_hand_that_closed_on_nothing_opens_and_goes_back(data):
    """The object stops the fingers of one that holds it: they stay behind their command."""
    batch, asked = drawn(data, horizon=90, size=4096)
    approach, grip = first_goals(data, asked)
    begun, gripper = batch.positions[:, 0], 5
    lowered = ((begun - grip).abs().amax(dim=-1) < 0.15) & ((begun - grip)[:, gripper].abs() < 0.03)
    behind = (batch.state - begun)[:, gripper]
    picked = torch.from_numpy(data.task_of[asked] == 1) & ((approach - grip)[:, gripper] > 0.1)
    empty, holds = picked & lowered & (behind < 0.03), picked & lowered & (behind > 0.06)
    assert empty.sum() >= 15
    assert holds.sum() >= 15
    later = batch.positions[:, 30]
    assert (later - grip)[empty, gripper].median() > 0.1  # opened
    assert (later - grip)[holds, gripper].median() < 0.03
    nearest = (batch.positions - approach[:, None]).abs().amax(dim=-1).amin(dim=-1)
    assert nearest[empty].median() < 0.03  # open around the object, to close again
    assert nearest[holds].median() > 0.1


def test_on_the_way_home_from_one_object_the_next_one_counts():
    """Four rows of a plan's last way from -1 over 0 to 1, then another plan; and again, with no other one after it."""
    expert = {
        "expert.stage": np.array([1, 2, 2, 2, 0, 2, 2]),
        "expert.via": np.zeros((7, 4, 1), dtype=np.float32),
        "expert.goal": np.tile(np.array([[-2.0], [-1.0], [1.0], [1.0]], dtype=np.float32), (7, 1, 1)),
    }
    action = np.array([-1.0, -0.5, 0.5, 0.9, 0.9, 0.5, 0.9], dtype=np.float32)[:, None]
    rows = onward_rows(expert, action, np.zeros(7, dtype=int))
    assert rows.tolist() == [0, 1, 4, 4, 4, 5, 6]
    assert onward_rows(expert, action, np.array([0, 0, 0, 0, 1, 1, 1])).tolist() == list(range(7))


def test_contexts_come_from_any_moment_of_the_episode_with_all_things_in_their_places(data):
    still = still_frames(data)
    places, episode = data.scene["scene.objects"], data.episode[data.frames]
    for frame, (first, count) in enumerate(still):
        assert first <= frame < first + count
        assert set(episode[first : first + count]) == {episode[frame]}
        assert np.abs(places[first : first + count] - places[first]).max() <= 0.002
    reach = data.task_of[episode] == 0
    assert still[reach, 1].mean() > 4  # nothing moves
    picked = [np.unique(still[episode == e, 0]) for e in range(5, data.episodes)]
    assert all(len(segments) > 2 for segments in picked)  # before, while and after a thing is carried


def test_the_same_picture_is_asked_different_things(data, tmp_path):
    words = words_for(data.tasks, tmp_path)
    batches = SceneBatches(data, np.arange(len(data.frames)), words, (6, 8), asked=4)
    batch = batches.draw(np.random.default_rng(0), 8)
    assert batch.words.shape == (32, 18)
    assert len(batch.words.unique(dim=0)) > 16
    assert batch.patches.shape == (32, 3)
    assert ((batch.patches[:, :2] >= 0) & (batch.patches[:, :2] < 48)).all()  # of the overhead camera
    by_hand = batch.patches[:, 2]
    assert (by_hand == NOWHERE).any()
    assert ((by_hand == NOWHERE) | ((by_hand >= 48) & (by_hand < 96))).all()
    assert (by_hand > 0).any()
    apart = (batch.source - batch.place).norm(dim=-1)
    assert (apart == 0).any()  # reach
    assert (apart > 0.05).any()  # pick_place
