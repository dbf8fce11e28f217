"""Datasets of demonstrations: LeRobot v3 folders of parquet and video, written and read."""
