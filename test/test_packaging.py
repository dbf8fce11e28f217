"""What the build installed fits the sources."""

import importlib.util
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import so_arm_policy

ROOT = Path(__file__).parents[1]
SHELLS = sorted((ROOT / "so_arm_policy" / "ros").glob("*_node.py"))
NODES = [shell.stem.removesuffix("_node") for shell in SHELLS if "\ndef main()" in shell.read_text()]


def test_one_version_everywhere():
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == so_arm_policy.__version__


@pytest.mark.parametrize("node", NODES)
def test_each_node_has_an_executable_and_a_module(node):
    executable = Path(sys.prefix, "lib/so_arm_policy", node)
    assert executable.stat().st_mode & 0o111
    assert f"so_arm_policy.ros.{node}_node" in executable.read_text()
    assert importlib.util.find_spec(f"so_arm_policy.ros.{node}_node") is not None


def test_every_interface_is_built():
    from so_arm_policy import msg, srv

    for path in ROOT.glob("msg/*.msg"):
        assert hasattr(msg, path.stem)
    for path in ROOT.glob("srv/*.srv"):
        assert hasattr(srv, path.stem)


def test_every_requirement_is_pinned_once():
    constraints = (ROOT / "requirements/constraints.txt").read_text()
    pinned = re.findall(r"^([a-z0-9-]+)==\S+$", constraints, re.MULTILINE)
    assert len(pinned) == len(set(pinned))
    for path in ROOT.glob("requirements/*.txt"):
        names = re.findall(r"^([A-Za-z0-9-]+)\s*(?:#.*)?$", path.read_text(), re.MULTILINE)
        assert {name.lower() for name in names} <= set(pinned), path.name
