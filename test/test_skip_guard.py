"""The guard of conftest.py itself, on a small run of its own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent


@pytest.fixture
def guarded(pytester):
    pytester.makeconftest((HERE / "conftest.py").read_text())
    pytester.path.joinpath("allowed_skips.txt").write_text("# why\ntest_*.py::test_gpu | no accelerator\n")
    return pytester


@pytest.mark.parametrize(
    ("name", "reason", "code"),
    [("test_gpu", "no accelerator here", 0), ("test_gpu", "too lazy", 1), ("test_cpu", "no accelerator here", 1)],
)
def test_only_a_listed_test_for_its_listed_reason_may_skip(guarded, name, reason, code):
    guarded.makepyfile(f"import pytest\ndef {name}(): pytest.skip({reason!r})\ndef test_other(): pass")
    assert guarded.runpytest_subprocess("-p", "no:cacheprovider").ret == code


def test_a_file_skipped_as_a_whole_is_seen(guarded):
    guarded.makepyfile("import pytest\npytest.importorskip('no_such_module')", test_other="def test_other(): pass")
    result = guarded.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*could not import 'no_such_module'*"])


def test_an_expected_failure_is_no_skip(guarded):
    guarded.makepyfile("import pytest\n@pytest.mark.xfail\ndef test_known(): assert False")
    assert guarded.runpytest_subprocess("-p", "no:cacheprovider").ret == 0
