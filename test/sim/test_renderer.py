import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.model import build_model, standing_camera
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import EVERYTHING, random_scene


@pytest.fixture(scope="module")
def renderer(robot):
    renderer = SceneRenderer(robot)
    yield renderer
    renderer.close()


def test_pictures_have_the_size_of_the_camera_and_repeat(robot, simulator, renderer):
    scene = random_scene(2)
    simulator.reset(scene)
    for camera in robot.cameras:
        picture = renderer.render(scene, simulator.qpos, camera.name)
        assert picture.shape == (camera.height, camera.width, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 5.0
        assert np.array_equal(picture, renderer.render(scene, simulator.qpos, camera.name))


@pytest.mark.parametrize("seed", range(6))
def test_cubes_appear_where_the_camera_geometry_says_in_their_colour(robot, simulator, renderer, seed):
    scene = random_scene(seed)
    simulator.reset(scene, robot.rest)
    picture = renderer.render(scene, simulator.qpos, "overhead").astype(float)
    for cube in scene.objects:
        u, v = standing_camera(robot.camera("overhead")).shares(np.array([cube.x, cube.y, 0.02]))
        r, g, b = picture[int(v * picture.shape[0]), int(u * picture.shape[1])]
        seen = {"red": r > 1.6 * g, "green": g > 1.6 * r, "blue": b > 1.6 * r, "yellow": min(r, g) > 1.6 * b}
        assert seen[cube.color], (cube.color, r, g, b)


def test_unknown_camera_and_wrong_state_are_named(simulator, renderer):
    with pytest.raises(ConfigError, match="got camera 'belly'"):
        renderer.render(simulator.scene, simulator.qpos, "belly")
    with pytest.raises(ShapeError, match="simulator state"):
        renderer.render(simulator.scene, np.zeros(3), "overhead")


@pytest.mark.parametrize("seed", range(4))
def test_the_moved_camera_sees_varied_objects_where_its_geometry_says(robot, simulator, renderer, seed):
    scene = random_scene(seed, EVERYTHING)
    simulator.reset(scene, robot.rest)
    picture = renderer.render(scene, simulator.qpos, "overhead").astype(float)
    camera = robot.camera("overhead")
    for i, thing in enumerate(scene.objects):
        u, v = standing_camera(camera, scene).shares(simulator.object_position(i))
        seen = picture[int(v * picture.shape[0]), int(u * picture.shape[1])]
        wanted = np.array(thing.rgb) * np.array(scene.tint)
        cosine = seen @ wanted / np.linalg.norm(seen) / np.linalg.norm(wanted)
        assert cosine > 0.97 or (thing.color == "black" and seen.max() < 60), (thing.words, seen)
    moved = standing_camera(camera, scene).shares(np.zeros(3)) - standing_camera(camera).shares(np.zeros(3))
    assert 1e-5 < np.abs(moved).max() < 0.05


def test_two_arms_differ_in_colour_but_not_in_their_motors():
    model = build_model(load_robot("so101_bimanual"))
    shells = {arm: model.material(f"{arm}_upper_arm_so101_v1_material").rgba for arm in ("left", "right")}
    motors = {arm: model.material(f"{arm}_sts3215_03a_v1_material").rgba for arm in ("left", "right")}
    assert np.abs(shells["left"] - shells["right"]).max() > 0.3
    assert np.array_equal(motors["left"], motors["right"])
