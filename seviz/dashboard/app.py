"""The dashboard: opens the runs, keeps what is selected, and draws one page of it."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from seviz.dashboard import selection
from seviz.dashboard.escaping import escaped
from seviz.dashboard.jobs import jobs
from seviz.dashboard.opening import DEMO, find_runs, given, trusts
from seviz.dashboard.pages import PAGES
from seviz.dashboard.reading import read_run
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import tell, watch
from seviz.errors import RunNotFoundError, SevizError

_NONE = ""
_FINISHED = DEMO / "samples.parquet"  # written last
# What is chosen of several is told by its border and ground; in the primary colour its text has too little contrast on
# dark, where that colour must also carry the white text of other widgets.
_STYLE = "<style>.stButtonGroup button[data-variant=segmented_control][data-selected] { color: inherit; }</style>"
_LOG = logging.getLogger("seviz.dashboard")


def main(first: str = "overview") -> None:
    """Draw what the address says. Called by Streamlit at every change.

    Parameters
    ----------
    first
        The path of the page that opens where the address names none.
    """
    st.set_page_config(page_title="seviz", page_icon=_icon(), layout="wide")
    st.html(_STYLE)
    selection.begin()
    runs = _runs()
    if runs is None:
        return
    entries: dict[str, Any] = {}
    for page in PAGES:
        draw = partial(_draw, page, runs, entries)
        entries[page.path] = st.Page(
            draw, title=page.short or page.title, icon=page.icon, url_path=page.path, default=page.path == first
        )
    st.navigation(list(entries.values()), position="top").run()


def _runs() -> dict[str, Path] | None:
    """The runs that can be opened; None while the demo run is made, which the page then shows."""
    places = given(sys.argv[1:])
    try:
        if places:
            return find_runs(places)
        making = any(job.state == "running" for job in jobs().of(DEMO, "demo"))  # also the tables, in the end
        if making or not _FINISHED.is_file():
            _demo()
            return None
        found = find_runs([DEMO.parent])
    except RunNotFoundError as error:
        st.error(escaped(str(error)), icon=":material/error:")
        return None
    demo = next(name for name, path in found.items() if path == DEMO.resolve())
    return {demo: found[demo]} | found  # first: it is what opens


def _demo() -> None:
    """Make the demo run, and show how far it is."""
    st.title("seviz")
    st.markdown("The demo run is being made: the bundled network on 1,000 bundled images. This is done once.")
    last = next(iter(jobs().of(DEMO, "demo")), None)
    anew = last is None or (last.state == "done" and not _FINISHED.is_file())  # or it was taken away since
    if last is not None and last.state in ("failed", "cancelled"):
        tell(last)
        anew = st.button("Try again")
        if not anew:
            return
    if last is None or anew:
        last = jobs().start("Making the demo run", ["demo", "-o", str(DEMO)], run=DEMO, about={"kind": "demo"})
    watch(last)


def _draw(page: Page, runs: dict[str, Path], entries: dict[str, Any]) -> None:
    """One page, and what is selected beside it."""
    with st.sidebar:
        name = selection.choose("run", "Run", list(runs), help="What one network did on one data set.")
        others = [_NONE, *(each for each in runs if each != name)]
        against = selection.choose(
            "against",
            "Second run",
            others,
            shown=lambda each: each or "none",
            help="Drawn beside the first, where a page compares.",
        )
    try:
        run = read_run(runs[name])
        other = read_run(runs[against]) if against else None
    except (SevizError, OSError) as error:
        st.error(escaped(str(error)), icon=":material/error:")
        selection.end(page.path, page.keys)
        return
    with st.sidebar:
        block = selection.choose("block", "SE block", run.blocks, default=_middle(run.blocks))
        st.caption(escaped(f"{run.manifest.model.spec} on {run.manifest.data.spec}, {len(run.samples):,} images"))
    st.title(page.title)
    st.markdown(page.says)
    with st.expander("How to read this", icon=":material/help:"):
        st.markdown(page.how)
    selection.select(run=name, against=against, block=block)  # in the address also where it is the one that opens
    view = View(
        run=run,
        name=name,
        against=other,
        against_name=against,
        runs=runs,
        block=block,
        entries=entries,
        trust_code=trusts(sys.argv[1:]),
    )
    try:
        page.draw(view)
    except SevizError as error:
        st.error(escaped(str(error)), icon=":material/error:")
        _LOG.info("%s: %s", page.title, error)
    selection.end(page.path, page.keys)


def _icon() -> Image.Image:
    """Gates of four channels. Drawn here, since a symbol by its name would be fetched from elsewhere."""
    icon = np.zeros((32, 32, 4), np.uint8)
    for place, height in enumerate((14, 28, 8, 22)):
        icon[32 - height :, 8 * place + 1 : 8 * place + 7] = (0, 114, 178, 255)
    return Image.fromarray(icon)


def _middle(blocks: tuple[str, ...]) -> str:
    """The block that opens: one of the later half, where classes begin to matter."""
    return blocks[(2 * len(blocks)) // 3]
