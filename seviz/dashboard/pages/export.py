"""Export: the figures of the run as files with their data, its tables, and the report."""

import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.files import Sheet, as_csv, draw, needed, tables_zip, zipped
from seviz.dashboard.jobs import Job, jobs
from seviz.dashboard.reading import fingerprint, read_table
from seviz.dashboard.selection import choose, choose_some, values
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import begin, offer, tell, watch
from seviz.figures.album import Album, figures
from seviz.registry import FIGURES, TABLES
from seviz.run.store import Run
from seviz.tables.excitation import default_blocks
from seviz.tables.kept import table_path, tables_of_run
from seviz.texts import command_line, path_text, visible

FORMATS = {"png": "image/png", "pdf": "application/pdf", "svg": "image/svg+xml"}
WIDTHS = {"page": "a page", "column": "a column"}
DRAWN = 12
"""Figures that are kept in memory."""
AT_ONCE = 20_000, 100
"""Images and classes up to which a figure is drawn without being asked for."""
ROWS = 100
"""Of a table, shown."""

_CLASSES, _BLOCKS = 10, 6  # that a figure has room for


def page(view: View) -> None:
    """One figure, all of them, the report, and the tables."""
    st.subheader("One figure")
    _figure(view)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("All figures")
        _all_figures(view)
    with right:
        st.subheader("Report")
        _report(view)
    st.subheader("Tables")
    _tables(view)


def _figure(view: View) -> None:
    """A figure with what it can be asked for, drawn, and its files."""
    left, middle, right = st.columns([3, 2, 2])
    declared = figures()
    with left:
        figure = choose("figure", "Figure", list(declared), shown=lambda name: declared[name].title)
    takes = declared[figure].takes
    with middle:
        formats = choose_some("formats", "Formats", list(FORMATS), default=("png", "pdf"), shown=str.upper)
    with right:
        width = choose("width", "As wide as", list(WIDTHS), widget=st.segmented_control, shown=WIDTHS.__getitem__)
    classes = _first(view.choose_classes(), _CLASSES, "classes") if "classes" in takes else []
    blocks: list[str] = []
    if "blocks" in takes:
        given = (view.block,) if declared[figure].each_block else default_blocks(view.run)[:_BLOCKS]
        chosen = choose_some("blocks", "SE blocks", view.run.blocks, default=given)
        blocks = _first([each for each in view.run.blocks if each in chosen], _BLOCKS, "SE blocks")
    if "other" in declared[figure].needs and view.against is None:
        st.info("It takes a second run: choose one in the sidebar.")
        return
    missing = [name for name, block in needed(view.run, figure, blocks) if _missing(view.run, name, block)]
    if missing:
        offer(view.run, list(dict.fromkeys(missing)))
        return
    options = (figure, tuple(classes), tuple(blocks), width, tuple(each for each in FORMATS if each in formats))
    if not _asked(view, options):
        return
    with st.spinner("The figure is being drawn."):
        other = None if view.against is None else _state(view.against)
        sheets = _drawn(view.run.path, _state(view.run), other, options, view)
    for sheet in sheets:
        _sheet(view, sheet, options)


def _first(chosen: list[str], most: int, what: str) -> list[str]:
    """As many as a figure has room for; says so where more are chosen."""
    if len(chosen) > most:
        st.caption(f"The first {most} of {len(chosen)} {what} are drawn: a figure has room for no more.")
    return chosen[:most]


def _asked(view: View, options: tuple[Any, ...]) -> bool:
    """Whether a figure is to be drawn: those of large runs take long, and are drawn on a press of a button."""
    images, classes = AT_ONCE
    if len(view.run.samples) <= images and len(view.run.classes) <= classes:
        return True
    wanted = (view.name, view.against_name, options)
    if st.session_state.get("export_asked") == wanted:
        return True
    st.info("This run is large: drawing may take up to a minute.")
    if st.button("Draw", key="draw_figure", type="primary", icon=":material/draw:"):
        st.session_state["export_asked"] = wanted
        st.rerun()
    return False


def _missing(run: Run, name: str, block: str) -> bool:
    return not table_path(run, name, **({"block": block} if block else {})).is_file()


