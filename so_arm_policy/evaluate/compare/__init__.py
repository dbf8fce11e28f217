"""Controllers compared on the same seeds: what is measured of each episode, and what the pairs say."""
