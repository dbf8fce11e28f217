"""Which layer may import what: read from the source of every file, and shown once in a process of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "so_arm_policy"
FILES = sorted(PACKAGE.rglob("*.py"))

# Layers of this package that each layer may import besides itself.
MAY_IMPORT = {
    "core": set(),
    "safety": {"core"},
    "control": {"core"},
    "policy": {"core"},
    "sim": {"core", "control"},  # the scripted expert solves its inverse kinematics with control/ik.py
    "robot": {"core"},
    "evaluate": {"core", "safety", "control", "policy", "sim", "robot"},
    "ros": {"core", "safety", "control", "policy", "sim", "robot", "evaluate", "msg", "srv"},
    "learn": {"core", "control", "policy", "sim", "robot", "evaluate"},
}
ROS = {"rclpy", "builtin_interfaces", "launch", "launch_ros", "ament_index_python", "rosidl_runtime_py", "tf2_ros"}
ROS_MESSAGES = ("_msgs", "_srvs", "_interfaces")
TRAINING = {"torch", "torchvision", "transformers", "onnx", "onnxscript"}


def layer(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path):
    """Every module imported anywhere in the file, with whether it is imported when the file is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name, node not in inside) for name in names]
    return found


def top(name):
    return name.partition(".")[0]


def by_layer(name):
    return [p for p in FILES if layer(p) == name]


def test_every_folder_is_a_known_layer():
    assert {layer(p) for p in FILES} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_layers_import_one_way(name):
    wrong = []
    for path in by_layer(name):
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "so_arm_policy" and len(parts) > 1:
                other = parts[1]
                if other in MAY_IMPORT | {"msg": 0, "srv": 0} and other not in MAY_IMPORT[name] | {name}:
                    wrong.append(f"{path.relative_to(ROOT)}: {module}")
    assert wrong == []


def test_the_core_needs_numpy_and_the_standard_library_only():
    allowed = {"so_arm_policy", "numpy"} | set(sys.stdlib_module_names)
    assert [(p.name, m) for p in by_layer("core") for m, _ in imports(p) if top(m) not in allowed] == []


def test_safety_needs_no_more_than_the_core():
    allowed = {"so_arm_policy", "numpy"} | set(sys.stdlib_module_names)
    assert [(p.name, m) for p in by_layer("safety") for m, _ in imports(p) if top(m) not in allowed] == []


def test_only_ros_imports_ros():
    wrong = [
        f"{p.relative_to(ROOT)}: {m}"
        for p in FILES
        if layer(p) != "ros"
        for m, _ in imports(p)
        if top(m) in ROS or top(m).endswith(ROS_MESSAGES)
    ]
    assert wrong == []


def test_only_learn_imports_torch():
    wrong = [
        f"{p.relative_to(ROOT)}: {m}" for p in FILES if layer(p) != "learn" for m, _ in imports(p) if top(m) in TRAINING
    ]
    assert wrong == []


def test_nothing_imports_learn_when_it_is_imported():
    """The command line reaches training by name, when it is asked for; other layers never do."""
    wrong = [
        f"{p.relative_to(ROOT)}: {m}"
        for p in FILES
        if layer(p) != "learn"
        for m, at_import in imports(p)
        if m.startswith("so_arm_policy.learn") and (at_import or p.name != "cli.py")
    ]
    assert wrong == []


def loaded_by(code):
    """Modules that a fresh process has loaded after running `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def everything_in(*layers):
    files = [p for name in layers for p in by_layer(name) if p.name != "__init__.py"]
    return "\n".join(f"import {'.'.join(p.relative_to(ROOT).with_suffix('').parts)}" for p in files)


def test_core_and_safety_load_in_a_clean_process_without_anything_else():
    loaded = loaded_by(everything_in("core", "safety"))
    foreign = {top(m) for m in loaded} & (
        ROS | TRAINING | {"mujoco", "onnxruntime", "cv2", "yaml", "tokenizers", "mink"}
    )
    assert foreign == set()
    layers = {m.split(".")[1] for m in loaded if m.startswith("so_arm_policy.")}
    assert layers == {"core", "safety"}


def test_hand_crafted_control_loads_without_ros_and_torch():
    loaded = loaded_by(everything_in("control", "robot"))
    assert {top(m) for m in loaded} & (ROS | TRAINING | {"onnxruntime"}) == set()
