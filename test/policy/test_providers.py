"""Where inferences run: a provider that is not there is an error, never the CPU in its place."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from tiny_bundle import rehash

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy import providers
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.providers import CPU, PROVIDERS, Provider, check_given
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2

CUDA, TENSORRT = Provider(name="cuda"), Provider(name="tensorrt")


def test_an_unknown_name_lists_the_good_ones() -> None:
    with pytest.raises(ConfigError, match=r"provider: got 'npu', expected one of \['cpu', 'cuda', 'tensorrt'\]"):
        Provider(name="npu")


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_refused_by_both_systems(
    shared_bundle: Bundle, robot: RobotConfig, tmp_path: Path, name: str
) -> None:
    """By the first check where onnxruntime has no GPU build, by the second where it has one and there is no GPU."""
    provider = Provider(name=name, engine_cache=str(tmp_path))
    if name == "cuda" and _has_a_gpu():
        assert shared_bundle.system2_session(provider=provider).get_providers()[0] == PROVIDERS[name]
        return
    with pytest.raises(ConfigError, match=f"{name}|{PROVIDERS[name]}"):
        System2(shared_bundle, robot, provider=provider)
    with pytest.raises(ConfigError, match=f"{name}|{PROVIDERS[name]}"):
        System1(shared_bundle, robot, provider=provider)


def _has_a_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() and PROVIDERS["cuda"] in ort.get_available_providers()


@pytest.mark.parametrize("got", [[PROVIDERS["cpu"]], [], [PROVIDERS["cpu"], PROVIDERS["cuda"]]])
def test_a_session_that_fell_back_is_refused(got: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"system2\.onnx: got providers .*, expected 'CUDAExecutionProvider' first"):
        check_given(CUDA, got, "system2.onnx")


@pytest.mark.parametrize("provider", [CPU, CUDA, TENSORRT])
def test_a_session_on_what_was_asked_for_passes(provider: Provider) -> None:
    check_given(provider, [provider.ort_name, PROVIDERS["cpu"]], "system2.onnx")


def test_a_failing_inference_does_not_change_provider(shared_bundle: Bundle) -> None:
    """By default onnxruntime opens the graph again on the CPU, in the midst of a run, and goes on."""
    assert shared_bundle.system2_session()._enable_fallback is False


def test_tensorrt_keeps_its_engines_in_a_folder_of_the_model(tmp_path: Path) -> None:
    provider = Provider(name="tensorrt", engine_cache=str(tmp_path / "engines"))
    (name, options), *others = provider.ort_providers(b"a model")
    folder = Path(options["trt_engine_cache_path"])
    assert (name, options["trt_engine_cache_enable"]) == ("TensorrtExecutionProvider", "1")
    assert folder.is_dir()
    assert folder.parent == tmp_path / "engines"
    assert ort.__version__ in folder.name
    assert provider.engine_folder(b"a model") == folder
    assert provider.engine_folder(b"another model") != folder
    assert [other for other, _ in others] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_engines_lie_in_the_cache_folder_of_the_user_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert TENSORRT.engine_folder(b"").parent == tmp_path / "so_arm_policy" / "engines"


def test_an_engine_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="engine_cache: got .*file.*expected a folder to write to"):
        Provider(name="tensorrt", engine_cache=str(tmp_path / "file")).ort_providers(b"")


@pytest.mark.filterwarnings("ignore:Duplicate provider")
@pytest.mark.parametrize("off", [0.0, 2e-4])
def test_another_provider_than_the_cpu_is_judged_by_the_golden_outputs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    """The CPU stands for the GPU that is not here: only by name is it another one."""
    monkeypatch.setattr(providers, "PROVIDERS", {**PROVIDERS, "cuda": PROVIDERS["cpu"]})
    arrays = dict(np.load(folder / "golden.npz"))
    arrays["system2/keys_values"].flat[0] += off
    np.savez(folder / "golden.npz", **arrays)
    rehash(folder)
    bundle = Bundle(folder, read_manifest(folder))
    if off:
        with pytest.raises(BundleError, match=r"keys_values off the golden output by 0\.0002"):
            bundle.system2_session(provider=CUDA)
    else:
        assert bundle.system2_session(provider=CUDA).get_providers() == [PROVIDERS["cpu"]]