def _state(run: Run) -> str:
    """What a figure is drawn from: the run, and the tables that it keeps."""
    tables = run.path / "tables"
    return f"{fingerprint(run.path)} {tables.stat().st_mtime_ns if tables.is_dir() else 0}"


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=DRAWN, show_spinner=False)
def _drawn(path: Path, state: str, other: str | None, options: tuple[Any, ...], _view: View) -> list[Sheet]:
    figure, classes, blocks, width, formats = options
    album = Album(run=_view.run, other=_view.against, classes=classes or None, blocks=blocks or None, width=width)
    return draw(album, figure, tuple(dict.fromkeys(("png", *formats))))


def _sheet(view: View, sheet: Sheet, options: tuple[Any, ...]) -> None:
    """A figure to look at, and its files."""
    figure, _, _, width, formats = options
    if sheet.reason:
        st.info(f"It cannot be drawn: {escaped(sheet.reason)}", icon=":material/info:")
        return
    st.image(
        sheet.files["png"],
        width="stretch" if width == "page" else "content",
        alt=f"{FIGURES.outline(figure).title}: figure {sheet.name} of the run {view.name}.",
    )
    with st.container(horizontal=True):
        for kind in formats:
            st.download_button(
                kind.upper(),
                sheet.files[kind],
                file_name=f"{sheet.name}.{kind}",
                mime=FORMATS[kind],
                icon=":material/image:",
                key=f"figure_{sheet.name}_{kind}",
                on_click="ignore",
            )
        st.download_button(
            "Data (CSV)",
            partial(as_csv, sheet.data),
            file_name=f"{sheet.name}.csv",
            mime="text/csv",
            icon=":material/table:",
            key=f"figure_{sheet.name}_data",
            on_click="ignore",
        )


def _all_figures(view: View) -> None:
    """All figures of the run in a zip file, drawn as a job."""
    formats = [each for each in FORMATS if each in values("formats")] or ["png", "pdf"]
    options = ["--format", ",".join(formats), *_width()]
    if view.against is not None:
        options += ["--against", str(view.against.path)]
    said = ", ".join(map(str.upper, formats))
    st.markdown(f"Each figure that this run can have, as {said}, with its data. Tables that it lacks are computed.")
    job = _job(view, "figures", "Drawing all figures", "Draw all", options, "figures")
    if job is None or job.result is None:
        return
    names = sorted(file.name for file in job.result.iterdir()) if job.result.is_dir() else []
    if names:
        st.download_button(
            f"All figures (zip, {len(names)} files)",
            partial(zipped, job.result, names),
            file_name=f"{visible(path_text(view.run.path.name))}-figures.zip",
            mime="application/zip",
            icon=":material/download:",
            on_click="ignore",
        )
    for message in job.messages:
        st.caption(escaped(message))


def _width() -> list[str]:
    chosen = values("width")
    return ["--width", chosen[0]] if chosen and chosen[0] in WIDTHS else []


def _report(view: View) -> None:
    """The report, made as a job."""
    st.markdown("One HTML page with figures, tables and words, that needs nothing else: to read, to print, to send.")
    job = _job(view, "report", "Writing the report", "Write the report", [], "report.html")
    if job is not None and job.result is not None and job.result.is_file():
        st.download_button(
            "Report (HTML)",
            job.result.read_bytes,
            file_name=f"{visible(path_text(view.run.path.name))}.html",
            mime="text/html",
            icon=":material/download:",
            on_click="ignore",
        )


def _job(view: View, command: str, title: str, label: str, options: list[str], name: str) -> Job | None:
    """The last job of a kind: shown while it runs, offered again after it; given back if it is done."""
    run = view.run
    st.code(command_line(["seviz", command, str(run.path), "-o", name, *options]), language=None, wrap_lines=True)
    own = jobs().of(run.path, command)
    if own and own[0].state == "running":
        watch(own[0])
        return None
    done = bool(own) and own[0].state == "done"
    if own:
        tell(own[0])
    if st.button(f"{label} again" if done else label, key=f"start_{command}", icon=":material/play_arrow:"):
        if len(jobs().running) < jobs().limit:  # else none is started, and the last result stays
            for old in own:
                _take_away(old)
        place = jobs().directory / f"{command}-{secrets.token_hex(4)}"  # goes with the jobs of this server
        place.mkdir()
        result = place / name
        arguments = [command, str(run.path), "-o", str(result), *options]
        begin(title, arguments, run=run, about={"kind": command}, result=result)
    return own[0] if done else None


