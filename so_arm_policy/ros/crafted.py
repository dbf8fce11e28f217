"""Which source of the graph stands for which hand-crafted controller of comparisons and demos."""

# The name `pid` was taken on the graph: there it is the joint-space PID to `pid/goal`.
CRAFTED = {"planner": "planner", "servo": "servo", "pid": "cartesian_pid"}
