"""Isaac Sim 5 and 6 with the arm, the scene and the ROS 2 topics of the stack. Run by Isaac Sim's own Python.

    ./python.sh standalone.py FOLDER [--headless] [--usd FILE] [--isaac 5|6]

FOLDER is what `so-arm isaac FOLDER` wrote. This file needs nothing of the project, and everything it makes stands in
FOLDER/isaac.json. It has never been run on a real Isaac Sim: calls are as in NVIDIA's examples at v5.0.0 and v6.0.1
(source/standalone_examples/api: isaacsim.ros2.bridge/moveit.py, camera_periodic.py,
isaacsim.asset.importer.urdf/urdf_import.py).
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

FORMAT = 1
ROBOT, PARTS, GRAPH = "/World/robot", "/World/parts", "/World/ros"
APERTURE_MM = 20.955
DEGREES = 180.0 / math.pi


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line; ends with a message where that is no use."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what `so-arm isaac` wrote")
    parser.add_argument("--headless", action="store_true", help="without a window")
    parser.add_argument("--usd", type=Path, help="the robot as USD, instead of the folder's URDF")
    parser.add_argument("--isaac", choices=("5", "6"), help="major version; by default asked of the application")
    return parser.parse_args(argv)


def read(folder: Path) -> dict[str, Any]:
    """Return the folder's scene; ends with a message where there is none."""
    file = folder / "isaac.json"
    try:
        scene: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{file}: {error}; expected what `so-arm isaac {folder}` writes")
    if not isinstance(scene, dict) or scene.get("format") != FORMAT:
        sys.exit(f"{file}: got another format than {FORMAT}; write it anew with `so-arm isaac {folder}`")
    return scene


def og_edit(graph: dict[str, Any], prims: dict[str, str], path_type: Any) -> dict[str, list[Any]]:
    """Return what og.Controller.edit is given for `graph`, by the names of its keys.

    prims: what stands for a prim in the graph -> the prim's path. path_type: makes a path of text.
    """

    def value(given: Any) -> Any:
        is_prim = isinstance(given, str) and given.startswith("@")
        return [path_type(prims[given])] if is_prim else given

    nodes, links = graph["nodes"], graph["connections"]
    return {
        "CREATE_NODES": [(node["name"], node["type"]) for node in nodes],
        "CONNECT": [
            (link["source"].replace(".", ".outputs:"), link["target"].replace(".", ".inputs:")) for link in links
        ],
        "SET_VALUES": [
            (f"{node['name']}.inputs:{name}", value(given)) for node in nodes for name, given in node["values"].items()
        ],
    }


def import_urdf(urdf: Path, version: str) -> str:
    """Make a USD of the URDF; return its path."""
    if version == "5":
        import omni.kit.commands

        _, config = omni.kit.commands.execute("URDFCreateImportConfig")
        config.merge_fixed_joints = False
        config.fix_base = True
        config.import_inertia_tensor = True
        config.make_default_prim = True
        usd = str(urdf.with_suffix(".usd").resolve())
        omni.kit.commands.execute(
            "URDFParseAndImportFile", urdf_path=str(urdf.resolve()), import_config=config, dest_path=usd
        )
        return usd
    from isaacsim.asset.importer.urdf.impl import URDFImporter, URDFImporterConfig

    config = URDFImporterConfig(
        urdf_path=str(urdf.resolve()), usd_path=str(urdf.parent.resolve()), merge_fixed_joints=False, fix_base=True
    )
    return str(URDFImporter(config).import_urdf())


def prims_below(stage: Any, path: str) -> list[Any]:
    """Return every prim below `path`."""
    from pxr import Usd

    return list(Usd.PrimRange(stage.GetPrimAtPath(path)))


def add_robot(stage: Any, usd: str, servos: list[dict[str, Any]]) -> str:
    """Put the robot into the stage, its drives as the servos are; return the path of its articulation."""
    from pxr import PhysxSchema, UsdPhysics

    stage.DefinePrim(ROBOT, "Xform").GetReferences().AddReference(usd)
    prims = prims_below(stage, ROBOT)
    joints = {prim.GetName(): prim for prim in prims if prim.IsA(UsdPhysics.RevoluteJoint)}
    missing = [servo["joint"] for servo in servos if servo["joint"] not in joints]
    roots = [prim for prim in prims if prim.HasAPI(UsdPhysics.ArticulationRootAPI)]
    if missing or len(roots) != 1:
        sys.exit(f"{usd}: got joints {sorted(joints)} in {len(roots)} articulations, expected {missing} too, in one")
    for servo in servos:
        prim = joints[servo["joint"]]
        drive = UsdPhysics.DriveAPI.Apply(prim, "angular")  # per degree
        drive.CreateTypeAttr("force")
        drive.CreateStiffnessAttr(servo["stiffness"] / DEGREES)
        drive.CreateDampingAttr(servo["damping"] / DEGREES)
        drive.CreateMaxForceAttr(servo["effort"])
        drive.CreateTargetPositionAttr(servo["home"] * DEGREES)
        PhysxSchema.JointStateAPI.Apply(prim, "angular").CreatePositionAttr(servo["home"] * DEGREES)
    return str(roots[0].GetPath())


def place(prim: Any, position: list[float], quaternion: list[float]) -> None:
    """Put a prim where it belongs below its parent."""
    from pxr import Gf, UsdGeom

    w, x, y, z = quaternion
    xform = UsdGeom.Xformable(prim)
    xform.ClearXformOpOrder()
    xform.AddTranslateOp().Set(Gf.Vec3d(*position))
    xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Quatd(w, x, y, z))


