"""Bags: rosbag2 files written, read, and run through the policy and the supervisor, without ROS."""
