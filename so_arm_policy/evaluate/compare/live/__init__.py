"""The same episodes through the live graph, beside those in lockstep; the graph itself is in ros/."""
