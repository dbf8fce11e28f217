"""Isaac Sim 5 and 6: what it is told, as data, and the script that tells it."""
