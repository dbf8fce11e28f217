"""Bags to LeRobot datasets and back."""
