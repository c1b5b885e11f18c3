"""Every page in a real browser: opens, follows the selection, is a link, is quick, and can be used by all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import dashboard_screenshots
import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_screenshots import PATIENCE, PICTURES, grown
from playwright.sync_api import Browser, BrowserContext, Page, expect

from seviz.dashboard.pages import PAGES
from tests.browser.conftest import Server, drawn, visit

LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "narrow": (400, "light")}


def link(page: Page, name: str) -> None:
    """Follow the navigation to another page."""
    if not page.get_by_test_id("stTopNavLink").filter(has_text=name).first.is_visible():
        page.get_by_text("more", exact=False).first.click()
    page.get_by_role("link", name=name, exact=False).first.click()


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_it_opens_and_can_be_used_by_all(path: str, server: Server, context: BrowserContext, tmp_path: Path) -> None:
    """Without an error, and without a serious violation of axe's rules, in light and dark, on a desk and on a phone.

    A picture of each is kept where SEVIZ_SCREENSHOTS says, to look at.
    """
    folder = Path(os.environ.get("SEVIZ_SCREENSHOTS", tmp_path))
    title = next(each.title for each in PAGES if each.path == path)
    wrong: list[str] = []
    for look, (width, scheme) in LOOKS.items():
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if elsewhere(request.url, server) else None)
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        visit(page, server.address(path, run="demo", block="SE_5_1"))
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.get_by_text("Not computed yet")).to_have_count(0)
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
        grown(page)
        page.screenshot(path=folder / f"{path}-{look}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # colours differ between light and dark, and what a page is made of does not
        assert violations(page, [] if look == "light" else ["color-contrast"]) == [], look
        page.close()
    assert wrong == []


def elsewhere(address: str, server: Server) -> bool:
    """Whether something is asked for from another place than our server: the dashboard works offline."""
    return address.startswith("http") and not address.startswith(server.url)


def violations(page: Page, rules: list[str]) -> list[str]:
    """What axe finds of serious or critical impact, by some rules or by all."""
    options = {"runOnly": rules} if rules else {}
    return [
        f"{found['id']}: {node['target']} {node['html'][:200]}"
        for found in Axe().run(page, options=options).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def test_what_is_selected_goes_along_to_every_page(server: Server, page: Page) -> None:
    visit(page, server.address("overview", run="demo", block="SE_5_1"))
    page.get_by_test_id("stSidebar").get_by_label("SE block").click()
    page.get_by_role("option", name="SE_4_6").click()
    page.wait_for_url("**block=SE_4_6**")
    for each in PAGES[1:]:
        link(page, each.short or each.title)
        drawn(page)
        page.wait_for_url(f"**/{each.path}?*block=SE_4_6*")
        expect(page.get_by_test_id("stSidebar").get_by_label("SE block")).to_have_value("SE_4_6")


def test_a_link_brings_the_same_view_back_in_a_fresh_browser(server: Server, page: Page, browser: Browser) -> None:
    visit(page, server.address("channel", run="demo", block="SE_5_2", channel="7", classes="cat|dog"))
    address = page.url
    for part in ("run=demo", "block=SE_5_2", "channel=7"):
        assert part in address
    other = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    visit(other, address)
    for _ in range(100):  # charts and pictures come when the script has ended
        shown = [each.get_by_test_id("stMain").inner_text().split() for each in (page, other)]
        if shown[0] == shown[1]:
            break
        page.wait_for_timeout(100)
    assert shown[0] == shown[1]
    assert other.url == address
    other.context.close()


def test_the_browser_goes_back(server: Server, page: Page) -> None:
    """In at most two steps, since another page begins without an address, which is written then."""
    visit(page, server.address("specificity", run="demo", block="SE_5_1"))
    link(page, "Channel")
    page.wait_for_url("**/channel?*")
    drawn(page)
    for _ in range(2):
        if "/channel" in page.url:
            page.go_back()
            page.wait_for_timeout(500)
            drawn(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Specificity by depth")
    assert "block=SE_5_1" in page.url


@pytest.mark.parametrize("address", ["run=../../etc/passwd", "block=%3Cscript%3Ealert(1)%3C/script%3E", "channel=-1"])
def test_an_odd_address_is_harmless(address: str, server: Server, page: Page) -> None:
    page.goto(f"{server.url}/channel?{address}")
    drawn(page)
    expect(page.get_by_test_id("stSidebar").get_by_label("SE block")).to_have_value("SE_4_4")


THERE = """title => document.querySelector("h1")?.innerText === title
    && document.querySelector("[data-test-script-state=notRunning]")"""
"""Whether a page is there, and all of its script has run."""


def quickness(page: Page, server: Server, rounds: int = 3, **selected: str) -> dict[str, float]:
    """Seconds that each page takes when one comes to it from another, the best of some rounds."""
    visit(page, server.address("overview", **selected))
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for each in PAGES:
            start = time.perf_counter()
            link(page, each.short or each.title)
            page.wait_for_function(THERE, arg=each.title, timeout=PATIENCE)  # at every frame, not now and then
            taken.setdefault(each.path, []).append(time.perf_counter() - start)
            drawn(page)
    return {path: min(seconds) for path, seconds in taken.items()}


def test_how_long_pages_take(server: Server, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = quickness(page, server, run="demo")
    told = ", ".join(f"{path} {each:.2f}" for path, each in seconds.items())
    with capsys.disabled():
        sys.stdout.write(f"\nseconds that a page of the demo run takes: {told}\n")
    assert set(seconds) == {each.path for each in PAGES}


def test_the_pictures_of_the_readme(runs: Path, server: Server, tmp_path: Path) -> None:
    script = Path(dashboard_screenshots.__file__)
    subprocess.run([sys.executable, script, runs / "demo", "-o", tmp_path], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.png" for name in sorted(PICTURES)]
    readme = (script.parents[1] / "README.md").read_text()
    assert [name for name in PICTURES if f"docs/{name}.png" not in readme] == []
