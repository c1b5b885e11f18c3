"""Pages drawn without a browser, on runs whose gates are given and on a small run of the bundled network."""

import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from seviz.dashboard.jobs import Job
from seviz.run.store import Run, open_run
from seviz.tables.kept import analyse
from tests.dashboard.commands import Command
from tests.dashboard.drawing import Open, page_of
from tests.dashboard.other_runs import CLASSES
from tests.made_runs import make_run


@pytest.fixture(scope="session", autouse=True)
def _components_found_once() -> Iterator[None]:
    """Streamlit looks through all that is installed, for components, whenever an AppTest is drawn first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def moments_only(tmp_path: Path) -> Run:
    """No gates of images are kept."""
    random = np.random.default_rng(0)
    gates = {name: random.uniform(size=(40, 6)) for name in ("SE_2_1", "SE_3_1")}
    return make_run(tmp_path / "moments", gates, np.arange(40) % 4, kept=np.zeros(40, bool))


@pytest.fixture(scope="session")
def planted_run(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Run:
    """Four classes, three blocks, ever more class-specific: 200 images, all gates kept, all tables computed.

    Many tests share it: one that writes into a run copies it first.
    """
    return open_run(make_once("planted", _planted))


def _planted(place: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % len(CLASSES)
    gates = {}
    for block, share, channels in (("SE_2_1", 0.0, 8), ("SE_3_1", 0.5, 12), ("SE_4_1", 1.0, 16)):
        means = random.uniform(0.2, 0.8, (len(CLASSES), channels))
        noise = random.normal(0, 0.05, (len(labels), channels))
        gates[block] = np.clip(share * means[labels] + (1 - share) * 0.5 + noise, 0, 1)
    list(analyse(make_run(place, gates, labels, classes=CLASSES)))


@pytest.fixture
def finish(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    """Does the work of a job, and ends it: it is done in this process, and only when this is called."""
    monkeypatch.setattr(subprocess, "Popen", Command)
    return lambda job: job.process.finish()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page, `open_page("channel", run, channel="3")`: draws it with that address, and gives what it shows.
    `trust_code` is that of the dashboard.

    The first run is the one that opens; others can be chosen by their names. An exception of a page fails the test.
    """

    def opened(path: str, *runs: Run | Path, trust_code: bool = False, **address: str) -> AppTest:
        places = ["--trust-code"] if trust_code else []
        places += [str(run.path if isinstance(run, Run) else run) for run in runs]
        monkeypatch.setattr("sys.argv", ["app.py", *places])
        st.cache_data.clear()
        test = page_of(path)
        for key, value in address.items():
            test.query_params[key] = value
        test.run()
        assert not test.exception, test.exception
        return test

    return opened
