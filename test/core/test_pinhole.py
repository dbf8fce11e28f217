"""A pinhole camera: what it sees where, and back."""

import math

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.pinhole import Pinhole, look_at
from so_arm_policy.core.robot import CameraConfig, CameraStand

CAMERA = CameraConfig(name="c", width=160, height=120, fps=30.0, fovy_deg=42.0, frame_id="f")
POSITION, TARGET = np.array([0.5, 0.1, 0.46]), np.array([0.19, 0.0, 0.0])


@pytest.fixture
def view() -> Pinhole:
    return Pinhole(CAMERA, POSITION, look_at(POSITION, TARGET))


def test_what_it_looks_at_is_in_the_middle_and_the_upper_edge_is_level(view):
    assert np.allclose(view.pixels(TARGET), (80.0, 60.0))
    right, down, ahead = view.R_world_optical.T
    assert np.allclose(view.R_world_optical.T @ view.R_world_optical, np.eye(3))
    assert math.isclose(np.linalg.det(view.R_world_optical), 1.0)
    assert abs(right[2]) < 1e-12
    assert down[2] < 0.0
    assert ahead @ (TARGET - POSITION) > 0.0


def test_the_upper_edge_is_half_the_field_of_view_above_the_middle(view):
    up = view.R_world_optical @ (0.0, -math.sin(math.radians(21.0)), math.cos(math.radians(21.0)))
    assert np.allclose(view.pixels(POSITION + up), (80.0, 0.0))


@pytest.mark.parametrize("z", [0.0, 0.02, 0.1])
def test_pixels_on_a_plane_come_back(view, z):
    rng = np.random.default_rng(0)
    pixels = rng.uniform((0.0, 0.0), (160.0, 120.0), (50, 2))
    points = view.on_plane(pixels, z)
    assert np.allclose(points[:, 2], z)
    assert np.allclose(view.pixels(points), pixels)
    assert np.allclose(view.shares(points), pixels / (160.0, 120.0))


def test_what_is_behind_it_is_nowhere(view):
    assert np.isnan(view.pixels(POSITION + (POSITION - TARGET))).all()
    assert np.isnan(view.on_plane(np.array([80.0, 60.0]), 1.0)).all()


def test_a_turned_camera_sees_the_same_turned(view):
    turned = Pinhole(CAMERA, POSITION, look_at(POSITION, TARGET, math.pi / 2))
    point = np.array([0.2, 0.05, 0.0])
    (x, y), (u, v) = view.pixels(point) - (80.0, 60.0), turned.pixels(point) - (80.0, 60.0)
    assert np.allclose((u, v), (y, -x))


@pytest.mark.parametrize(
    "stand", [{"position": (0, 0, 1), "target": (0, 0, 0)}, {"position": (math.nan, 0, 1), "target": (1, 0, 0)}]
)
def test_a_stand_that_looks_nowhere_is_refused(stand):
    with pytest.raises(ConfigError, match="camera's stand: got"):
        CameraStand(**stand)
