import dataclasses
import math

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.keep_out import KeepOutBox, KeepOutSphere
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_links import arm_links
from so_arm_policy.sim.clearance import KINDS, NEAR_BY_DESIGN, Clearance
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator

MARGIN_M = 0.03


@pytest.fixture(scope="module")
def clearance(robot):
    return Clearance(robot)


@pytest.fixture(scope="module")
def two_arms():
    return load_robot("so101_bimanual")


@pytest.fixture(scope="module")
def two_clearance(two_arms):
    return Clearance(two_arms)


def of(clearance, q, kind):
    return clearance.nearest(q)[KINDS.index(kind)]


def distances(clearance, q):
    return [found.distance_m for found in clearance.nearest(q)]


def poses(robot, count, seed=0):
    return np.random.default_rng(seed).uniform(robot.lower, robot.upper, (count, len(robot.joints)))


def changed(robot, **angles):
    q = robot.home.copy()
    for name, angle in angles.items():
        q[robot.joint_names.index(name)] = angle
    return q


def placed(simulator, q):
    simulator.reset(random_scene(0), q)
    return simulator.data


def corners(data, link, prefix=""):
    """Every corner of a link in the world as the simulator places it, (v, 3) m."""
    body = data.body(prefix + (link.name if link.name != "moving_jaw" else "moving_jaw_so101_v1"))
    return link.corners @ body.xmat.reshape(3, 3).T + body.xpos


def test_every_kind_is_told_in_order(clearance, two_clearance, robot, two_arms):
    assert tuple(found.kind for found in clearance.nearest(robot.home)) == KINDS
    assert tuple(found.kind for found in two_clearance.nearest(two_arms.home)) == KINDS


def test_home_is_free(clearance, two_clearance, robot, two_arms):
    for asked, config in ((clearance, robot), (two_clearance, two_arms)):
        assert all((n.distance_m, n.first, n.second) == (MARGIN_M, "", "") for n in asked.nearest(config.home))


def test_rest_is_clear_of_itself_and_the_table(clearance, robot, two_clearance, two_arms):
    """A supervisor must let the arm go there."""
    for asked, config in ((clearance, robot), (two_clearance, two_arms)):
        by_kind = {found.kind: found for found in asked.nearest(config.rest)}
        assert by_kind["self"].distance_m > 0.008
        assert by_kind["table"].distance_m > 0.02
        assert by_kind["arms"].distance_m == by_kind["hands"].distance_m == MARGIN_M


def test_table_distance_is_the_height_of_the_lowest_corner(clearance, robot, simulator):
    moving = [link for link in arm_links() if link.joints >= 2]
    checked = set()
    for q in poses(robot, 60):
        data = placed(simulator, q)
        lowest = {link.name: corners(data, link)[:, 2].min() for link in moving}
        found = of(clearance, q, "table")
        assert found.distance_m == pytest.approx(min(*lowest.values(), MARGIN_M), abs=1e-3)
        assert found.distance_m >= min(*lowest.values(), MARGIN_M) - 1e-6  # a hull lies inside, not outside
        if found.first:
            assert lowest[found.first] == pytest.approx(found.distance_m, abs=1e-3)
            checked.add(found.first)
    assert len(checked) >= 3


def test_lowering_the_arm_leads_into_the_table(clearance, robot):
    way = [changed(robot, shoulder_lift=lift) for lift in np.linspace(-0.6, 0.6, 61)]
    heights = [of(clearance, q, "table").distance_m for q in way]
    assert heights[0] == MARGIN_M
    assert heights[-1] < -0.05
    assert (np.diff(heights) <= 1e-9).all()
    assert of(clearance, way[-1], "table").first in ("gripper", "moving_jaw", "camera_mount")


def test_sphere_is_found_where_the_corners_say(robot, simulator):
    """No corner is nearer than told by more than the hull's error; the fingertip lies 2 cm beside the fixed jaw."""
    for q in poses(robot, 12, seed=1):
        data = placed(simulator, q)
        tip = simulator.fingertip()
        sphere = KeepOutSphere(name="lamp", center_xyz_m=tuple(tip + [0.0, 0.0, 0.03]), radius_m=0.02)
        found = of(Clearance(robot, [sphere]), q, "keep_out")
        spread = np.concatenate([corners(data, link) for link in arm_links() if link.name != "base"])
        corner = np.linalg.norm(spread - sphere.center_xyz_m, axis=1).min() - sphere.radius_m
        assert found.second == "lamp"
        assert found.distance_m <= corner + 1e-3
        assert found.distance_m <= np.linalg.norm(tip - sphere.center_xyz_m) - sphere.radius_m + 0.022


