"""A server of the dashboard and a browser that looks at it.

Without a browser these tests are skipped, but where CI is set in the environment that is an error.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_screenshots import BROWSERS, PATIENCE, WINDOW, browser_path, chromium, serving
from playwright.sync_api import Browser, BrowserContext, Page

import seviz
from seviz.capture.datasets import open_dataset
from seviz.run.store import Run
from seviz.tables.kept import keep_table
from tests.browser.visiting import Server, given_run

BLOCK = "SE_5_1"
"""The block that is looked at."""
TABLES = ("specificity", "specificity_by_channel", "saturation", "saturation_by_channel", "selectivity")
TABLES_OF_BLOCK = ("similarity", "redundant_channels")
"""Those that pages show at first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --dist loadgroup one process has them all, so that there is one server and one browser."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def runs(bundled_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs: `demo`, of ten bundled images of each class, and `few`, of three, which jobs are for."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(bundled_run.path, folder / "demo")
    demo = seviz.open_run(folder / "demo")
    for name in TABLES:
        keep_table(demo, name)
    for name in TABLES_OF_BLOCK:
        keep_table(demo, name, block=BLOCK)
    few = seviz.collect(
        seviz.load("seviz/seresnet50-cifar10"),
        open_dataset("bundled", per_class=3),
        out=folder / "few",
        keep_gates="all",
        compile="off",
        workers=0,
    )
    keep_table(few, "specificity")
    return folder


@pytest.fixture(scope="session")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The dashboard over all runs; at the end, no traceback may be in what it has said."""
    log = tmp_path_factory.mktemp("server") / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # its jobs and the browser share the cores
        with serving([runs, *given_run()], log) as url:
            yield Server(url)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        reason = f"no browser: none of {', '.join(BROWSERS)} is on the path, and CHROMIUM names none"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with chromium(path) as launched:
        yield launched


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all, since a fresh one fetches and compiles all of Streamlit anew; what is selected is of a page."""
    opened = browser.new_context(viewport=WINDOW, accept_downloads=True)
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened = context.new_page()
    yield opened
    opened.close()
