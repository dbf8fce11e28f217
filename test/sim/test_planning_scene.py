"""What a planner is told of the table: as near as the simulator's own shapes say, whatever was shown before."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.planner import MotionPlanner
from so_arm_policy.control.motion.query import PlanError, Why
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.errors import ConfigError, InputError, ShapeError
from so_arm_policy.core.keep_out import KeepOutSphere
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.objects import KINDS
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action, TickInput
from so_arm_policy.sim.arm_links import arm_links
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.planning_scene import LOOK_AHEAD_M, MOST_THINGS, Margins, PlanningScene
from so_arm_policy.sim.scene import EVERYTHING, random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.truth import tabletop_of

BARE = Tabletop(things=(), places={})
NO_MARGINS = Margins(**dict.fromkeys(to_mapping(Margins()), 0.0))


@pytest.fixture(scope="module")
def scene(robot):
    """With no margins, so that who is not free touches."""
    return PlanningScene(robot, margins=NO_MARGINS)


@pytest.fixture(scope="module")
def two_arms():
    return load_robot("so101_bimanual")


@pytest.fixture(scope="module")
def ik(robot):
    return ArmIk(arm_spec().compile(), robot)


def poses(robot, count, seed=0):
    return np.random.default_rng(seed).uniform(robot.lower, robot.upper, (count, len(robot.joints)))


def thing(kind, position, yaw=0.0, color="red"):
    c, s = math.cos(yaw), math.sin(yaw)
    R_world_thing = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Thing(color=color, kind=kind, position=np.array(position), R_world_thing=R_world_thing)


def table(*things, **places):
    return Tabletop(things=things, places={name: np.array(at) for name, at in places.items()})


def above(ik, robot, x, y, z):
    """A pose with the fingertip at a point, the gripper pointing down."""
    return ik.solve(np.array([x, y, z]), robot.home, roll=0.0, tolerance_m=2e-3)


def test_a_bare_table_is_as_clearance_has_it(scene, robot):
    clearance = Clearance(robot, margin_m=LOOK_AHEAD_M)
    scene.show(BARE)
    seen = set()
    for q in poses(robot, 200):
        nearest = min(clearance.nearest(q), key=lambda found: found.distance_m)
        near = scene.near(q)
        assert (near.room_m, near.distance_m) == (nearest.distance_m, nearest.distance_m)
        assert (near.first, near.second) == (nearest.first, nearest.second)
        seen.add(near.second)
    assert {"table", ""} <= seen


def test_contacts_of_the_simulator_are_never_missed(scene, robot):
    """Wherever shapes of the simulator touch, the planner sees a collision at least as deep, less the hulls' error."""
    simulator = Simulator(robot, random_scene(0, EVERYTHING))
    links = {link.name for link in arm_links()}
    seen = {"thing": 0, "bowl": 0, "plate": 0}
    for seed in range(60):
        simulator.reset(random_scene(seed, EVERYTHING))
        scene.show(tabletop_of(simulator))
        for q in poses(robot, 20, seed):
            simulator.reset(simulator.scene, q)
            for contact in simulator.data.contact:
                bodies = {
                    simulator.model.body(int(simulator.model.geom_bodyid[geom])).name.removesuffix("_so101_v1")
                    for geom in contact.geom
                }
                what = next((name for name in bodies if name.startswith("object") or name in seen), None)
                if what is not None and bodies & links:
                    seen["thing" if what.startswith("object") else what] += 1
                    assert scene.near(q).distance_m <= contact.dist + 1e-3
    assert min(seen.values()) > 3, seen


@pytest.mark.parametrize("kind", KINDS)
def test_the_distance_to_a_thing_is_that_of_geometry(scene, robot, ik, kind):
    """Straight under the jaws: as far as the table was, less the height of the thing."""
    q = above(ik, robot, 0.22, 0.0, 0.085)
    wide = PlanningScene(robot, margins=Margins(**{**to_mapping(NO_MARGINS), "table": 0.1, "thing": 0.1}))
    lowest = wide.near(q)
    assert lowest.second == "table"
    half = thing(kind, (0.0, 0.0, 0.0)).half_height
    x, y, _ = lowest_corner(wide, lowest.first)
    wide.show(table(thing(kind, (x, y, half))))
    near = wide.near(q)
    assert (near.first, near.second) == (lowest.first, f"red {kind}")
    assert near.distance_m == pytest.approx(lowest.distance_m - 2 * half, abs=1e-3)


