"""What data teach the two systems: batches, and what is asked of the networks."""
