"""Learned and hand-crafted control of SO-ARM101 arms on ROS 2."""
