"""The table as cameras show it: spots of colour, each explained by a thing whose shape and size is known."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from so_arm_policy.control.perception.colors import CHINA, LABELS, NOTHING, ColorConfig, Labels, labels
from so_arm_policy.control.perception.fit import MARGIN_PX, Fit, Spot, best_fit, hidden
from so_arm_policy.control.perception.silhouette import dishes, stances
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.objects import DISHES
from so_arm_policy.core.pinhole import Pinhole
from so_arm_policy.core.values import Image


@dataclass(frozen=True, kw_only=True)
class PerceptionConfig:
    """Numbers of the perception.

    colors: see there. least_pixels: of a spot. most_cost: of a fit that counts. same_m: how near to each other two
    cameras must see a thing to mean the same one.
    """

    colors: ColorConfig = field(default_factory=ColorConfig)
    least_pixels: int = 14
    most_cost: float = 0.45
    same_m: float = 0.03


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
        """Return what stands on the table: found in the first picture, made more exact with the others.

        wanted: colours of the things to look for; None for all things and places.
        """
        spots = [self._spots(picture, LABELS if wanted is None else wanted) for picture in pictures]
        things: list[Thing] = []
        found_places: dict[str, tuple[float, FloatArray]] = {}
        for label, here in spots[0].items():
            for spot in here:
                if label == CHINA:
                    fit = best_fit([spot], dishes())
                    if fit.cost <= self._config.most_cost and fit.cost < found_places.get(fit.stance.kind, (9.9,))[0]:
                        floor = DISHES[fit.stance.kind].floor_m
                        found_places[fit.stance.kind] = fit.cost, np.array([fit.x, fit.y, floor])
                    continue
                thing = self._explained(label, spot, [others.get(label, []) for others in spots[1:]])
                if thing is not None:
                    things.append(thing)
        return Tabletop(things=tuple(things), places={name: place for name, (_, place) in found_places.items()})

    def _explained(self, color: str, spot: Spot, elsewhere: Sequence[Sequence[Spot]]) -> Thing | None:
        """Return the thing that a spot is, with what other cameras see of it; None where it is none that is known."""
        fit = best_fit([spot], stances())
        same = [spot]
        for others in elsewhere:
            same += [other for other in others if _apart(other, fit) <= self._config.same_m][:1]
        if len(same) > 1:
            fit = best_fit(same, stances())
        if fit.cost > self._config.most_cost:
            return None
        return Thing(
            color=color,
            kind=fit.stance.kind,
            position=np.array([fit.x, fit.y, fit.stance.height]),
            R_world_thing=fit.stance.rotation(fit.yaw),
            hidden=hidden(same, fit),
        )

    def _spots(self, picture: Picture, wanted: Collection[str]) -> dict[str, list[Spot]]:
        shown = labels(picture.rgb, picture.hidden, self._config.colors)
        return {
            name: spots
            for i, name in enumerate(LABELS)
            if name in wanted and (spots := self._spots_of(picture, shown, i))
        }

    def _spots_of(self, picture: Picture, shown: Labels, label: int) -> list[Spot]:
        mask = (shown == label).astype(np.uint8)
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        height, width = shown.shape
        spots = []
        for number in range(1, count):
            x, y, w, h, pixels = (int(v) for v in stats[number])
            if pixels < self._config.least_pixels:
                continue
            left, top = max(0, x - MARGIN_PX), max(0, y - MARGIN_PX)
            right, bottom = min(width, x + w + MARGIN_PX), min(height, y + h + MARGIN_PX)
            part = (slice(top, bottom), slice(left, right))
            own = numbers[part] == number
            unsure = (picture.hidden[part] | (shown[part] != NOTHING)) & ~own
            spots.append(Spot(picture.view, (left, top, right, bottom), own, unsure))
        return spots


def _apart(spot: Spot, fit: Fit) -> float:
    """How far what a spot shows is from a fit, on the table, m."""
    x, y, _ = spot.view.on_plane(spot.middle, fit.stance.height).tolist()
    distance = float(np.hypot(x - fit.x, y - fit.y))
    return distance if np.isfinite(distance) else np.inf
