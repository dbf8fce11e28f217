"""What was recorded on a running stack trains here."""

from conversion_world import MAPPING, ROBOT, World, text
from small_training import imitate

from so_arm_policy.learn.conversion.to_dataset import convert_bags
from so_arm_policy.policy.bundle import load_bundle


def test_a_converted_bag_trains(tmp_path, monkeypatch):
    world = World(seconds=12.0)
    for order in range(1, 10):
        world.say(1.2 * order, "/instruction", text(f"touch the {('red', 'blue', 'green')[order % 3]} cube"))
    (plan,) = convert_bags([world.write(tmp_path / "bag")], MAPPING, tmp_path / "data")
    assert len(plan.pieces) == 10
    monkeypatch.chdir(tmp_path)
    assert imitate([tmp_path / "data"], tmp_path / "bundle", "--family", "flow") == 0
    manifest = load_bundle(tmp_path / "bundle", ROBOT).manifest
    assert manifest.training["episodes"] == {str(tmp_path / "data"): 10}
    assert {"red", "blue", "green"} <= set(manifest.words)
