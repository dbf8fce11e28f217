"""The fault campaign in lockstep: named faults, put between a moving arm, its source and the supervisor."""
