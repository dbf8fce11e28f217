"""Hand-crafted sources of proposals."""
