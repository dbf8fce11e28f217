"""The Feetech STS3215 servos of the SO-101: registers, bus, calibration, driver."""
