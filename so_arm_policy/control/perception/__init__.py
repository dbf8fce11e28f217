"""From pictures to a Tabletop, by hand: colours, silhouettes, and the known geometry of cameras and table."""