def test_sphere_under_the_jaws_is_as_far_as_geometry_says(robot, simulator):
    """Straight under the lowest corner of the jaws, which is what is near."""
    q = changed(robot, shoulder_lift=0.0, elbow_flex=0.0, wrist_flex=1.57)
    data = placed(simulator, q)
    spread = np.concatenate([corners(data, link) for link in arm_links() if link.joints >= 5])
    lowest = spread[spread[:, 2].argmin()]
    for gap in (0.002, 0.01, 0.025):
        ball = KeepOutSphere(name="ball", center_xyz_m=tuple(lowest - [0.0, 0.0, 0.01 + gap]), radius_m=0.01)
        assert of(Clearance(robot, [ball]), q, "keep_out").distance_m == pytest.approx(gap, abs=1e-3)


def test_moving_a_box_away_increases_the_distance(robot, simulator):
    simulator.reset(random_scene(0))
    x, y, z = simulator.fingertip()
    told = []
    for away in np.linspace(-0.1, 0.04, 29):
        box = KeepOutBox(name="wall", center_xyz_m=(x + 0.1 + away, y, z), half_sizes_m=(0.05, 0.2, 0.2))
        told.append(of(Clearance(robot, [box]), robot.home, "keep_out").distance_m)
    assert told[0] < -0.03
    assert told[-1] == MARGIN_M
    assert (np.diff(told) >= -1e-6).all()
    inner = [t for t in told if 0.001 < t < MARGIN_M - 0.001]
    assert np.diff(inner) == pytest.approx(0.005, abs=1e-6)  # straight away from it


def test_a_box_turned_by_a_right_angle_is_one_with_sides_swapped(robot, simulator):
    simulator.reset(random_scene(0))
    x, y, z = simulator.fingertip()
    center = (x + 0.05, y + 0.05, z)
    box = KeepOutBox(name="box", center_xyz_m=center, half_sizes_m=(0.01, 0.03, 0.02), yaw_rad=math.pi / 2)
    same = KeepOutBox(name="box", center_xyz_m=center, half_sizes_m=(0.03, 0.01, 0.02))
    turned, plain = (of(Clearance(robot, [b], margin_m=0.2), robot.home, "keep_out") for b in (box, same))
    assert turned.distance_m == pytest.approx(plain.distance_m, abs=1e-6)
    assert turned.first == plain.first


def test_an_arm_that_stands_elsewhere_sees_the_volume_that_stands_so_too(robot, simulator):
    simulator.reset(random_scene(0))
    x, y, z = simulator.fingertip() + [0.05, 0.01, 0.0]
    half_sizes, yaw, shift = (0.01, 0.03, 0.02), 0.7, (0.1, -0.3)
    box = KeepOutBox(name="box", center_xyz_m=(x, y, z), half_sizes_m=half_sizes)
    there = (
        math.cos(yaw) * x - math.sin(yaw) * y + shift[0],
        math.sin(yaw) * x + math.cos(yaw) * y + shift[1],
        z,
    )
    turned = KeepOutBox(name="box", center_xyz_m=there, half_sizes_m=half_sizes, yaw_rad=yaw)
    arm = dataclasses.replace(robot.arms[0], base_xyz=(*shift, 0.0), base_yaw=yaw)
    moved = Clearance(dataclasses.replace(robot, arms=(arm,)), [turned], margin_m=0.1)
    here = of(Clearance(robot, [box], margin_m=0.1), robot.home, "keep_out")
    assert 0.0 < here.distance_m < 0.1
    assert of(moved, robot.home, "keep_out").distance_m == pytest.approx(here.distance_m, abs=1e-6)


def test_self_collisions_are_found_by_sampling(clearance, robot):
    found = [of(clearance, q, "self") for q in poses(robot, 500)]
    touching = {(n.first, n.second) for n in found if n.distance_m < -0.005}
    assert {n for pair in touching for n in pair} >= {"base", "shoulder", "lower_arm", "wrist", "gripper", "moving_jaw"}
    assert min(n.distance_m for n in found) > -0.1
    free = sum(n.distance_m == MARGIN_M for n in found)
    assert 100 < free < 450  # no pair is always near


