"""Pages drawn without a browser, on runs whose gates are given and on a small run of the bundled network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import seviz
from seviz.analysis.tables import analyse
from seviz.run.store import Run
from tests.made_runs import make_run

Open = Callable[..., AppTest]
CLASSES = ("cat", "dog", "ship", "truck")


def _script(first: str) -> None:
    from seviz.dashboard.app import main

    main(first)


@pytest.fixture
def moments_only(tmp_path: Path) -> Run:
    """No gates of images are kept."""
    random = np.random.default_rng(0)
    gates = {name: random.uniform(size=(40, 6)) for name in ("SE_2_1", "SE_3_1")}
    return make_run(tmp_path / "moments", gates, np.arange(40) % 4, kept=np.zeros(40, bool))


@pytest.fixture(scope="session")
def planted_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four classes, three blocks, ever more class-specific: 200 images, all gates kept, all tables computed."""
    random = np.random.default_rng(0)
    labels = np.arange(200) % len(CLASSES)
    gates = {}
    for block, share, channels in (("SE_2_1", 0.0, 8), ("SE_3_1", 0.5, 12), ("SE_4_1", 1.0, 16)):
        means = random.uniform(0.2, 0.8, (len(CLASSES), channels))
        noise = random.normal(0, 0.05, (len(labels), channels))
        gates[block] = np.clip(share * means[labels] + (1 - share) * 0.5 + noise, 0, 1)
    run = make_run(tmp_path_factory.mktemp("runs") / "planted", gates, labels, classes=CLASSES)
    list(analyse(run))
    return run


@pytest.fixture(scope="session")
def bundled_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The bundled network on ten bundled images of each class, with all gates and signals; no table computed."""
    from seviz.capture.datasets import open_dataset

    return seviz.collect(
        seviz.load("seviz/seresnet50-cifar10"),
        open_dataset("bundled", per_class=10),
        out=tmp_path_factory.mktemp("runs") / "bundled",
        signals=("excitation", "squeeze", "response"),
        keep_gates="all",
        compile="off",
        workers=0,
    )


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page, `open_page("channel", run, channel="3")`: draws it with that address, and gives what it shows.

    The first run is the one that opens; others can be chosen by their names. An exception of a page fails the test.
    """

    def opened(path: str, *runs: Run | Path, **address: str) -> AppTest:
        places = [str(run.path if isinstance(run, Run) else run) for run in runs]
        monkeypatch.setattr("sys.argv", ["app.py", *places])
        st.cache_data.clear()
        test = AppTest.from_function(_script, args=(path,), default_timeout=60)
        for key, value in address.items():
            test.query_params[key] = value
        test.run()
        assert not test.exception, test.exception
        return test

    return opened
