"""How pages show work: a table that is not there yet and can be computed, a job under way, one that failed."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped
from seviz.dashboard.jobs import Job, jobs
from seviz.dashboard.reading import read_table
from seviz.errors import SevizError
from seviz.run.store import Run


def ask(run: Run, *names: str, **parameters: Any) -> list[pd.DataFrame] | None:
    """Tables that the run keeps, in the order of the names; where one is missing, an offer to compute it, and None.

    Parameters
    ----------
    run
        Whose tables.
    names
        As of `seviz.tables.kept`; all of the whole run, or all of one block.
    parameters
        `block`, for tables of one block.
    """
    tables = {name: read_table(run, name, **parameters) for name in names}
    missing = [name for name, table in tables.items() if table is None]
    if not missing:
        return [table for table in tables.values() if table is not None]
    offer(run, missing)
    return None


def offer(run: Run, names: Sequence[str]) -> None:
    """Say that tables were not computed yet, with a button that computes them as a job, or the job that does."""
    wanted = ",".join(names)
    previous = [job for job in jobs().of(run.path, "analyse") if job.about["tables"] == wanted]
    if previous and previous[0].state == "running":
        watch(previous[0])
        return
    with st.container(border=True):
        listed = ", ".join(name.replace("_", " ") for name in names)
        st.markdown(f"**Not computed yet: {listed}.** It is read off the run once, and kept with it.")
        if previous:
            tell(previous[0])
            if previous[0].state == "done" and previous[0].messages:  # but the table is still not there: it says why
                st.info(escaped(previous[0].messages[-1]), icon=":material/info:")
        if st.button("Compute", key=f"compute_{run.path}_{wanted}", icon=":material/calculate:", type="primary"):
            begin(
                f"Computing {listed}",
                ["analyse", str(run.path), "--only", wanted],
                run=run,
                about={"kind": "analyse", "tables": wanted},
            )


def begin(title: str, arguments: Sequence[str], *, run: Run, about: dict[str, Any], **more: Any) -> None:
    """Start a job and show the page anew; if none can be started now, say so."""
    try:
        jobs().start(title, arguments, run=run.path, about=about, **more)
    except SevizError as error:
        st.warning(escaped(str(error)), icon=":material/hourglass_top:")
        return
    st.rerun()


@st.fragment(run_every=1.0)
def watch(job: Job) -> None:
    """A job under way: how far it is, and a button to cancel it; when it has ended the page is drawn anew."""
    if job.state != "running":
        st.rerun()
    progress = job.progress
    with st.container(border=True):
        left, right = st.columns([5, 1], vertical_alignment="center")
        label = job.title if progress is None or not progress.label else f"{job.title}: {escaped(progress.label)}"
        text = f"{label} · {job.seconds:.0f} s"
        left.progress(0.0 if progress is None or progress.share is None else progress.share, text=text)
        if right.button("Cancel", key=f"cancel_{job.number}", icon=":material/stop_circle:", width="stretch"):
            job.cancel()
            st.rerun()
        if job.messages:
            st.caption(escaped(job.messages[-1]))


def tell(job: Job) -> None:
    """Why a job came to nothing, if it did."""
    if job.state == "cancelled":
        kept = "" if job.result is None else "; nothing of it was kept"
        st.info(f"{job.title} was cancelled{kept}.", icon=":material/block:")
    elif job.state == "failed":
        st.error("\n\n".join([f"{job.title} failed.", *map(escaped, job.messages[-3:])]), icon=":material/error:")
