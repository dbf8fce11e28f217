"""Where a recorded hand goes next: rows in which it stops, or its gripper opens or closes, and the fingertip there.

After James and Davison, "Q-attention: Enabling efficient learning for vision-based robotic manipulation", 2022, who
find the keyframes of a demonstration the same way.
"""

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.demonstrations.episode_rows import FPS
from so_arm_policy.learn.demonstrations.recordings import Ints, Recordings
from so_arm_policy.sim.model import build_model

STILL_RAD_S = 0.1  # of the fastest joint but the grippers
OVER_ROWS = 3  # that speed is taken over
GRIP_RAD = 0.3  # that a gripper moves at least, in an episode, to count


def keyframes(action: FloatArray, grippers: list[int]) -> Ints:
    """Return the rows of one episode, ascending, in which the arm has stopped or a gripper turns; the last one is one.

    action: (T, n) rad, commands 30 times a second; grippers: numbers of their joints.
    """
    rows = len(action)
    last = min(OVER_ROWS, rows - 1)
    body = np.delete(action, grippers, axis=1)
    moved = np.abs(body[last:] - body[: rows - last]).max(axis=1) * FPS / max(last, 1)
    still = np.concatenate([moved <= STILL_RAD_S, np.repeat(moved[-1] <= STILL_RAD_S, last)])
    found = np.flatnonzero(still[1:] & ~still[:-1]) + 1
    turns = [_turns(action[:, gripper]) for gripper in grippers]
    return np.unique(np.concatenate([found, *turns, [rows - 1]])).astype(np.int64)


def _turns(gripper: FloatArray) -> Ints:
    """Return the rows in which the gripper goes through the middle of its way."""
    low, high = float(gripper.min()), float(gripper.max())
    if high - low < GRIP_RAD:
        return np.zeros(0, dtype=np.int64)
    closed = gripper < (low + high) / 2
    return np.flatnonzero(closed[1:] != closed[:-1]) + 1


def next_places(data: Recordings, robot: RobotConfig) -> tuple[FloatArray, FloatArray]:
    """Return where the hand will be at the next keyframe after each frame, and at the one after it: (F, 3) m each.

    World frame. Of several arms, that which moves most until then; after the last keyframe nothing follows.
    """
    grippers = [i for i, name in enumerate(robot.joint_names) if name.endswith("gripper")]
    first, second = np.zeros(len(data.frames), dtype=np.int64), np.zeros(len(data.frames), dtype=np.int64)
    for episode, (start, end) in enumerate(zip(data.starts, data.ends, strict=True)):
        keys = start + keyframes(data.action[start:end].astype(np.float64), grippers)
        frames = np.flatnonzero(data.episode[data.frames] == episode)
        number = np.minimum(np.searchsorted(keys, data.frames[frames], side="right"), len(keys) - 1)
        first[frames], second[frames] = keys[number], keys[np.minimum(number + 1, len(keys) - 1)]
    q = data.q.astype(np.float64)
    return _hand(robot, q, data.frames, first), _hand(robot, q, data.frames, second)


def _hand(robot: RobotConfig, q: FloatArray, now: Ints, then: Ints) -> FloatArray:
    """Return the fingertip, (F, 3) m, in rows then (F,), of the arm whose joints move most from rows now (F,)."""
    rows, at = np.unique(then, return_inverse=True)
    tips = fingertips(robot, q[rows])[at]
    moved = [
        np.abs(q[then] - q[now])[:, [name.startswith(arm.prefix) for name in robot.joint_names]].sum(axis=1)
        for arm in robot.arms
    ]
    return np.take_along_axis(tips, np.argmax(moved, axis=0)[:, None, None], axis=1)[:, 0]


def fingertips(robot: RobotConfig, q: FloatArray) -> FloatArray:
    """Return where the fingertips of all arms are at joints q (F, n) rad: (F, arms, 3) m, world frame."""
    model = build_model(robot)
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr[0] for name in robot.joint_names]
    sites = [model.site(f"{arm.prefix}gripperframe").id for arm in robot.arms]
    tips = np.zeros((len(q), len(sites), 3))
    for i, pose in enumerate(q):
        data.qpos[joints] = pose
        mujoco.mj_kinematics(model, data)
        tips[i] = data.site_xpos[sites]
    return tips
