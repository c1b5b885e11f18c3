"""A run with the classes of ImageNet and the widths of SE-ResNet-50: every page opens, and none is slow."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import seviz
from seviz.dashboard.pages import PAGES
from seviz.tables.kept import analyse
from tests.browser.visiting import Server, drawn, given_run, visit
from tests.browser.wide_network import CLASSES, batches

TABLES = ("specificity", "saturation", "specificity_by_channel")
PER_CLASS = 2
"""Images of each of the 1,000 classes, whose gates are not kept: tables of class means are as large with 50."""


@pytest.fixture(scope="module")
def large(runs: Path) -> dict[str, str]:
    """What to select to see a run of that size beside one as large.

    It is that which SEVIZ_LARGE_RUN names (`analyses/benchmarks/size.py --keep` makes one), else one of fewer images.
    """
    place = next(iter(given_run()), runs / "large")
    if place == runs / "large":
        network = seviz.load(f"{Path(__file__).parent / 'wide_network.py'}:make", weights="none")
        images = batches(network.model, PER_CLASS * CLASSES)
        with pytest.warns(UserWarning, match="untrained"):
            seviz.collect(network, images, place, compile="off", keep_gates="none", chunk_size=PER_CLASS * CLASSES)
    list(analyse(seviz.open_run(place), only=TABLES))
    copy = os.link if place.parent == runs else shutil.copy2  # a given run may lie on another disk
    shutil.copytree(place, runs / "as_large", copy_function=copy)
    return {"run": place.name, "against": "as_large"}


CLICKED = """([link, title]) => new Promise(found => {
    const start = performance.now();
    let answered = null;
    link.click();
    (function look() {
        const there = document.querySelector("h1")?.innerText === title, now = performance.now() - start;
        if (there && answered === null) answered = now;
        if (there && document.querySelector("[data-test-script-state=notRunning]")) found([answered, now]);
        else requestAnimationFrame(look);
    })();
})"""
"""Milliseconds from a click until a page has answered with its title, and until all of its script has run."""


def quickness(page: Page, server: Server, **selected: str) -> dict[str, tuple[float, float]]:
    """Seconds that each page takes to answer and to be drawn, from the click on its link.

    What is selected goes along, which is checked.
    """
    visit(page, server.address(PAGES[-1].path, **selected))
    taken: dict[str, tuple[float, float]] = {}
    for each in PAGES:
        name = each.short or each.title
        if not page.get_by_test_id("stTopNavLink").filter(has_text=name).first.is_visible():
            page.get_by_text("more", exact=False).first.click()
        to = page.get_by_role("link", name=name, exact=False).first.element_handle()
        answered, done = page.evaluate(CLICKED, [to, each.title])
        taken[each.path] = answered / 1_000, done / 1_000
        drawn(page)
        page.wait_for_url(f"**block={selected['block']}*")
        expect(page.get_by_test_id("stSidebar").get_by_label("SE block")).to_have_value(selected["block"])
    return taken


def told(seconds: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{path} {answered:.2f} and {done:.2f}" for path, (answered, done) in seconds.items())


def test_how_long_pages_take(
    large: dict[str, str], server: Server, page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = quickness(page, server, **large, block="SE_5_1")
    with capsys.disabled():
        sys.stdout.write(
            f"\nseconds until a page of 1,000 classes, opened first, answers and is drawn: {told(seconds)}\n"
        )
    assert set(seconds) == {each.path for each in PAGES}
