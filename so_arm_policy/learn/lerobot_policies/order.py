"""What somebody asks for who imports a checkpoint, fitted to what the checkpoint and the robot have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.datasets.lerobot_format import IMAGES
from so_arm_policy.learn.datasets.units import Units, joint_columns, scale_and_offset
from so_arm_policy.learn.lerobot_policies.folder import Checkpoint
from so_arm_policy.learn.lerobot_policies.parts import JointFrame
from so_arm_policy.policy.tokenizer import normalise


@dataclass(frozen=True, kw_only=True)
class Order:
    """What becomes of a checkpoint.

    task: name of the bundle; instructions: what it can be told, as the dataset says it; cameras: the checkpoint's
    column -> the robot's camera; joints: what the checkpoint's vectors hold, in their order, None for the robot's; fps:
    rows a second of the dataset it was trained on; steps: denoising steps, None for the checkpoint's; infer_every:
    ticks, None to take what LeRobot does and this machine can; vlm: folder of SmolVLA's language model.
    """

    task: str
    instructions: tuple[str, ...]
    cameras: Mapping[str, str] = field(default_factory=dict)
    units: Units = Units.DEGREES
    joints: tuple[str, ...] | None = None
    fps: float = 30.0
    steps: int | None = None
    infer_every: int | None = None
    vlm: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no bundle can be."""
        if not self.task.strip() or "/" in self.task:
            raise ConfigError(f"import-lerobot: got task {self.task!r}, expected a name")
        if not self.instructions or not all(normalise(text) for text in self.instructions):
            raise ConfigError(f"import-lerobot: got instructions {list(self.instructions)}, expected sentences")
        if not 1.0 <= self.fps <= CONTROL_HZ:
            raise ConfigError(f"import-lerobot: got fps {self.fps}, expected 1..{CONTROL_HZ}")
        for name, value, most in (("steps", self.steps, 1000), ("infer_every", self.infer_every, CONTROL_HZ)):
            if value is not None and not 1 <= value <= most:
                raise ConfigError(f"import-lerobot: got {name} {value}, expected 1..{most}")

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise ConfigError where the order asks for what this kind of policy has not."""
        if (checkpoint.kind == "smolvla") != (self.vlm is not None):
            raise ConfigError(
                f"import-lerobot: got vlm {self.vlm} for {checkpoint.kind!r}, expected for 'smolvla' alone a folder"
                " with its language model's config.json, tokenizer and processor, as save_pretrained writes them: --vlm"
            )
        if self.vlm is not None and not (self.vlm / "config.json").is_file():
            raise ConfigError(f"import-lerobot: got vlm {self.vlm} without config.json, expected a model's folder")
        if self.steps is not None and checkpoint.kind == "act":
            raise ConfigError("import-lerobot: got steps for 'act', expected none: it makes a chunk in one pass")

    def frame(self, robot: RobotConfig) -> JointFrame:
        """Return units and order of the checkpoint's joints. Raises InputError for names that the robot has not."""
        columns = tuple(range(len(robot.joints)))
        if self.joints is not None:
            columns = joint_columns(robot, self.joints, "import-lerobot: joints")
        scale, offset = scale_and_offset(robot, self.units)
        return JointFrame(scale, offset, columns)


def match_cameras(checkpoint: Checkpoint, robot: RobotConfig, given: Mapping[str, str]) -> dict[str, str]:
    """Return the robot's camera for each column of pictures: the one given, else that of the same name.

    Raises ConfigError where there is none, or one for two, and where pictures of unequal size would be stacked.
    """
    named = {key if key in checkpoint.pictures else IMAGES + key: camera for key, camera in given.items()}
    unknown = [key for key in named if key not in checkpoint.pictures]
    if unknown:
        raise ConfigError(f"{checkpoint.path}: got cameras {unknown}, expected some of {list(checkpoint.pictures)}")
    found = {key: named.get(key, key.removeprefix(IMAGES)) for key in checkpoint.pictures}
    for key, camera in found.items():
        if camera not in robot.camera_names:
            raise ConfigError(
                f"{checkpoint.path}: got camera {camera!r} for {key}, expected one of {list(robot.camera_names)} of"
                f" robot {robot.name!r}: --camera {key}=NAME"
            )
    if len(set(found.values())) < len(found):
        raise ConfigError(f"{checkpoint.path}: got cameras {found}, expected a different one for each column")
    if len(set(checkpoint.pictures.values())) > 1:
        raise ConfigError(f"{checkpoint.path}: got pictures of sizes {checkpoint.pictures}, expected one size")
    return found
