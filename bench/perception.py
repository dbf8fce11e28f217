"""How well perception by hand sees the table: against the simulator's truth, over many scenes.

`python bench/perception.py --seeds 3000:3100` prints errors of place and turn, things missed and mistaken, and how long
a look takes. Scenes are those of `pick_place`: lamps, paints and the overhead camera vary, the arm is at home, aside,
or both (as the planner does it: what is not seen from home is looked for from aside), or over the first thing, 2 cm
above it, which alone is looked for then. Each with the camera in the hand and, in rows marked `-`, without.
"""

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so_arm_policy.control.planner.look import ASIDE_RAD  # noqa: E402
from so_arm_policy.control.tabletop import Tabletop  # noqa: E402
from so_arm_policy.core.arrays import FloatArray  # noqa: E402
from so_arm_policy.core.objects import height  # noqa: E402
from so_arm_policy.core.robot import RobotConfig  # noqa: E402
from so_arm_policy.core.values import CameraImage, JointSample  # noqa: E402
from so_arm_policy.evaluate.agent import Moment  # noqa: E402
from so_arm_policy.evaluate.eval_command import parse_seeds  # noqa: E402
from so_arm_policy.evaluate.eyes import CameraEyes  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.sim.expert import arm_iks  # noqa: E402
from so_arm_policy.sim.renderer import SceneRenderer  # noqa: E402
from so_arm_policy.sim.scene import Scene  # noqa: E402
from so_arm_policy.sim.simulator import Simulator  # noqa: E402
from so_arm_policy.sim.tasks import make_task  # noqa: E402

OVER_M = 0.02
SAME_M = 0.03  # what is seen farther off is another thing
PERIODS = {"cube": math.pi / 2, "brick": math.pi}


@dataclass
class Errors:
    """What was found over all scenes. place_mm, turn_deg, dish_mm: of those found; look_ms: of each look."""

    things: int = 0
    missed: int = 0
    mistaken: int = 0
    made_up: int = 0
    place_mm: list[float] = field(default_factory=list)
    turn_deg: list[float] = field(default_factory=list)
    dishes_missed: int = 0
    dish_mm: list[float] = field(default_factory=list)
    look_ms: list[float] = field(default_factory=list)

    def add(self, scene: Scene, table: Tabletop, only: int | None = None) -> None:
        """Compare one look with the truth; of things only number `only`, if any, and then no dishes."""
        used = set()
        for thing in scene.objects if only is None else scene.objects[only : only + 1]:
            self.things += 1
            near = [
                (math.dist(seen.position[:2], (thing.x, thing.y)), i)
                for i, seen in enumerate(table.things)
                if seen.color == thing.color
            ]
            if not near or min(near)[0] > SAME_M:
                self.missed += 1
                continue
            distance, number = min(near)
            used.add(number)
            self.place_mm.append(distance * 1e3)
            seen = table.things[number]
            self.mistaken += seen.kind != thing.kind
            if seen.kind == thing.kind and thing.kind in PERIODS:
                turn = math.atan2(seen.R_world_thing[1, 0], seen.R_world_thing[0, 0]) - thing.yaw
                self.turn_deg.append(abs(math.degrees(math.remainder(turn, PERIODS[thing.kind]))))
        if only is not None:
            return
        self.made_up += len(table.things) - len(used)
        for name, place in {"bowl": (scene.bowl_x, scene.bowl_y), "plate": (scene.plate_x, scene.plate_y)}.items():
            if name in table.places:
                self.dish_mm.append(float(np.hypot(*(table.places[name][:2] - place))) * 1e3)
            else:
                self.dishes_missed += 1