def add_part(stage: Any, part: dict[str, Any]) -> None:
    """Put a box or a cylinder into the stage: fixed, or a body of its own."""
    from pxr import Gf, UsdGeom, UsdPhysics

    path, (a, b, c) = f"{PARTS}/{part['name']}", part["size"]
    body = UsdGeom.Xform.Define(stage, path).GetPrim()
    place(body, part["position"], part["quaternion"])
    if part["kind"] == "box":
        shape = UsdGeom.Cube.Define(stage, f"{path}/shape")
        shape.CreateSizeAttr(1.0)
        UsdGeom.Xformable(shape).AddScaleOp().Set(Gf.Vec3f(a, b, c))
    else:
        shape = UsdGeom.Cylinder.Define(stage, f"{path}/shape")
        shape.CreateRadiusAttr(a)
        shape.CreateHeightAttr(b)
        shape.CreateAxisAttr("Z")
    shape.CreateDisplayColorAttr([Gf.Vec3f(*part["rgb"])])
    UsdPhysics.CollisionAPI.Apply(shape.GetPrim())
    if part["mass_kg"] > 0.0:
        UsdPhysics.RigidBodyAPI.Apply(body)
        UsdPhysics.MassAPI.Apply(body).CreateMassAttr(part["mass_kg"])


def add_camera(stage: Any, view: dict[str, Any]) -> str:
    """Put a camera on its link, or into the world; return its path."""
    from pxr import UsdGeom

    parent = "/World"
    if view["parent"] != "world":
        links = [prim for prim in prims_below(stage, ROBOT) if prim.GetName() == view["parent"]]
        if not links:
            sys.exit(f"camera {view['name']}: got no link {view['parent']!r} in the robot, expected one")
        parent = str(links[0].GetPath())
    path = f"{parent}/{view['name']}_camera"
    camera = UsdGeom.Camera.Define(stage, path)
    place(camera.GetPrim(), view["position"], view["quaternion"])
    camera.CreateHorizontalApertureAttr(APERTURE_MM)
    camera.CreateFocalLengthAttr(APERTURE_MM / 2.0 / math.tan(math.radians(view["fovx_deg"]) / 2.0))
    camera.CreateClippingRangeAttr((0.01, 100.0))
    return path


def build(scene: dict[str, Any], usd: str, version: str) -> None:
    """Make everything in the open stage."""
    import omni.graph.core as og
    import omni.usd
    import usdrt.Sdf
    from pxr import UsdGeom, UsdLux

    stage = omni.usd.get_context().get_stage()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.Xform.Define(stage, "/World")
    UsdLux.DistantLight.Define(stage, "/World/sun").CreateIntensityAttr(1500.0)
    UsdLux.DomeLight.Define(stage, "/World/sky").CreateIntensityAttr(500.0)
    prims = {"@articulation": add_robot(stage, usd, scene["servos"])}
    for part in scene["parts"]:
        add_part(stage, part)
    for view in scene["views"]:
        prims[f"@camera/{view['name']}"] = add_camera(stage, view)
    keys = og.Controller.Keys
    edit = og_edit(scene["graphs"][version], prims, usdrt.Sdf.Path)
    og.Controller.edit(
        {"graph_path": GRAPH, "evaluator_name": "execution"},
        {getattr(keys, name): given for name, given in edit.items()},
    )


def run(app: Any, version: str, rate_hz: int) -> None:
    """Play until the window closes: a step of physics in each frame, no faster than the world's own time."""
    period_s = 1.0 / rate_hz
    if version == "5":
        from isaacsim.core.api import SimulationContext

        context = SimulationContext(physics_dt=period_s, rendering_dt=period_s, stage_units_in_meters=1.0)
        context.initialize_physics()
        context.play()
    else:
        from isaacsim.core.experimental.utils import app as app_utils
        from isaacsim.core.rendering_manager import RenderingManager
        from isaacsim.core.simulation_manager import SimulationManager

        SimulationManager.setup_simulation(dt=period_s)
        RenderingManager.set_dt(period_s)
        app_utils.play()
    due_s = time.monotonic()
    while app.is_running():
        app.update()
        # An absolute grid; what was slow is not made up for.
        now_s = time.monotonic()
        due_s = max(due_s + period_s, now_s)
        time.sleep(due_s - now_s)


def main() -> None:
    """Make the scene and play it."""
    args = arguments(sys.argv[1:])
    scene = read(args.folder)
    from isaacsim import SimulationApp

    app = SimulationApp({"headless": args.headless})
    import omni.kit.app

    version = args.isaac or omni.kit.app.get_app().get_app_version().partition(".")[0]
    if version not in scene["graphs"]:
        sys.exit(f"Isaac Sim: got version {version!r}, expected one of {sorted(scene['graphs'])} (see --isaac)")
    manager = omni.kit.app.get_app().get_extension_manager()
    for name in ("isaacsim.ros2.bridge", "isaacsim.asset.importer.urdf"):
        manager.set_extension_enabled_immediate(name, True)
    app.update()
    usd = str(args.usd.resolve()) if args.usd else import_urdf(args.folder / scene["urdf"], version)
    build(scene, usd, version)
    app.update()
    run(app, version, scene["rate_hz"])
    app.close()


if __name__ == "__main__":
    main()
