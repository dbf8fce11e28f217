"""Learned and hand-crafted control of SO-ARM101 arms on ROS 2."""

import os
from pkgutil import extend_path

__version__ = "0.1.0"

# The build puts the generated `msg` and `srv` into the installed package. Run from a checkout, this file is
# the checkout's, and the line below adds the installed half; installed, it changes nothing.
__path__ = extend_path(__path__, __name__)

# MuJoCo chooses its OpenGL library when it is first imported, which several layers do: off screen unless a person
# said otherwise.
os.environ.setdefault("MUJOCO_GL", "egl")
