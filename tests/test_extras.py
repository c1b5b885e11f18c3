"""Packages that only some of seviz needs: which they are, and how it is said that they are not there."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from seviz.errors import MissingPackageError
from seviz.extras import EXTRAS, needing, require_extra

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_the_extras_are_those_of_the_project() -> None:
    declared = {
        name: {line.partition(">=")[0] for line in lines}
        for name, lines in PROJECT["optional-dependencies"].items()
        if name != "dev"
    }
    assert {name: set(packages) for name, packages in EXTRAS.items()} == declared


def test_modules_are_those_of_the_packages() -> None:
    provided = metadata.packages_distributions()
    for packages in EXTRAS.values():
        for package, module in packages.items():
            found = [name.lower().replace("_", "-") for name in provided.get(module, [package])]
            assert package in found


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_missing_is_named(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in EXTRAS[extra].values():
        monkeypatch.setitem(sys.modules, module, None)
    message = rf"^a dance needs {', '.join(EXTRAS[extra])} \(not installed\): pip install 'seviz\[{extra}\]'$"
    with pytest.raises(MissingPackageError, match=message):
        require_extra(extra, "a dance")
    with pytest.raises(MissingPackageError, match=r"'\. Walking does without\.$"):
        require_extra(extra, "a dance", instead="Walking does without")


def test_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in EXTRAS["onnx"].values():
        monkeypatch.setitem(sys.modules, module, pytest)
    require_extra("onnx", "a file")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackageError, match=r"a file needs onnxscript \(not installed\)"):
        require_extra("onnx", "a file")


def test_a_package_that_is_installed_and_broken() -> None:
    message = r"^a map needs umap-learn \(libomp is missing\): pip install 'seviz\[umap\]'\. A plan does without\.$"
    with pytest.raises(MissingPackageError, match=message), needing("umap", "a map", instead="A plan does without"):
        raise ImportError("libomp is missing")
    with pytest.raises(KeyError), needing("umap", "a map"):
        raise KeyError("what else goes wrong")
