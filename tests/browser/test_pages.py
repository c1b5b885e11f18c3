"""Every page in a real browser: opens, follows the selection, is a link, is quick, and can be used by all."""

import os
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_screenshots import PICTURES, WINDOW, grown, pictures, still
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from seviz.dashboard.pages import PAGES
from tests.browser.visiting import Server, drawn, visit

Scheme = Literal["light", "dark"]
LOOKS: dict[str, tuple[int, Scheme]] = {"light": (1280, "light"), "dark": (1280, "dark"), "narrow": (400, "light")}
"""Width of the window and colours."""


def link(page: Page, name: str) -> None:
    """Follow the navigation to another page."""
    if not page.get_by_test_id("stTopNavLink").filter(has_text=name).first.is_visible():
        page.get_by_text("more", exact=False).first.click()
    page.get_by_role("link", name=name, exact=False).first.click()


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_it_opens_and_can_be_used_by_all(path: str, server: Server, page: Page) -> None:
    """Without an error, and without a serious violation of axe's rules, in light and dark, wide and narrow.

    Where SEVIZ_SCREENSHOTS names a folder, a picture of each is kept there, to look at.
    """
    pictured = os.environ.get("SEVIZ_SCREENSHOTS")
    title = next(each.title for each in PAGES if each.path == path)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if elsewhere(request.url, server) else None)
    second = {"against": "few"} if path in ("compare", "specificity") else {}
    visit(page, server.address(path, run="demo", block="SE_5_1", **second))
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_text("Not computed yet")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
    for look, (width, scheme) in LOOKS.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        if look == "light" or pictured:
            grown(page)
        else:
            still(page)
        if pictured:
            page.screenshot(path=Path(pictured) / f"{path}-{look}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # of the three looks, only light and dark differ in colours, and none in what a page is made of
        if look != "narrow":
            assert violations(page, [] if look == "light" else ["color-contrast"]) == [], look
    assert wrong == []


def test_it_opens_on_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    visit(page, server.address("channel", run="demo", block="SE_5_1"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.get_by_test_id("stSidebar").get_by_label("SE block")).to_have_value("SE_5_1")


def elsewhere(address: str, server: Server) -> bool:
    """Whether something is asked for from another place than our server: the dashboard works offline."""
    return address.startswith("http") and not address.startswith(server.url)


def violations(page: Page, rules: list[str]) -> list[str]:
    """What axe finds of serious or critical impact, by some rules or by all."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})  # all types take ten seconds
    return [
        f"{found['id']}: {node['target']} {node['html'][:200]}"
        for found in Axe().run(page, options=options).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def test_what_is_selected_goes_along(server: Server, page: Page) -> None:
    """From the widget to the address, and to another page; `test_size` takes a selection to every page."""
    visit(page, server.address("overview", run="demo", block="SE_5_1"))
    page.get_by_test_id("stSidebar").get_by_label("SE block").click()
    page.get_by_role("option", name="SE_4_6").click()
    page.wait_for_url("**block=SE_4_6**")
    link(page, "Specificity")
    page.wait_for_url("**/specificity?*block=SE_4_6*")
    drawn(page)


def test_a_click_on_a_box_selects_its_block(server: Server, page: Page) -> None:
    """Also once more, after another was selected beside it."""
    visit(page, server.address("overview", run="demo", block="SE_5_1"))
    chosen = page.get_by_test_id("stSidebar").get_by_label("SE block")
    for _ in range(2):
        page.get_by_test_id("stMain").get_by_text("SE_3_2", exact=True).click(force=True)  # lies in its box
        page.wait_for_url("**block=SE_3_2**")
        drawn(page)
        expect(chosen).to_have_value("SE_3_2")
        chosen.click()
        page.get_by_role("option", name="SE_4_6").click()
        page.wait_for_url("**block=SE_4_6**")
        drawn(page)


def test_a_link_brings_the_same_view_back_in_a_fresh_browser(server: Server, page: Page, browser: Browser) -> None:
    visit(page, server.address("channel", run="demo", block="SE_5_2", channel="7", classes="cat|dog"))
    address = page.url
    for part in ("run=demo", "block=SE_5_2", "channel=7"):
        assert part in address
    other = browser.new_context(viewport=WINDOW).new_page()
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
            still(page)
            drawn(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Specificity by depth")
    assert "block=SE_5_1" in page.url


def test_an_odd_address_is_harmless(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/channel?run=../../etc/passwd&block=%3Cscript%3Ealert(1)%3C/script%3E&channel=-1")
    drawn(page)
    expect(page.get_by_test_id("stSidebar").get_by_label("Run", exact=True)).to_have_value("demo")
    expect(page.get_by_test_id("stSidebar").get_by_label("SE block")).to_have_value("SE_4_4")
    expect(page.get_by_label("Channel of SE_4_4").first).to_have_value("0")


DRAWN = {"dashboard-excitation": (0x00, 0x9E, 0x73), "dashboard-channel": (0xE6, 0x9F, 0x00)}
"""A colour of each picture that only its charts have."""


def test_the_pictures_of_the_readme(server: Server, context: BrowserContext, tmp_path: Path) -> None:
    for picture in pictures(server.url, context, tmp_path):
        with Image.open(picture) as image:
            assert image.width == 1280
            colours = {colour[:3] for _, colour in image.getcolors(image.width * image.height)}
            assert DRAWN[picture.stem] in colours, f"{picture.stem}: its charts are not drawn"
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert [name for name in PICTURES if f"docs/{name}.png" not in readme] == []
