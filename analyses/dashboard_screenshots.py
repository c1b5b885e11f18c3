"""Pictures of the dashboard, for the README.

    python analyses/dashboard_screenshots.py runs/demo -o docs

Serves the run on a free port and opens pages in Chromium (from CHROMIUM, else by its usual names on the path).
"""

import argparse
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from seviz.dashboard.serving import command

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60_000
"""Milliseconds that a page may take."""
WINDOW: ViewportSize = {"width": 1280, "height": 900}
"""Pixels."""
PICTURES = {
    "dashboard-excitation": ("excitation", "light", {"block": "SE_5_1"}),
    "dashboard-channel": ("channel", "dark", {"block": "SE_5_1", "channel": "3"}),
}
"""By name: page, colours, and what is selected."""


def browser_path() -> str | None:
    """Where Chromium is; None if nowhere."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def serving(runs: Sequence[Path], log: Path) -> Iterator[str]:
    """Serve runs on a free port; gives where."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as out:
        process = subprocess.Popen(command(runs, host="127.0.0.1", port=port), stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _await(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not start: {log.read_text(encoding='utf-8')}")


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as play:
        # without a sandbox, since Chromium refuses one to root, as which containers run; it looks at our own pages only
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def settled(page: Page) -> None:
    """Wait until a page is drawn: it has a title, and nothing runs any more."""
    page.wait_for_function(  # looks at every frame, where an expectation would look once a second
        "document.querySelector('h1') && document.querySelector('[data-test-script-state=notRunning]')",
        timeout=PATIENCE,
    )


def grown(page: Page, *, most: int = 5_000) -> None:
    """Wait until all charts are drawn, which is after the script, and make the window as high as what it shows."""
    page.wait_for_function(
        """[...document.querySelectorAll("[data-testid=stVegaLiteChart]")]
            .every(chart => chart.querySelector("svg, canvas"))""",
        timeout=PATIENCE,
    )
    still(page)
    height = int(page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": page.viewport_size["width"], "height": min(height + 20, most)})
    still(page)


STILL = """([quiet, patience]) => new Promise((found, failed) => {
    const late = setTimeout(() => failed(new Error("the page does not come to rest")), patience);
    const observer = new MutationObserver(wait);
    let timer;
    function wait() { clearTimeout(timer); timer = setTimeout(look, quiet); }
    function look() {
        if (document.getAnimations().some(each => each.playState === "running")) return wait();
        clearTimeout(late);
        observer.disconnect();
        found();
    }
    observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
    wait();
})"""
"""Found when nothing of the page has changed for some milliseconds."""


def still(page: Page) -> None:
    """Wait until a page has come to rest, after something was done to it."""
    page.evaluate(STILL, [100, PATIENCE])


def pictures(address: str, context: BrowserContext, out: Path) -> Iterator[Path]:
    """Take all pictures of a dashboard, of the run that opens; gives where each lies."""
    for name, (path, scheme, selected) in PICTURES.items():
        page = context.new_page()
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{address}/{path}?{urlencode(selected)}")
        settled(page)
        grown(page, most=1_300)
        page.screenshot(path=out / f"{name}.png")
        page.close()
        yield out / f"{name}.png"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    path = browser_path()
    if path is None:
        parser.error(f"there is no browser: none of {', '.join(BROWSERS)} is on the path, and CHROMIUM names none")
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "server.log"
    with serving([options.run.absolute()], log) as address, chromium(path) as browser:
        for picture in pictures(address, browser.new_context(viewport=WINDOW), options.out):
            print(picture)
    log.unlink()


if __name__ == "__main__":
    main()
