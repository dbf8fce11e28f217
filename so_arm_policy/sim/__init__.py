"""The embedded simulator: scene, tasks, scripted experts."""

import os

# MuJoCo chooses its OpenGL library when it is first imported: off screen unless a person said otherwise.
os.environ.setdefault("MUJOCO_GL", "egl")
