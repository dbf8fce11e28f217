import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.sim.scene import COLORS, Scene, random_scene


@given(st.integers(0, 2**40))
def test_every_scene_has_cubes_apart_in_different_colours_and_survives_json(seed):
    scene = random_scene(seed)
    colors = [cube.color for cube in scene.cubes]
    assert len(set(colors)) == len(colors)
    assert set(colors) <= set(COLORS)
    for i, a in enumerate(scene.cubes):
        assert 0.17 <= math.hypot(a.x, a.y) <= 0.27
        assert all(math.dist((a.x, a.y), (b.x, b.y)) >= 0.075 for b in scene.cubes[:i])
        assert math.dist((a.x, a.y), (scene.bowl_x, scene.bowl_y)) > 0.06
    assert from_mapping(Scene, json.loads(json.dumps(to_mapping(scene)))) == scene


def change(scene, **values):
    return to_mapping(scene) | values


def test_scenes_that_cannot_be_are_refused():
    scene = random_scene(0)
    with pytest.raises(ConfigError, match="got 2 cubes, expected 3"):
        from_mapping(Scene, change(scene, cubes=to_mapping(scene)["cubes"][:2]))
    with pytest.raises(ConfigError, match="finite"):
        from_mapping(Scene, change(scene, bowl_x=math.nan))
    with pytest.raises(ConfigError, match="brightness"):
        from_mapping(Scene, change(scene, brightness=0.0))
    with pytest.raises(ConfigError, match="unknown key 'table'"):
        from_mapping(Scene, change(scene, table=1))
