"""Types and pure functions every other part shares; numpy and the standard library only."""
