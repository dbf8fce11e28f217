"""A bundle: a folder that holds one policy ready to run. Nothing in it is believed before it is checked."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime as ort

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy import golden, monitors
from so_arm_policy.policy.graphs import PRECISIONS, GraphSpec, open_session, system1_spec, system2_spec
from so_arm_policy.policy.manifest import Manifest, read_manifest, write_manifest
from so_arm_policy.policy.providers import CPU, Provider
from so_arm_policy.policy.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
FILES = ("system2.onnx", "system1.onnx", TOKENIZER, golden.FILE_NAME)
OPTIONAL_FILES = (PRECISIONS["int8"],)  # monitors are of the graphs they were made with: a new bundle has none
MAX_FILE_BYTES = 2 << 30


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. Each session call opens a new session, so a process pays only for the graphs it runs."""

    path: Path
    manifest: Manifest

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions that System 1 can be run in: "fp32" always, "int8" where the bundle holds that file."""
        return tuple(name for name, file in PRECISIONS.items() if file in self.manifest.files)

    def system1_session(
        self, threads: int = 1, provider: Provider = CPU, precision: str = "fp32"
    ) -> ort.InferenceSession:
        """Open System 1's graph on `threads` threads. precision: of its weights, "fp32" or "int8".

        Raises ConfigError, and BundleError when the bundle has no such graph, the file is not the one checked, or
        another provider than the CPU computes something else.
        """
        graph = system1_spec(self.manifest, precision)
        if graph.name not in self.manifest.files:
            raise BundleError(
                f"{self.path}: got precision {precision!r}, expected one of {list(self.precisions)}; "
                f"`so-arm export --int8 {self.path}` adds int8"
            )
        return self._session(graph, threads, provider)

    def system2_session(self, threads: int = 1, provider: Provider = CPU) -> ort.InferenceSession:
        """Open System 2's graph on `threads` threads. Raises as `system1_session`."""
        return self._session(system2_spec(self.manifest), threads, provider)

    def tokenizer(self) -> Tokenizer:
        """Load the tokenizer, limited to the manifest's words."""
        return Tokenizer(self.path / TOKENIZER, self.manifest.words, self.manifest.max_tokens)

    def monitors(self) -> monitors.Monitors | None:
        """Return the policy's monitors of itself, None where it was never calibrated. Raises BundleError."""
        if monitors.FILE_NAME not in self.manifest.files:
            return None
        try:
            return monitors.read_monitors(self.read(monitors.FILE_NAME), self.manifest)
        except BundleError as error:
            raise BundleError(f"{self.path}: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the bytes of file `name`, whose hash is the manifest's. Raises BundleError."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: got files {sorted(self.manifest.files)} in its manifest, expected {name}")
        data = _read(self.path / name)
        got, expected = hashlib.sha256(data).hexdigest(), self.manifest.files[name]
        if got != expected:
            raise BundleError(f"{self.path / name}: got sha256 {got}, expected {expected} (its manifest)")
        return data

    def _session(self, graph: GraphSpec, threads: int, provider: Provider) -> ort.InferenceSession:
        try:
            session = open_session(self.read(graph.name), graph, threads, provider)
            # What `load_bundle` has shown of the CPU; no golden output judges int8.
            if provider.name != CPU.name and graph.name != PRECISIONS["int8"]:
                self._check_golden(session, graph)
            return session
        except BundleError as error:
            raise BundleError(f"{self.path}: {error}") from error

    def _check_golden(self, session: ort.InferenceSession, graph: GraphSpec) -> None:
        golden.check_golden(session, graph, golden.read_golden(self.read(golden.FILE_NAME), graph))


def load_bundle(path: Path | str, robot: RobotConfig | None = None) -> Bundle:
    """Read and check the bundle in folder `path`; with `robot`, also that it was made for that robot.

    Checks the manifest, the hash of every file, both graphs' inputs and outputs, the tokenizer, the golden outputs (on
    the CPU; a session on another provider checks its own), and the monitors where there are some.
    An int8 graph is looked into when it is opened; no golden outputs tell whether it is good, its success does.
    Raises BundleError.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(f"{folder}: got no such folder, expected a bundle (manifest.json, {', '.join(FILES)})")
    bundle = Bundle(folder, read_manifest(folder))
    if robot is not None:
        check_robot(bundle.manifest, robot)
    for name in dict.fromkeys([*FILES, *bundle.manifest.files]):
        bundle.read(name)
    bundle.tokenizer()
    bundle.monitors()
    data = bundle.read(golden.FILE_NAME)
    try:
        for spec in (system2_spec(bundle.manifest), system1_spec(bundle.manifest)):
            arrays = golden.read_golden(data, spec)
            golden.check_golden(open_session(bundle.read(spec.name), spec), spec, arrays)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error
    return bundle


def check_robot(manifest: Manifest, robot: RobotConfig) -> None:
    """Raise BundleError unless the policy was made for `robot`: name, joint order and cameras."""
    if manifest.robot != robot.name:
        raise BundleError(f"bundle {manifest.id!r}: got a policy for robot {manifest.robot!r}, expected {robot.name!r}")
    if manifest.joints != robot.joint_names:
        raise BundleError(
            f"bundle {manifest.id!r}: got joints {list(manifest.joints)}, "
            f"expected {list(robot.joint_names)} in this order"
        )
    missing = [name for name in manifest.cameras if name not in robot.camera_names]
    if missing:
        raise BundleError(
            f"bundle {manifest.id!r}: got camera {missing} needed, "
            f"expected some of {list(robot.camera_names)} of robot {robot.name!r}"
        )


def write_bundle_files(folder: Path, manifest: Manifest, system1: golden.Arrays, system2: golden.Arrays) -> Manifest:
    """Finish the bundle in `folder`, where the graphs and the tokenizer lie: golden file, hashes, manifest.

    system1, system2: inputs and outputs of each graph by name, best computed by the model they were exported from.
    Returns the manifest with the hashes. Raises BundleError.
    """
    golden.write_golden(folder, system1, system2)
    names = [*FILES, *(name for name in OPTIONAL_FILES if (folder / name).exists())]
    training = {name: note for name, note in manifest.training.items() if name != monitors.NOTES}
    complete = replace(manifest, training=training, files={name: file_hash(folder / name) for name in names})
    write_manifest(folder, complete)
    return complete


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, as 64 hex digits. Raises BundleError."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BundleError(f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: got {error.strerror}, expected a file of the bundle") from error
