"""The planner: a routine for each task says what to do next, motions are planned around what is in the way."""
