"""The table as cameras show it: spots of colour, each explained by a thing whose shape and size is known."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.control.perception.colors import CHINA, LABELS, ColorConfig, labels
from so_arm_policy.control.perception.fit import Fit, best_fit, hidden, rough_fits
from so_arm_policy.control.perception.silhouette import dishes, stances
from so_arm_policy.control.perception.spots import LEVEL_M, Spot, merged, spots_in
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.objects import DISHES
from so_arm_policy.core.pinhole import Pinhole
from so_arm_policy.core.values import Image


@dataclass(frozen=True, kw_only=True)
class PerceptionConfig:
    """Numbers of the perception.

    colors: see there. least_pixels: of a spot. most_cost: of a fit that counts. most_hidden: share of a thing that may
    be hidden from every camera for it to count. same_m: how near to each other two spots must be seen to be of the
    same thing. farthest_m: from a camera, of what it is asked about.
    """

    colors: ColorConfig = field(default_factory=ColorConfig)
    least_pixels: int = 14
    most_cost: float = 0.45
    most_hidden: float = 0.8
    same_m: float = 0.03
    farthest_m: float = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What one camera shows. hidden: (height, width), where the robot itself is in the way. Raises ShapeError."""

    view: Pinhole
    rgb: Image
    hidden: BoolArray

    def __post_init__(self) -> None:
        """Refuse pictures of another size than the camera's, and of other numbers than bytes."""
        size = (self.view.camera.height, self.view.camera.width)
        if self.rgb.shape != (*size, 3) or self.rgb.dtype != np.uint8 or self.hidden.shape != size:
            got = f"{self.rgb.shape} {self.rgb.dtype} and hidden {self.hidden.shape}"
            raise ShapeError(f"picture of {self.view.camera.name!r}: got {got}, expected {(*size, 3)} uint8 and {size}")


class Perception:
    """Finds things and places. It keeps nothing from one look to the next."""

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        """config: by default for the table and the paints of the simulator."""
        self._config = config or PerceptionConfig()

    def look(self, pictures: Sequence[Picture], wanted: Collection[str] | None = None) -> Tabletop:
        """Return what stands on the table: things that any of the pictures shows, places that the first one does.

        wanted: colours of the things to look for; None for all things and places.
        """
        spots = [self._spots(picture, LABELS if wanted is None else wanted) for picture in pictures]
        things = [
            thing
            for color in dict.fromkeys(name for here in spots for name in here if name != CHINA)
            for thing in self._things(color, [spot for here in spots for spot in here.get(color, [])])
        ]
        return Tabletop(things=tuple(things), places=self._places(spots[0].get(CHINA, [])))

    def _places(self, spots: Sequence[Spot]) -> dict[str, FloatArray]:
        found: dict[str, tuple[float, FloatArray]] = {}
        for spot in spots:
            fit = best_fit([spot], [rough_fits(spot, dishes())])
            name = fit.stance.kind
            if self._counts([spot], fit) and fit.cost < found.get(name, (np.inf,))[0]:
                found[name] = fit.cost, np.array([fit.x, fit.y, DISHES[name].floor_m])
        return {name: place for name, (_, place) in found.items()}

    def _things(self, color: str, spots: list[Spot]) -> list[Thing]:
        """Return the things that spots of one colour are, of all pictures; several may be of one thing."""
        things: list[Thing] = []
        left = list(spots)
        for spot in spots:
            if not any(spot is other for other in left):
                continue
            rough = rough_fits(spot, stances())
            about = min(rough, key=lambda fit: fit.cost)
            same = [s for s in left if s is spot or _apart(s, about) <= self._config.same_m]
            seen = merged(same)
            fit = best_fit(seen, [rough if s is spot else rough_fits(s, stances()) for s in seen])
            if self._counts(seen, fit):
                left = [s for s in left if not any(s is other for other in same)]
                things.append(_thing(color, fit, hidden(seen, fit)))
        return things

    def _counts(self, spots: Sequence[Spot], fit: Fit) -> bool:
        """Whether a fit explains spots well enough."""
        return fit.cost <= self._config.most_cost and hidden(spots, fit) <= self._config.most_hidden

    def _spots(self, picture: Picture, wanted: Collection[str]) -> dict[str, list[Spot]]:
        shown = labels(picture.rgb, picture.hidden, self._config.colors)
        found = {
            name: spots_in(picture.view, shown, i, picture.hidden, self._config.least_pixels)
            for i, name in enumerate(LABELS)
            if name in wanted
        }
        return {name: [spot for spot in spots if self._is_near(spot)] for name, spots in found.items()}

    def _is_near(self, spot: Spot) -> bool:
        """Whether a spot may be of something on this table: a camera that an arm carries may see beyond it."""
        away = np.linalg.norm(spot.view.on_plane(spot.middle, LEVEL_M) - spot.view.position)
        return bool(away <= self._config.farthest_m)


def _thing(color: str, fit: Fit, hidden: float) -> Thing:
    return Thing(
        color=color,
        kind=fit.stance.kind,
        position=np.array([fit.x, fit.y, fit.stance.height]),
        R_world_thing=fit.stance.rotation(fit.yaw),
        hidden=hidden,
    )


def _apart(spot: Spot, fit: Fit) -> float:
    """How far what a spot shows is from a fit, on the table, m."""
    x, y, _ = spot.view.on_plane(spot.middle, fit.stance.height).tolist()
    distance = float(np.hypot(x - fit.x, y - fit.y))
    return distance if np.isfinite(distance) else np.inf
