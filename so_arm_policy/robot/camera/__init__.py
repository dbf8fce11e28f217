"""Real cameras: where pictures come from, what is wrong with them, and how they become the robot's."""
