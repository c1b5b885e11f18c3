"""What a person does: looks at an image of her own, starts a job, takes home what it made, cancels another."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dashboard_screenshots import PATIENCE
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.visiting import Server, drawn, visit


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph, so to speak: larger than the network's input, and not square."""
    path = tmp_path / "mine.jpg"
    values = np.linspace(0, 255, 300 * 200 * 3).reshape(200, 300, 3).astype(np.uint8)
    Image.fromarray(values).save(path)
    return path


def upload(page: Page, *paths: Path) -> None:
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(paths)


def test_an_image_of_ones_own(server: Server, page: Page, picture: Path, tmp_path: Path) -> None:
    """Good, then bad in two ways, then good again: the page lives on."""
    visit(page, server.address("image", run="few", block="SE_5_1", origin="upload"))
    upload(page, picture)
    expect(page.get_by_text("Taken for").first).to_be_visible(timeout=PATIENCE)
    drawn(page)

    text = tmp_path / "text.png"
    text.write_text("not an image")
    for bad in (text, cut(picture)):
        upload(page, bad)  # takes the place of the one before
        expect(page.get_by_test_id("stAlert").filter(has_text=bad.name.partition(".")[0])).to_be_visible(
            timeout=PATIENCE
        )
        drawn(page)

    upload(page, picture)
    expect(page.get_by_text("Taken for").first).to_be_visible(timeout=PATIENCE)


def cut(picture: Path) -> Path:
    """The first part of the file only."""
    path = picture.with_name("cut.jpg")
    path.write_bytes(picture.read_bytes()[:200])
    return path


def lab(server: Server, **more: str) -> str:
    chosen = {"run": "few", "action": "mask", "criteria": "gate_mean|l1", "fractions": "0.5"} | more
    return server.address("compression", **chosen)


def test_a_job_from_its_start_to_the_file(server: Server, page: Page, runs: Path, tmp_path: Path) -> None:
    visit(page, lab(server))
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=PATIENCE)
    # another page answers meanwhile
    other = page.context.new_page()
    visit(other, server.address("channel", run="few", block="SE_5_1"))
    other.close()
    button = page.get_by_role("button", name="mean.csv")
    expect(button).to_be_visible(timeout=3 * PATIENCE)
    with page.expect_download() as download:
        button.click()
    download.value.save_as(tmp_path / "mean.csv")
    table = pd.read_csv(tmp_path / "mean.csv")
    assert set(table["criterion"]) == {"gate_mean", "l1"}
    assert set(table["fraction"]) == {0.0, 0.5}
    (made,) = (runs / "few" / "compressions").iterdir()
    assert (made / "mean.csv").read_bytes() == (tmp_path / "mean.csv").read_bytes()


def test_a_job_that_is_cancelled_leaves_nothing(server: Server, page: Page, runs: Path) -> None:
    place = runs / "few" / "compressions"
    before = set(place.iterdir()) if place.exists() else set()
    visit(page, lab(server, criteria="gate_mean|l1|l2|bn_gamma|random", fractions="0.1|0.2|0.3|0.4|0.5", seeds="5"))
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Cancel").click(timeout=PATIENCE)
    expect(page.get_by_text("was cancelled; nothing of it was kept")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert (set(place.iterdir()) if place.exists() else set()) == before