def test_turning_and_opening_the_gripper_touches_nothing(clearance, robot):
    """Pairs that are near by design do not show: jaws close, and the wrist sees the moving jaw go round."""
    for roll in np.linspace(-2.7, 2.7, 13):
        for opening in np.linspace(-0.17, 1.7, 7):
            q = changed(robot, wrist_roll=roll, gripper=opening, wrist_flex=0.0, elbow_flex=-0.5)
            assert of(clearance, q, "self").distance_m == MARGIN_M, (roll, opening)


def test_simulated_contact_of_links_is_never_missed(clearance, robot, simulator):
    """Where shapes of the simulator touch, so do ours. Pairs that are never asked about never touch there either."""
    seen = {"self": 0, "table": 0}
    for q in poses(robot, 150, seed=2):
        for contact in placed(simulator, q).contact:
            names = {name_in(simulator.model, geom) for geom in contact.geom}
            links = names & {link.name for link in arm_links()}
            kind = "self" if len(links) == 2 else "table" if links and "table" in names else None
            if kind is not None:
                seen[kind] += 1
                assert links not in NEAR_BY_DESIGN
                assert of(clearance, q, kind).distance_m <= contact.dist + 1e-3
    assert min(seen.values()) > 20


def name_in(model, geom):
    """What a shape of the simulator belongs to, as Clearance calls it."""
    body = model.body(model.geom_bodyid[geom]).name
    return model.geom(geom).name if body == "world" else body.removesuffix("_so101_v1")


def test_mirrored_poses_of_two_arms_are_as_near(two_clearance, two_arms):
    """The arms stand side by side and alike: exchanging their poses exchanges the names, where they do not meet."""
    left = np.array([n.startswith("left_") for n in two_arms.joint_names])
    for q in poses(two_arms, 40):
        swapped = np.concatenate([q[~left], q[left]])
        first, second = two_clearance.nearest(q), two_clearance.nearest(swapped)
        for kind in ("self", "table"):
            i = KINDS.index(kind)
            assert first[i].distance_m == pytest.approx(second[i].distance_m, abs=1e-6)
            if first[i].distance_m < 0.0:
                assert first[i].first.partition("_")[0] != second[i].first.partition("_")[0]


def test_two_arms_do_as_one_each_for_itself(clearance, two_clearance, robot, two_arms):
    for q in poses(robot, 40):
        both = two_clearance.nearest(np.concatenate([robot.home, q]))
        one = clearance.nearest(q)
        home = of(clearance, robot.home, "self").distance_m
        assert both[0].distance_m == pytest.approx(min(one[0].distance_m, home), abs=1e-6)
        assert both[1].distance_m == pytest.approx(one[1].distance_m, abs=1e-6)


def test_arms_that_turn_to_each_other_meet(two_clearance, two_arms):
    way = np.linspace(0.0, 1.4, 57)
    told = [
        two_clearance.nearest(changed(two_arms, left_shoulder_pan=turn, right_shoulder_pan=-turn, **stretched()))
        for turn in way
    ]
    arms, hands = (np.array([t[KINDS.index(k)].distance_m for t in told]) for k in ("arms", "hands"))
    assert arms[0] == hands[0] == MARGIN_M
    assert hands.min() < -0.01
    assert arms.min() < 0.0
    meeting = told[int(hands.argmin())][KINDS.index("hands")]
    assert meeting.first in ("left_gripper", "left_moving_jaw")
    assert meeting.second in ("right_gripper", "right_moving_jaw")


def stretched():
    return {f"{arm}_{joint}": 0.0 for arm in ("left", "right") for joint in ("shoulder_lift", "elbow_flex")}


def test_answers_depend_on_nothing_that_was_asked_before(clearance, robot):
    asked = poses(robot, 50)
    first = [clearance.nearest(q) for q in asked]
    again = [clearance.nearest(q) for q in asked[::-1]][::-1]
    assert first == again
    assert first[0] == Clearance(robot).nearest(asked[0])


