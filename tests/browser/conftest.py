"""A server of the dashboard and a browser that looks at it.

Without a browser these tests are skipped, but where CI is set in the environment that is an error.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from dashboard_screenshots import BROWSERS, PATIENCE, browser_path, chromium, serving, settled
from playwright.sync_api import Browser, BrowserContext, Page, expect

import seviz
from seviz.analysis.tables import OF_BLOCK, OF_RUN, analyse
from seviz.capture.datasets import open_dataset
from seviz.dashboard.pages import PAGES

SLOW = ("decoding", "convergence", "convergence_by_size", "cka")
"""Tables that take longest, and that no page needs."""


@dataclass(frozen=True)
class Server:
    """A dashboard being served."""

    url: str

    def address(self, page: str = "", **selected: str) -> str:
        """Of a page, with something selected. The first page has no path of its own."""
        page = "" if page == PAGES[0].path else page
        return f"{self.url}/{page}?{urlencode(selected)}"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs: `demo`, the bundled network on all bundled images, and `few`, on ten of each class."""
    folder = tmp_path_factory.mktemp("runs")
    network = seviz.load("seviz/seresnet50-cifar10")
    for name, number in (("demo", None), ("few", 10)):
        run = seviz.collect(
            network,
            open_dataset("bundled", per_class=number),
            out=folder / name,
            signals=("excitation", "squeeze", "response"),
            keep_gates="all",
            compile="off",
        )
        only = [each for each in (*OF_RUN, *OF_BLOCK) if each not in SLOW] if name == "demo" else ["specificity"]
        list(analyse(run, only=only))
    return folder


def given_run() -> list[Path]:
    """The run of the size of ImageNet that SEVIZ_LARGE_RUN names, if it does."""
    place = os.environ.get("SEVIZ_LARGE_RUN")
    return [Path(place)] if place else []


@pytest.fixture(scope="session")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The dashboard over all runs; at the end, no traceback may be in what it has said."""
    log = tmp_path_factory.mktemp("server") / "log"
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
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened = context.new_page()
    yield opened
    opened.close()


def visit(page: Page, address: str) -> None:
    """Open an address and wait until the page is drawn, without an error."""
    page.goto(address)
    drawn(page)


def drawn(page: Page) -> None:
    """Wait until the page is drawn, without an error."""
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
