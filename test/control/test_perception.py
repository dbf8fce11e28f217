"""Perception by hand, on pictures that are drawn here: light, colours, silhouettes."""

import math

import cv2
import numpy as np
import pytest

from so_arm_policy.control.perception.colors import CHINA, LABELS, NOTHING, ColorConfig, flattened, labels
from so_arm_policy.control.perception.perception import Perception, Picture
from so_arm_policy.control.perception.silhouette import coverage, dishes, outline, stances
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.objects import COLORS
from so_arm_policy.core.pinhole import Pinhole, look_at
from so_arm_policy.core.robot import CameraConfig

CAMERA = CameraConfig(name="overhead", width=160, height=120, fps=30.0, fovy_deg=42.0, frame_id="f")
POSITION, TARGET = np.array([0.52, 0.0, 0.46]), np.array([0.19, 0.0, 0.0])
VIEW = Pinhole(CAMERA, POSITION, look_at(POSITION, TARGET))
TABLE = np.array(ColorConfig().table_rgb)
CREAM = (0.93, 0.91, 0.86)
NOTHING_HIDDEN = np.zeros((120, 160), dtype=np.bool_)


HAND = CameraConfig(name="wrist", width=160, height=120, fps=30.0, fovy_deg=70.0, frame_id="w")


def hand_view(x, y):
    """Return a camera in a hand that is a little aside of, and above, a place on the table."""
    position = np.array([x - 0.05, y, 0.11])
    return Pinhole(HAND, position, look_at(position, (x, y, 0.0)))


def drawn(things, light=None, view=VIEW):
    """Return a picture of things: (stance, x, y, yaw, rgb), where later ones hide earlier ones."""
    picture = np.tile(TABLE, (120, 160, 1))
    for stance, x, y, yaw, rgb in things:
        hull = outline(stance.placed(x, y, yaw), view)
        picture[coverage(hull, (0, 0, 160, 120)) > 0.5] = rgb
    lit = picture * (1.0 if light is None else light)
    return np.clip(lit * 255.0, 0, 255).astype(np.uint8)


def looked(picture, hidden=NOTHING_HIDDEN):
    return Perception().look([Picture(view=VIEW, rgb=picture, hidden=hidden)])


def test_a_bare_table_is_empty_whatever_the_light():
    row, column = np.mgrid[0:120, 0:160]
    for light in (0.7, 1.3, 0.8 + 0.3 * row / 120, 1.2 - 0.3 * column / 160):
        lit = np.broadcast_to(np.asarray(light), (120, 160))[..., None] * (1.0, 0.97, 1.04)
        picture = drawn([], lit)
        assert (labels(picture, NOTHING_HIDDEN, ColorConfig()) == NOTHING).all()
        even, table = flattened(picture, NOTHING_HIDDEN, ColorConfig())
        assert table.all()
        assert np.abs(even - TABLE).max() < 0.02
        found = looked(picture)
        assert not found.things
        assert not found.places


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("brightness", [0.75, 1.0, 1.25])
def test_every_paint_has_its_label_in_every_light(color, brightness):
    picture = drawn([(stances()[0], 0.2, 0.05, 0.3, COLORS[color])], brightness)
    shown = labels(picture, NOTHING_HIDDEN, ColorConfig())
    painted = coverage(outline(stances()[0].placed(0.2, 0.05, 0.3), VIEW), (0, 0, 160, 120)) > 0.5
    assert {LABELS[i] for i in np.unique(shown[painted])} == {color}
    assert (shown[~painted] == NOTHING).all()


def test_how_a_picture_lies_in_memory_says_nothing_about_it():
    things = [(stances()[0], 0.2, 0.05, 0.3, COLORS["red"]), (stances()[0], 0.2, -0.05, 0.3, COLORS["cyan"])]
    picture, hidden = drawn(things, (1.1, 0.9, 0.8)), np.random.default_rng(0).random((120, 160)) < 0.1
    twice = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)[::2, ::2]
    expected = labels(picture, hidden, ColorConfig())
    assert {LABELS.index("red"), LABELS.index("cyan")} <= set(expected.ravel().tolist())
    assert np.array_equal(labels(twice, hidden, ColorConfig()), expected)
    assert np.array_equal(labels(np.asfortranarray(picture), np.asfortranarray(hidden), ColorConfig()), expected)


