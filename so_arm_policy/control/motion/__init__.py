"""Motions of the arms that touch nothing: where to go along, and how fast."""
