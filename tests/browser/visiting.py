"""The dashboard being served, and its pages opened in a browser."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from dashboard_screenshots import settled
from playwright.sync_api import Page, expect

from seviz.dashboard.pages import PAGES


@dataclass(frozen=True)
class Server:
    """A dashboard being served."""

    url: str

    def address(self, page: str = "", **selected: str) -> str:
        """Of a page, with something selected. The first page has no path of its own."""
        page = "" if page == PAGES[0].path else page
        return f"{self.url}/{page}?{urlencode(selected)}"


def given_run() -> list[Path]:
    """The run of the size of ImageNet that SEVIZ_LARGE_RUN names, if it does."""
    place = os.environ.get("SEVIZ_LARGE_RUN")
    return [Path(place)] if place else []


def visit(page: Page, address: str) -> None:
    """Open an address and wait until the page is drawn, without an error."""
    page.goto(address)
    drawn(page)


def drawn(page: Page) -> None:
    """Wait until the page is drawn, without an error."""
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
