"""The examples in the docstrings of the public functions, run as they stand there."""

import doctest
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import seviz

NAMES = [name for name in seviz.__all__ if name != "__version__" and not inspect.isclass(getattr(seviz, name))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What examples take for granted: the bundled network, two runs of it, images as it takes them."""
    network = seviz.load("seviz/seresnet50-cifar10")
    signals: Any = ("excitation", "squeeze", "response")
    folder = tmp_path_factory.mktemp("runs")
    run, other = (
        seviz.collect(
            network, "bundled", folder / name, per_class=6, seed=k, signals=signals, workers=0, progress=False
        )
        for k, name in enumerate(("run", "other"))
    )
    return {
        "seviz": seviz,
        "torch": torch,
        "np": np,
        "network": network,
        "model": network.model,
        "blocks": network.blocks,
        "run": run,
        "other": other,
        "images": torch.zeros(2, 3, 32, 32),
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_example_runs(name: str, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function: Callable[..., Any] = getattr(seviz, name)
    text = inspect.getdoc(function) or ""
    assert "\nExamples\n--------\n" in text, f"{name} has no example"
    test = doctest.DocTestParser().get_doctest(text, dict(given), name, None, None)
    assert len(test.examples) > 0
    told: list[str] = []
    with torch.random.fork_rng(devices=[]):
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append)
    assert not told, "".join(told)
    assert isinstance(given["network"].model, nn.Module)
    assert not given["network"].model.training