class World:
    """Scenes and what the camera shows of them."""

    def __init__(self, robot: RobotConfig) -> None:
        """Compile the models."""
        self._eyes = {carried: CameraEyes(robot, carried=carried) for carried in (True, False)}
        self._renderer = SceneRenderer(robot)
        self._simulator: Simulator | None = None
        self._robot = robot

    def look(
        self, scene: Scene, q: FloatArray, carried: bool, wanted: frozenset[str] | None = None
    ) -> tuple[Tabletop, float]:
        """Return what is seen with the arm at `q` (n,) rad, and how long understanding took, ms.

        carried: whether with the camera in the hand.
        """
        if self._simulator is None:
            self._simulator = Simulator(self._robot, scene)
        simulator = self._simulator
        simulator.reset(scene, q)
        drawn: dict[str, CameraImage] = {}

        def shown(cameras: Sequence[str]) -> Mapping[str, CameraImage]:
            for name in cameras:
                rgb = self._renderer.render(scene, simulator.qpos, name)
                drawn[name] = CameraImage(camera=name, stamp_ns=1, rgb=rgb)
            return drawn

        sample = JointSample(stamp_ns=1, received_ns=1, q=simulator.q, dq=simulator.dq)
        shown([c.name for c in self._robot.cameras if carried or c.stand is not None])
        moment = Moment(tick=0, now_ns=1, sample=sample, following=False, look=lambda _: drawn, simulator=simulator)
        began = time.perf_counter()
        table = self._eyes[carried].look(moment, wanted)
        return table, (time.perf_counter() - began) * 1e3


def both(home: Tabletop, aside: Tabletop) -> Tabletop:
    """Return what is seen at home, and what is only seen from aside."""
    words = {thing.words for thing in home.things}
    more = tuple(thing for thing in aside.things if thing.words not in words)
    return Tabletop(things=home.things + more, places={**aside.places, **home.places})


def row(name: str, errors: Errors) -> str:
    """Return one line of the table."""

    def three(values: list[float]) -> str:
        return " / ".join(f"{np.percentile(values, p):.1f}" for p in (50, 95, 100)) if values else "-"

    cells = [
        f"{errors.things - errors.missed} of {errors.things}",
        str(errors.mistaken),
        str(errors.made_up),
        three(errors.place_mm),
        three(errors.turn_deg),
        str(errors.dishes_missed),
        three(errors.dish_mm),
        three(errors.look_ms),
    ]
    return f"{name:10}" + "".join(f"{cell:>24}" for cell in cells)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="3000:3100")
    seeds = parse_seeds(parser.parse_args().seeds)
    robot = load_robot("so101")
    world, task = World(robot), make_task("pick_place")
    aside = np.array(robot.home)
    aside[0] = ASIDE_RAD
    (ik,) = arm_iks(robot)
    found = {f"{name}{mark}": Errors() for name in ("home", "aside", "both", "over it") for mark in ("", " -")}
    for seed in seeds:
        scene = task.sample(seed).scene
        first = scene.objects[0]
        over = ik.solve(np.array([first.x, first.y, height(first.kind) + OVER_M]), robot.home)
        for carried, mark in ((True, ""), (False, " -")):
            tables = {}
            for name, q in (("home", robot.home), ("aside", aside)):
                tables[name], ms = world.look(scene, q, carried)
                found[name + mark].look_ms.append(ms)
                found[name + mark].add(scene, tables[name])
            found["both" + mark].look_ms.append(found["home" + mark].look_ms[-1] + found["aside" + mark].look_ms[-1])
            found["both" + mark].add(scene, both(tables["home"], tables["aside"]))
            table, ms = world.look(scene, over, carried, frozenset({first.color}))
            found["over it" + mark].look_ms.append(ms)
            found["over it" + mark].add(scene, table, only=0)
    titles = ("things found", "kind mistaken", "made up", "place mm", "turn deg", "dishes missed", "dish mm", "look ms")
    print(f"{len(seeds)} scenes; errors: median / 95 % / largest")
    print(f"{'arm':10}" + "".join(f"{title:>24}" for title in titles))
    for name, errors in found.items():
        print(row(name, errors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
