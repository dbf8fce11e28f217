"""ROS 2 shells: one node a file; the only part that imports rclpy."""