def lowest_corner(scene, link):
    """The lowest point of a link where it was placed last, (3,) m."""
    body = scene.data.body(link)
    corners = next(part.corners for part in arm_links() if part.name == link)
    spread = corners @ body.xmat.reshape(3, 3).T + body.xpos
    return spread[spread[:, 2].argmin()]


def test_a_thing_is_where_it_is_shown_last(scene, robot, ik):
    q = above(ik, robot, 0.22, 0.0, 0.03)
    places = [(0.22, 0.0, 0.015), (0.22, 0.15, 0.015), (0.22, 0.0, 0.015)]
    free = []
    for place in places:
        scene.show(table(thing("cube", place)))
        free.append(scene.near(q).room_m > 0.0)
    assert free == [False, True, False]
    scene.show(BARE)
    assert scene.near(q).room_m > 0.0


def test_answers_do_not_depend_on_what_was_shown_before(scene, robot):
    simulator = Simulator(robot, random_scene(1, EVERYTHING))
    asked, shown = poses(robot, 100), tabletop_of(simulator)
    scene.show(shown)
    first = [scene.near(q) for q in asked]
    scene.show(table(thing("can", (0.2, 0.0, 0.02)), bowl=(0.1, 0.2, 0.004)), carried={0: 0}, q=robot.home)
    [scene.near(q) for q in asked]
    scene.show(shown)
    assert [scene.near(q) for q in asked] == first
    fresh = PlanningScene(robot, margins=NO_MARGINS)
    fresh.show(shown)
    assert [fresh.near(q) for q in asked] == first


