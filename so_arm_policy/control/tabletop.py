"""What a hand-crafted controller knows of the table, from a camera or, privileged, from the simulator."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import HALF_SIZES, surface_distance


@dataclass(frozen=True, kw_only=True, eq=False)
class Thing:
    """One object. position: of its middle, (3,) m; R_world_thing: (3, 3); both in the world frame.

    hidden: share of it that could not be seen.
    """

    color: str
    kind: str
    position: FloatArray
    R_world_thing: FloatArray
    hidden: float = 0.0

    @property
    def words(self) -> str:
        """What people call it, e.g. "red cube"."""
        return f"{self.color} {self.kind}"

    @property
    def half_height(self) -> float:
        """Half of its vertical extent as it stands or lies, m; for a can that of its box."""
        return float(np.abs(self.R_world_thing[2]) @ HALF_SIZES[self.kind])

    def surface_distance(self, point: FloatArray) -> float:
        """Distance from `point` (3,) m, world frame, to the surface, m; 0 inside."""
        return surface_distance(self.kind, self.R_world_thing.T @ (point - self.position))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tabletop:
    """All that is on the table at one time. places: middle of the floor of "bowl" and "plate", where seen, (3,) m."""

    things: tuple[Thing, ...]
    places: Mapping[str, FloatArray]

    def find(self, color: str, kind: str) -> int:
        """Return the number of the one thing of this colour and kind. Raises InputError for none, and for two."""
        found = [i for i, thing in enumerate(self.things) if (thing.color, thing.kind) == (color, kind)]
        if len(found) != 1:
            seen = ", ".join(thing.words for thing in self.things) or "nothing"
            number = "no" if not found else f"{len(found)} times a"
            raise InputError(f"table: got {number} {color} {kind} among {seen}, expected exactly one")
        return found[0]

    def place(self, name: str) -> FloatArray:
        """Return the middle of the floor of a place, (3,) m. Raises InputError where it is not seen."""
        if name not in self.places:
            raise InputError(f"table: got no {name}, expected one; seen: {', '.join(self.places) or 'no place'}")
        return self.places[name]

    def nearest(self, color: str, kind: str, position: FloatArray, within_m: float) -> int | None:
        """Return the number of the thing of a colour that is nearest to `position` (3,) m, on the table, or None.

        For a thing that was known to be there: it may have been taken for another kind, but only within `within_m`;
        one of its kind goes before others.
        """
        found = [
            (thing.kind != kind, away, i)
            for i, thing in enumerate(self.things)
            if thing.color == color and (away := float(np.hypot(*(thing.position - position)[:2]))) <= within_m
        ]
        return min(found)[2] if found else None
