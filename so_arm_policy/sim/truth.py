"""What stands on the simulated table, told truthfully: the eyes of privileged controllers."""

from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.sim.places import place_center, places_of
from so_arm_policy.sim.simulator import Simulator


def tabletop_of(simulator: Simulator) -> Tabletop:
    """Return the present state, objects in the order of the scene."""
    things = tuple(
        Thing(
            color=thing.color,
            kind=thing.kind,
            position=simulator.object_position(i),
            R_world_thing=simulator.object_rotation(i),
        )
        for i, thing in enumerate(simulator.scene.objects)
    )
    places = {name: place_center(simulator.scene, name) for name in places_of(simulator.scene)}
    return Tabletop(things=things, places=places)