def test_a_wider_margin_tells_more_and_the_same(clearance, robot):
    far = Clearance(robot, margin_m=0.1)
    for q in poses(robot, 40):
        wide, told = np.array(distances(far, q)), np.array(distances(clearance, q))
        assert (wide >= told - 1e-3).all()
        near = told > -0.005  # deeper, the search for the depth may end elsewhere
        assert np.minimum(wide, MARGIN_M)[near] == pytest.approx(told[near], abs=2e-4)


@pytest.mark.parametrize("q", [np.zeros(5), np.zeros((1, 6)), np.full(6, np.nan), np.array([0, 0, 0, 0, 0, np.inf])])
def test_bad_pose_is_refused(clearance, q):
    with pytest.raises(ShapeError, match="expected 6 finite numbers"):
        clearance.nearest(q)


@pytest.mark.parametrize("margin_m", [0.0, -0.01, 1.5, math.nan])
def test_bad_margin_is_refused(robot, margin_m):
    with pytest.raises(ConfigError, match="expected 0 < margin"):
        Clearance(robot, margin_m=margin_m)


BOX = {"name": "box", "center_xyz_m": (0.1, 0.2, 0.3), "half_sizes_m": (0.1, 0.1, 0.1), "yaw_rad": 0.5}
SPHERE = {"name": "ball", "center_xyz_m": (0.1, 0.2, 0.3), "radius_m": 0.1}


@pytest.mark.parametrize(
    ("volume", "wrong"),
    [
        (KeepOutBox, BOX | {"name": " "}),
        (KeepOutBox, BOX | {"center_xyz_m": (0.1, math.nan, 0.3)}),
        (KeepOutBox, BOX | {"half_sizes_m": (0.1, 0.0, 0.1)}),
        (KeepOutBox, BOX | {"half_sizes_m": (0.1, math.nan, 0.1)}),
        (KeepOutBox, BOX | {"yaw_rad": math.inf}),
        (KeepOutSphere, SPHERE | {"name": ""}),
        (KeepOutSphere, SPHERE | {"radius_m": -0.1}),
        (KeepOutSphere, SPHERE | {"radius_m": math.nan}),
        (KeepOutSphere, SPHERE | {"center_xyz_m": (math.inf, 0.0, 0.0)}),
    ],
)
def test_bad_volume_is_refused(volume, wrong):
    with pytest.raises(ConfigError, match="keep-out.*got.*expected"):
        volume(**wrong)


@pytest.mark.parametrize("name", ["ball", "table", "gripper"])
def test_a_name_that_is_in_use_is_refused(robot, name):
    with pytest.raises(ConfigError, match="expected one of its own"):
        Clearance(robot, [KeepOutSphere(**SPHERE), KeepOutBox(**BOX | {"name": name})])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volumes:
    boxes: tuple[KeepOutBox, ...] = ()
    spheres: tuple[KeepOutSphere, ...] = ()


def test_volumes_are_read_from_plain_mappings(robot):
    read = from_mapping(Volumes, {"boxes": [BOX | {"center_xyz_m": [0, 0.2, 0.3]}], "spheres": [SPHERE]})
    assert read.spheres == (KeepOutSphere(**SPHERE),)
    assert read.boxes[0].center_xyz_m == (0.0, 0.2, 0.3)
    assert from_mapping(Volumes, to_mapping(read)) == read
    with pytest.raises(ConfigError, match="expected 3"):
        from_mapping(Volumes, {"boxes": [BOX | {"half_sizes_m": [0.1, 0.1]}]})
    Clearance(robot, [*read.boxes, *read.spheres])


def test_an_unknown_joint_is_refused(robot):
    other = tuple(dataclasses.replace(j, name=f"x_{j.name}") for j in robot.joints)
    with pytest.raises(ConfigError, match="so101"):
        Clearance(dataclasses.replace(robot, joints=other, aliases={}))


def test_the_model_stands_as_the_simulator_does(two_arms, two_clearance):
    simulator = Simulator(two_arms, random_scene(0))
    for q in poses(two_arms, 10):
        data = placed(simulator, q)
        lowest = min(
            corners(data, link, arm.prefix)[:, 2].min()
            for arm in two_arms.arms
            for link in arm_links()
            if link.joints >= 2
        )
        assert of(two_clearance, q, "table").distance_m == pytest.approx(min(lowest, MARGIN_M), abs=1e-3)