def test_a_thing_that_lies_anyhow_is_turned_so(scene, robot):
    tilted = thing("brick", (0.2, 0.05, 0.03), 0.4).R_world_thing @ [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    lying = dataclasses.replace(thing("brick", (0.2, 0.05, 0.03)), R_world_thing=tilted)
    scene.show(table(thing("can", (0.2, -0.1, 0.021)), lying))
    scene.place(robot.home)
    geom = scene.data.geom("thing 1 brick")
    np.testing.assert_allclose(geom.xpos, lying.position, atol=1e-12)
    np.testing.assert_allclose(geom.xmat.reshape(3, 3), tilted, atol=1e-12)


def test_what_is_ignored_may_be_touched(scene, robot, ik):
    q = above(ik, robot, 0.22, 0.0, 0.03)
    shown = table(thing("cube", (0.22, 0.0, 0.015)), thing("cube", (0.22, 0.0, 0.016), color="blue"))
    scene.show(shown, ignored=[0])
    assert scene.near(q).second == "blue cube"
    scene.show(shown, ignored=[0, 1])
    assert scene.near(q).room_m > 0.0
    bowl = table(bowl=(0.17, 0.0, 0.004))
    scene.show(bowl)
    assert scene.near(q).second == "bowl"
    scene.show(bowl, ignored_places=["bowl"])
    assert scene.near(q).room_m > 0.0


def test_the_bowl_is_hollow_and_the_plate_flat(scene, robot, ik):
    """The tip fits between the walls of a bowl, where a solid one would be in the way; lower it meets the floor."""
    scene.show(table(bowl=(0.22, 0.0, 0.004), plate=(0.0, 0.24, 0.006)))
    wall = [scene.near(above(ik, robot, 0.22 + dx, 0.0, 0.055)) for dx in (0.0, 0.055)]
    assert wall[0].room_m > 0.0
    assert wall[1].second == "bowl"
    scene.show(table(plate=(0.22, 0.0, 0.006)))
    assert scene.near(above(ik, robot, 0.22, 0.0, 0.03)).room_m > 0.0
    assert scene.near(above(ik, robot, 0.22, 0.0, 0.008)).second == "plate"


def test_what_is_carried_goes_with_the_hand_and_is_no_obstacle_to_it(scene, robot, ik):
    grasp = above(ik, robot, 0.22, 0.0, 0.03)
    held, other = thing("can", (0.22, 0.0, 0.03)), thing("cube", (0.20, 0.12, 0.015), color="blue")
    scene.show(table(held, other), carried={0: 0}, q=grasp)
    assert scene.near(grasp).room_m > 0.0
    over = above(ik, robot, 0.20, 0.12, 0.045)
    assert scene.near(over).room_m < 0.0
    assert (scene.near(over).first, scene.near(over).second) == ("red can", "blue cube")
    scene.show(table(other))
    assert scene.near(over).room_m > 0.0
    scene.show(table(held, other), carried={0: 0}, q=grasp)
    low = above(ik, robot, 0.22, 0.0, 0.018)
    assert (scene.near(low).first, scene.near(low).second) == ("red can", "table")


def test_a_carried_thing_is_where_the_hand_takes_it(scene, robot, ik):
    """Its shape in the model, at another pose, against the rigid motion of the hand."""
    grasp, held = above(ik, robot, 0.22, 0.02, 0.03), thing("brick", (0.22, 0.02, 0.03), 0.7)
    scene.show(table(held), carried={0: 0}, q=grasp)
    scene.place(grasp)
    hand, geom = scene.data.body("gripper"), scene.data.geom("held brick")
    np.testing.assert_allclose(geom.xpos, held.position, atol=1e-12)
    np.testing.assert_allclose(geom.xmat.reshape(3, 3), held.R_world_thing, atol=1e-12)
    local = hand.xmat.reshape(3, 3).T @ (geom.xpos - hand.xpos)
    scene.place(above(ik, robot, 0.15, -0.1, 0.1))
    np.testing.assert_allclose(hand.xmat.reshape(3, 3).T @ (geom.xpos - hand.xpos), local, atol=1e-12)


def test_two_arms_that_carry_one_each_see_where_these_meet(two_arms):
    simulator = Simulator(two_arms, random_scene(0))
    start = two_arms.home.copy()
    pans = [two_arms.joint_names.index(f"{side}_shoulder_pan") for side in ("left", "right")]
    for side, joint in itertools.product(("left", "right"), ("shoulder_lift", "elbow_flex")):
        start[two_arms.joint_names.index(f"{side}_{joint}")] = 0.0
    simulator.reset(simulator.scene, start)
    held = [thing("brick", simulator.fingertip(arm), color=color) for arm, color in enumerate(("red", "blue"))]
    asked = PlanningScene(two_arms, margins=NO_MARGINS)
    asked.show(table(*held), carried={0: 0, 1: 1}, q=start)
    assert asked.near(start).room_m > 0.0
    met = []
    for turn in np.linspace(0.0, 1.4, 281):
        start[pans] = turn, -turn
        near = asked.near(start)
        if near.room_m <= 0.0:
            met.append({near.first, near.second})
    assert any("brick" in name for name in met[0]), met[0]
    assert {"red brick", "blue brick"} in met
    asked.show(BARE)
    start[pans] = 0.0
    assert asked.near(start).room_m > 0.0


def test_margins_are_taken_off(robot, ik):
    q = above(ik, robot, 0.22, 0.0, 0.03)
    plain, wide = (PlanningScene(robot, margins=m) for m in (NO_MARGINS, dataclasses.replace(NO_MARGINS, table=0.05)))
    assert plain.near(q).room_m > 0.0
    near = wide.near(q)
    assert near.second == "table"
    assert near.distance_m - near.room_m == pytest.approx(0.05)
    assert 0.0 < near.distance_m < 0.05


def test_keep_outs_are_kept_out_of_by_what_is_carried_too(robot, ik):
    grasp = above(ik, robot, 0.22, 0.0, 0.06)
    ball = KeepOutSphere(name="ball", center_xyz_m=(0.22, 0.0, 0.02), radius_m=0.01)
    asked = PlanningScene(robot, [ball], NO_MARGINS)
    assert asked.near(grasp).room_m > 0.0
    asked.show(table(thing("can", (0.22, 0.0, 0.05))), carried={0: 0}, q=grasp)
    assert (asked.near(grasp).first, asked.near(grasp).second) == ("red can", "ball")


def test_planned_motions_on_tables_do_not_touch(robot, ik):
    """At ten times the resolution of the planner, with what the margins leave: nothing touches."""
    asked, exact = PlanningScene(robot), PlanningScene(robot, margins=NO_MARGINS)
    planner = MotionPlanner(PlannerConfig(), robot)
    searched = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        shown = tabletop_of(Simulator(robot, random_scene(seed, EVERYTHING)))
        asked.show(shown)
        exact.show(shown)
        start, goal = (low_pose(ik, robot, asked, rng) for _ in range(2))
        path = planner.plan(start, [goal], asked.near, seed=seed)
        searched += len(path) > 2
        motion = planner.timed(path, asked.near)
        step = PlannerConfig().resolution_rad / 10 / np.linalg.norm(planner.limits.velocity)
        assert min(exact.near(motion.at(t)[0]).room_m for t in np.arange(0.0, motion.duration_s, step)) > 0.0
        np.testing.assert_allclose(motion.end, goal, atol=1e-9)
        again = planner.timed(planner.plan(start, [goal], asked.near, seed=seed), asked.near)
        np.testing.assert_array_equal(motion.q, again.q)
    assert searched >= 2


def test_the_supervisor_finds_nothing_to_correct_in_planned_motions(robot, ik):
    """Its margins are below those that motions are planned with, also where a pose to brake to is asked about."""
    asked = PlanningScene(robot)
    supervisor = Supervisor(SupervisorConfig(), robot, "planner", Clearance(robot))
    rng, planner = np.random.default_rng(0), MotionPlanner(PlannerConfig(), robot)
    q, k = low_pose(ik, robot, asked, rng), 0
    for seed in range(6):
        motion = planner.move(q, [low_pose(ik, robot, asked, rng)], asked.near, seed=seed)
        for t in np.arange(0.0, motion.duration_s + 1 / 120, 1 / 120):
            now = 10**18 + k * 8_333_333
            sample = JointSample(stamp_ns=now, received_ns=now, q=q, dq=np.zeros(len(q)))
            q, dq, _ = motion.at(t)
            wish = Proposal(
                source="planner",
                sequence=k,
                stamp_ns=now,
                observation_stamp_ns=now,
                received_ns=now,
                joint_names=robot.joint_names,
                q=q,
                dq=dq,
            )
            tick = TickInput(now_ns=now, ros_now_ns=now, sample=sample, proposals={"planner": wish})
            assert supervisor.step(tick).action is Action.PASS
            k += 1
        q = motion.end
    assert k > 500


def low_pose(ik, robot, scene, rng):
    """A free pose with the fingertip between the things."""
    while True:
        radius, angle = rng.uniform(0.15, 0.28), rng.uniform(-1.3, 1.3)
        point = np.array([radius * math.cos(angle), radius * math.sin(angle), rng.uniform(0.02, 0.05)])
        try:
            q = ik.solve(point, robot.home, roll=rng.uniform(-1.5, 1.5), tolerance_m=5e-3)
        except InputError:
            continue
        if scene.near(q).room_m > 0.0:
            return q


def test_a_start_in_a_thing_names_it(scene, robot, ik):
    q = above(ik, robot, 0.22, 0.0, 0.03)
    scene.show(table(thing("cube", (0.22, 0.0, 0.015))))
    with pytest.raises(PlanError, match=r"red cube -?\d+\.\d mm apart") as error:
        MotionPlanner(PlannerConfig(), robot).plan(q, [robot.home], scene.near, seed=0)
    assert error.value.why is Why.START_NOT_FREE


def test_what_cannot_be_shown_is_refused_and_changes_nothing(scene, robot, ik):
    q = above(ik, robot, 0.22, 0.0, 0.03)
    shown = table(thing("cube", (0.22, 0.0, 0.015)))
    scene.show(shown)
    before = scene.near(q)
    far = thing("can", (0.2, 0.2, 0.02))
    for wrong in (
        {"table": table(*[far] * (MOST_THINGS + 1))},
        {"table": table(far), "ignored": [1]},
        {"table": table(far), "ignored": [-1]},
        {"table": table(far), "carried": {0: 1}, "q": q},
        {"table": table(far), "carried": {1: 0}, "q": q},
        {"table": table(far), "carried": {0: 0}},
        {"table": table(far), "ignored_places": ["box"]},
        {"table": table(far, box=(0.0, 0.0, 0.0))},
    ):
        with pytest.raises(InputError, match="planning scene"):
            scene.show(wrong.pop("table"), **wrong)
        assert scene.near(q) == before
    for bad in (q[:-1], q * np.nan):
        with pytest.raises(ShapeError):
            scene.show(table(far), carried={0: 0}, q=bad)
        with pytest.raises(ShapeError):
            scene.near(bad)
    assert scene.near(q) == before


@pytest.mark.parametrize("name", list(to_mapping(Margins())))
@pytest.mark.parametrize("value", [math.nan, -0.001, 0.2])
def test_margins_that_are_none_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        Margins(**{name: value})


def test_room_for_things_is_checked(robot):
    with pytest.raises(ConfigError, match="most_things"):
        PlanningScene(robot, most_things=-1)
