"""Training and export of policies; the only part that imports torch."""