def off(yaw: float, period: float) -> float:
    return abs(math.remainder(yaw, period)) if period else 0.0


@pytest.mark.parametrize("seed", range(8))
def test_drawn_things_are_found_where_they_are(seed):
    rng = np.random.default_rng(seed)
    colors = rng.permutation([c for c in COLORS if c != "black"])
    places = [(0.16, -0.1), (0.25, 0.0), (0.18, 0.1)]
    things = [
        (stance, x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), rng.uniform(0, math.pi), str(color))
        for stance, (x, y), color in zip(stances()[:3], places, colors, strict=False)
    ]
    found = looked(drawn([(*thing, COLORS[color]) for *thing, color in things]))
    assert len(found.things) == 3
    for stance, x, y, yaw, color in things:
        thing = found.things[found.find(color, stance.kind)]
        assert np.hypot(thing.position[0] - x, thing.position[1] - y) < 0.002
        assert thing.position[2] == stance.height
        turn = math.atan2(thing.R_world_thing[1, 0], thing.R_world_thing[0, 0])
        assert off(turn - yaw, stance.period) < 0.15
        assert thing.hidden < 0.05


def test_a_can_that_fell_over_is_seen_to_lie():
    lying = stances()[3]
    (thing,) = looked(drawn([(lying, 0.2, 0.05, 0.7, COLORS["blue"])])).things
    assert thing.words == "blue can"
    assert abs(thing.R_world_thing[2, 2]) < 1e-9
    assert math.isclose(thing.position[2], lying.height)


def test_bowl_and_plate_are_told_apart():
    bowl, plate = dishes()
    found = looked(drawn([(bowl, 0.08, 0.2, 0.0, CREAM), (plate, 0.08, -0.2, 0.0, CREAM)]))
    assert set(found.places) == {"bowl", "plate"}
    assert np.allclose(found.place("bowl"), (0.08, 0.2, 0.004), atol=0.003)
    assert np.allclose(found.place("plate"), (0.08, -0.2, 0.006), atol=0.003)
    assert CHINA in LABELS


def test_only_what_is_wanted_is_looked_for():
    things = [(stances()[0], 0.2, 0.1, 0.0, COLORS["red"]), (stances()[0], 0.2, -0.1, 0.0, COLORS["blue"])]
    picture = Picture(view=VIEW, rgb=drawn(things), hidden=NOTHING_HIDDEN)
    assert [thing.color for thing in Perception().look([picture], {"blue"}).things] == ["blue"]
    assert Perception().look([picture], set()).things == ()


def test_what_the_robot_half_hides_is_found_and_said_to_be_hidden():
    stance, x, y = stances()[2], 0.2, 0.05
    picture = drawn([(stance, x, y, 0.4, COLORS["green"])])
    hull = outline(stance.placed(x, y, 0.4), VIEW)
    hidden = np.zeros((120, 160), dtype=np.bool_)
    hidden[:, : int(hull[:, 0].mean())] = True
    picture[hidden] = (200, 180, 20)
    (thing,) = looked(picture, hidden).things
    assert np.hypot(thing.position[0] - x, thing.position[1] - y) < 0.015
    assert 0.3 < thing.hidden < 0.8


def test_a_spot_of_another_shape_is_no_thing():
    picture = drawn([])
    cv2.line(picture, (20, 100), (140, 100), (200, 20, 20), 2)
    assert looked(picture).things == ()


def two_pictures(things, x, y, hidden=NOTHING_HIDDEN, off=0.0):
    """Return what a standing camera shows, which is `off` m beside where it should be, and one in the hand."""
    moved = Pinhole(CAMERA, POSITION + [0.0, off, 0.0], VIEW.R_world_optical)
    hand = hand_view(x, y)
    overhead = drawn(things, view=moved)
    overhead[hidden] = (200, 180, 20)
    wrist = Picture(view=hand, rgb=drawn(things, view=hand), hidden=NOTHING_HIDDEN)
    return [Picture(view=VIEW, rgb=overhead, hidden=hidden), wrist]