def _take_away(job: Job) -> None:
    if job.result is not None and job.result.is_relative_to(jobs().directory):
        shutil.rmtree(job.result.parent, ignore_errors=True)


def _tables(view: View) -> None:
    """The tables that the run keeps, one to look at, all to take along; and a job for those that are missing."""
    run = view.run
    paths = _paths(run.path, fingerprint(run.path), run)
    kept = {key: path for key, path in paths.items() if path.is_file()}
    st.markdown(f"The run keeps {len(kept)} of {len(paths)} tables, those of single blocks counted for each.")
    if len(kept) < len(paths):
        _compute_missing(run)
    if not kept:
        return
    names = list(dict.fromkeys(name for name, _ in kept))
    name = choose("table", "Table", names, shown=lambda each: each.replace("_", " "))
    block = view.block if TABLES[name].of_block else ""
    table = read_table(run, name, **({"block": block} if block else {}))
    st.markdown(escaped(described(name)) + (f" Of {escaped(block)}, the block in the sidebar." if block else ""))
    if table is None:
        of = f" of {escaped(block)}; choose another block in the sidebar" if block else ""
        st.info(f"It is not kept{of}.")
    else:
        st.dataframe(plain(table.head(ROWS)), width="stretch", hide_index=isinstance(table.index, pd.RangeIndex))
        if len(table) > ROWS:
            st.caption(f"The first {ROWS} of {len(table):,} rows; all are in the file.")
    with st.container(horizontal=True):
        if table is not None:
            called = f"{name}-{block}" if block else name
            _csv_button("This table (CSV)", partial(as_csv, table), f"{called}.csv", "text/csv")
        listed = {f"{name}-{block}" if block else name: path for (name, block), path in kept.items()}
        _csv_button("All of them (zip)", partial(tables_zip, listed), f"{run.path.name}-tables.zip", "application/zip")


def _csv_button(label: str, made: Callable[[], str | bytes], name: str, mime: str) -> None:
    st.download_button(
        label, made, file_name=visible(path_text(name)), mime=mime, icon=":material/table:", on_click="ignore"
    )


def described(name: str) -> str:
    """What a table shows: the first line of the docstring of its function."""
    return str(TABLES[name].function.__doc__).strip().partition("\n")[0]


def _compute_missing(run: Run) -> None:
    """All tables that are missing, as a job; and why the last one did not make some."""
    own = [job for job in jobs().of(run.path, "analyse") if job.about.get("tables") == "all"]
    if own and own[0].state == "running":
        watch(own[0])
        return
    if own:
        tell(own[0])
    if own and own[0].state == "done":
        reasons = list(dict.fromkeys(message.partition(": ")[2] for message in own[0].messages))
        for reason in filter(None, reasons):
            st.caption(f"Some are left out: {escaped(reason)}")
    if st.button("Compute what is missing", key="compute_all", icon=":material/calculate:"):
        begin("Computing all tables", ["analyse", str(run.path)], run=run, about={"kind": "analyse", "tables": "all"})


@st.cache_data(hash_funcs=BY_BYTES, max_entries=16, show_spinner=False)
def _paths(path: Path, mark: str, _run: Run) -> dict[tuple[str, str], Path]:
    """Where each table of the run lies, or would, by name and block."""
    declared = tables_of_run()
    whole = {(name, ""): table_path(_run, name) for name, table in declared.items() if not table.of_block}
    blocks = [name for name, table in declared.items() if table.of_block]
    return whole | {(name, block): table_path(_run, name, block=block) for name in blocks for block in _run.blocks}


PAGE = Page(
    title="Export",
    path="export",
    icon=":material/download:",
    says=(
        "Every figure of this run can be saved for a paper or a talk, with the numbers behind it, and every table as"
        " CSV. The report puts the most of it on one page that can be sent to others."
    ),
    how=(
        "Choose a figure; it is drawn as it will be in the file, and the address of this page brings it back. PDF and"
        " SVG stay sharp at any size, PNG goes anywhere; a column is 3.4 inches wide, a page 7, as in a two-column"
        " paper. Colours are told apart by colour-blind eyes and line styles survive a grey printer. Classes and SE"
        " blocks can be chosen where a figure is of some of them. The commands shown do the same without this page."
    ),
    draw=page,
    keys=("figure", "formats", "width", "blocks", "table"),
)
