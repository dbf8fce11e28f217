import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.sim.motion import Motion
from so_arm_policy.sim.scene import EVERYTHING, FOUNDATION, HELD_OUT_PAIRS, Scene, random_scene


@given(st.integers(0, 2**40))
def test_every_scene_has_cubes_apart_in_different_colours_and_survives_json(seed):
    scene = random_scene(seed)
    colors = [thing.color for thing in scene.objects]
    assert len(set(colors)) == len(colors)
    assert set(colors) <= set(COLORS)
    assert scene.plate_x is None
    for i, a in enumerate(scene.objects):
        assert 0.17 <= math.hypot(a.x, a.y) <= 0.27
        assert all(math.dist((a.x, a.y), (b.x, b.y)) >= 0.075 for b in scene.objects[:i])
        assert math.dist((a.x, a.y), (scene.bowl_x, scene.bowl_y)) > 0.06
    assert from_mapping(Scene, json.loads(json.dumps(to_mapping(scene)))) == scene


def change(scene, **values):
    return to_mapping(scene) | values


def test_scenes_that_cannot_be_are_refused():
    scene = random_scene(0)
    with pytest.raises(ConfigError, match="got 2 objects, expected 3"):
        from_mapping(Scene, change(scene, objects=to_mapping(scene)["objects"][:2]))
    with pytest.raises(ConfigError, match="finite"):
        from_mapping(Scene, change(scene, bowl_x=math.nan))
    with pytest.raises(ConfigError, match="brightness"):
        from_mapping(Scene, change(scene, brightness=0.0))
    with pytest.raises(ConfigError, match="unknown key 'table'"):
        from_mapping(Scene, change(scene, table=1))
    with pytest.raises(ConfigError, match="got colour 'pink', expected one of"):
        change_object(scene, color="pink")
    with pytest.raises(ConfigError, match="got kind 'ball', expected one of"):
        change_object(scene, kind="ball")
    with pytest.raises(ConfigError, match="both numbers or neither"):
        from_mapping(Scene, change(scene, plate_x=0.1))
    with pytest.raises(ConfigError, match="camera moved"):
        from_mapping(Scene, change(scene, camera_aim=[0.0, 0.5]))
    with pytest.raises(ConfigError, match="tint"):
        from_mapping(Scene, change(scene, tint=[1.0, 0.0, 1.0]))


def change_object(scene, **values):
    mapping = to_mapping(scene)
    mapping["objects"][0] |= values
    return from_mapping(Scene, mapping)


@given(st.integers(0, 2**40))
def test_varied_scenes_have_different_objects_a_bowl_and_a_plate_and_survive_json(seed):
    scene = random_scene(seed, EVERYTHING)
    words = [thing.words for thing in scene.objects]
    assert len(set(words)) == len(words)
    assert not {tuple(w.split()) for w in words} & set(EVERYTHING.held_out)
    sides = math.copysign(1, scene.bowl_y), math.copysign(1, scene.plate_y)
    assert sorted(sides) == [-1, 1]
    for thing in scene.objects:
        for place in ((scene.bowl_x, scene.bowl_y), (scene.plate_x, scene.plate_y)):
            assert math.dist((thing.x, thing.y), place) > 0.085
    assert from_mapping(Scene, json.loads(json.dumps(to_mapping(scene)))) == scene
    assert random_scene(seed, EVERYTHING) == scene


def test_scenes_about_held_out_pairs_have_one_and_name_it():
    met = set()
    for seed in range(40):
        scene = random_scene(seed, HELD_OUT_PAIRS)
        (target,) = HELD_OUT_PAIRS.targets(scene)
        thing = scene.objects[target]
        met.add((thing.color, thing.kind))
    assert met == set(EVERYTHING.held_out)


def test_training_meets_every_colour_every_kind_and_all_other_pairs():
    seen = {(o.color, o.kind) for seed in range(300) for o in random_scene(seed, EVERYTHING).objects}
    assert seen == {(c, k) for c in COLORS for k in KINDS} - set(EVERYTHING.held_out)
    assert {o.kind for seed in range(20) for o in random_scene(seed, FOUNDATION).objects} == {"cube"}


def path(**changes):
    values = {"object": 1, "speed": 0.05, "radius": (0.22, 0.02, 0.0), "angle": (0.0, 0.0, 0.3), "start": 1.0}
    return Motion(**(values | changes))


def test_a_moving_object_keeps_its_speed_and_comes_round():
    motion = path()
    for time_s in (0.0, 0.7, 3.1, 20.0):
        place, velocity = motion.at(time_s)
        assert math.hypot(*velocity) == pytest.approx(0.05, rel=0.02)
        later, _ = motion.at(time_s + 0.01)
        assert later - place == pytest.approx(velocity * 0.01, abs=3e-5)
        assert motion.at(time_s + motion.length_m / 0.05)[0] == pytest.approx(place, abs=1e-6)
    assert 0.0 < motion.tightest_m() < 0.3


STANDING = {"radius": (0.2,), "angle": (0.0,)}


@pytest.mark.parametrize(
    "changes",
    [
        {"speed": 0.0},
        {"speed": math.nan},
        {"radius": (0.2, 0.1)},
        {"angle": (math.inf,)},
        {"radius": (0.2,), "angle": (0.0,)},
    ],
)
def test_paths_that_lead_nowhere_are_refused(changes):
    with pytest.raises(ConfigError, match="motion: got"):
        path(**changes)


def test_motion_of_an_object_that_is_not_there_is_refused():
    scene = random_scene(0)
    mapping = change(scene, motion=to_mapping(path()))
    assert from_mapping(Scene, json.loads(json.dumps(mapping))).motion == path()
    with pytest.raises(ConfigError, match="got motion of object 3"):
        from_mapping(Scene, change(scene, motion=to_mapping(path(object=3))))