@pytest.mark.parametrize("stance", stances()[:3])
def test_what_only_the_hand_sees_is_found_where_it_is(stance):
    x, y, yaw = 0.22, 0.06, 0.3
    pictures = two_pictures([(stance, x, y, yaw, COLORS["red"])], x, y, np.ones((120, 160), dtype=np.bool_))
    (thing,) = Perception().look(pictures, {"red"}).things
    assert thing.kind == stance.kind
    assert np.hypot(thing.position[0] - x, thing.position[1] - y) < 0.001
    assert thing.hidden < 0.05
    assert Perception().look(pictures[:1], {"red"}).things == ()


@pytest.mark.parametrize("stance", stances()[:3])
def test_two_cameras_show_one_thing_though_one_is_not_quite_where_it_should_be(stance):
    x, y = 0.22, -0.04
    pictures = two_pictures([(stance, x, y, 0.5, COLORS["green"])], x, y, off=0.005)
    (thing,) = Perception().look(pictures).things
    assert thing.kind == stance.kind
    both, alone = (
        np.hypot(t.position[0] - x, t.position[1] - y) for t in (thing, *Perception().look(pictures[:1]).things)
    )
    assert alone > 0.004
    assert both < 0.0015


def test_a_thing_behind_a_finger_is_one_thing():
    stance, x, y, view = stances()[2], 0.22, 0.0, hand_view(0.22, 0.0)
    picture = drawn([(stance, x, y, 1.2, COLORS["blue"])], view=view)
    middle = int(outline(stance.placed(x, y, 1.2), view)[:, 0].mean())
    finger = np.zeros((120, 160), dtype=np.bool_)
    finger[:, middle - 4 : middle + 4] = True
    picture[finger] = (200, 180, 20)
    (thing,) = Perception().look([Picture(view=view, rgb=picture, hidden=finger)]).things
    assert thing.words == "blue brick"
    assert np.hypot(thing.position[0] - x, thing.position[1] - y) < 0.002
    assert 0.1 < thing.hidden < 0.5


def test_a_thing_that_is_partly_out_of_the_picture_is_found_where_it_is():
    stance, view = stances()[0], hand_view(0.22, 0.0)
    x, y = view.on_plane(np.array([150.0, 60.0]), stance.height)[:2]
    (thing,) = (
        Perception()
        .look([Picture(view=view, rgb=drawn([(stance, x, y, 0.4, COLORS["red"])], view=view), hidden=NOTHING_HIDDEN)])
        .things
    )
    assert np.hypot(thing.position[0] - x, thing.position[1] - y) < 0.004
    assert 0.1 < thing.hidden < 0.6


def test_of_what_hardly_shows_nothing_is_said():
    stance, x, y = stances()[0], 0.2, 0.05
    picture = drawn([(stance, x, y, 0.4, COLORS["green"])])
    hull = outline(stance.placed(x, y, 0.4), VIEW)
    hidden = np.zeros((120, 160), dtype=np.bool_)
    hidden[:, int(hull[:, 0].min()) + 2 :] = True
    picture[hidden] = (200, 180, 20)
    assert looked(picture, hidden).things == ()


@pytest.mark.parametrize("shape", [(120, 160), (60, 80, 3), (120, 160, 4)])
def test_pictures_of_another_size_are_refused(shape):
    with pytest.raises(ShapeError, match=r"picture of 'overhead': got .* expected \(120, 160, 3\) uint8"):
        Picture(view=VIEW, rgb=np.zeros(shape, dtype=np.uint8), hidden=NOTHING_HIDDEN)


def test_a_picture_without_any_table_shows_nothing_and_fails_nothing():
    for value in (0, 255):
        found = looked(np.full((120, 160, 3), value, dtype=np.uint8))
        assert not found.things
        assert not found.places
    assert not looked(drawn([]), np.ones((120, 160), dtype=np.bool_)).things


@pytest.mark.parametrize("field", ["least_saturation", "darkest", "hue_width_deg"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, 1000.0])
def test_numbers_that_mean_nothing_are_refused(field, value):
    with pytest.raises(ConfigError, match="colours: got"):
        ColorConfig(**{field: value})
