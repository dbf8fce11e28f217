"""The robot side: descriptions on disk, servo bus, calibration, cameras."""
