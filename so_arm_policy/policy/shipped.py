"""Which of the shipped bundles does a task."""

from pathlib import Path

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.paths import share_dirs
from so_arm_policy.policy.manifest import FILE_NAME, Manifest, read_manifest


def bundle_for(task: str, family: str, folders: list[Path] | None = None) -> Path:
    """Return the bundle called TASK_FAMILY, else the first one by name whose manifest has that family and that task.

    folders: where bundles lie, the shipped ones by default. Raises ConfigError that lists what there is.
    """
    there = bundles(folders)
    fits = {name: m for name, (_, m) in there.items() if m is not None and m.family == family and task in m.tasks}
    chosen = f"{task}_{family}" if f"{task}_{family}" in there else next(iter(sorted(fits)), None)
    if chosen is None:
        known = "; ".join(f"{name}: {_described(m)}" for name, (_, m) in sorted(there.items())) or "none at all"
        raise ConfigError(f"bundles: got none of family {family!r} for task {task!r}, there is {known}")
    return there[chosen][0]


def bundles(folders: list[Path] | None = None) -> dict[str, tuple[Path, Manifest | None]]:
    """Return all bundles by name, where they lie and what they promise; None for a manifest that cannot be read."""
    there: dict[str, tuple[Path, Manifest | None]] = {}
    for folder in [share / "bundles" for share in share_dirs()] if folders is None else folders:
        for path in sorted(folder.glob(f"*/{FILE_NAME}")):
            if path.parent.name not in there:
                there[path.parent.name] = (path.parent, _manifest(path.parent))
    return there


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except BundleError:
        return None


def _described(manifest: Manifest | None) -> str:
    return "not readable" if manifest is None else f"{manifest.family} for {', '.join(manifest.tasks)}"
