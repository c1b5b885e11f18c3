"""The page: one HTML file that needs nothing else, on the screen by day and by night, and on paper."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from pathlib import Path

from seviz.report.contents import Contents, gather
from seviz.report.drawing import Picture, pictures
from seviz.report.listing import tables
from seviz.report.markup import facts, isolated, text
from seviz.report.origin import (
    PAPER,
    PAPER_DOI,
    SOFTWARE,
    accuracy,
    capture_command,
    counted,
    described,
    no_command,
    report_command,
)
from seviz.report.svg import inline
from seviz.run.files import write_atomically
from seviz.run.places import check_file
from seviz.run.store import Run

Tell = Callable[[str], None]


def page(run: Run, *, title: str | None = None, tell: Tell | None = None) -> str:
    """A page that shows a run: what was run, what came out in words and figures, how to make it again.

    Parameters
    ----------
    run
        A finished run. Tables that it does not keep yet are computed and kept.
    title
        Of the page; by default network and data.
    tell
        Called with what is being done, a phrase each.

    Returns
    -------
    str
        HTML that refers to nothing outside itself but for links to the papers; the same for the same run.
    """
    contents = gather(run, tell)
    drawn = list(pictures(run, tell))
    title = f"{run.manifest.model.spec} on {run.manifest.data.spec}" if title is None else title
    css, script = (
        resources.files("seviz.report").joinpath(name).read_text("utf-8") for name in ("page.css", "sort.js")
    )
    sections = [
        _section("What the gates say", _headlines(contents)),
        _section("Figures", *map(_figure, drawn)) if drawn else "",
        _section("Tables", *tables(run, contents)),
        _section("What was run", facts(described(run))),
        _section("To make it again", _again(run)),
        _section("How to cite", _citation()),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{text(_policy(script))}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title>",
            f"<style>\n{css}</style>",
            "</head>",
            "<body>",
            f"<header>\n<h1>{isolated(title)}</h1>\n{_about(run)}\n</header>",
            "<main>",
            _remarks(run.remarks),
            f'<p class="lead">{text(contents.headlines[0].sentence)}</p>',
            *filter(None, sections),
            "</main>",
            f"<footer>Made by seviz {text(metadata.version('seviz'))}. All of this page is in this file.</footer>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def report(run: Run, path: str | Path | None = None, *, title: str | None = None, tell: Tell | None = None) -> Path:
    """Write a page that shows a run to a file: one file, without network access, to read, print or send.

    Parameters
    ----------
    run
        A finished run. Tables that it does not keep yet are computed and kept.
    path
        The HTML file, whose directory is made if need be; None for report.html in the working directory.
    title
        Title of the page; None for network and data.
    tell
        Called with what is being done, a phrase each.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WriteError
        If it cannot be written, which is told before the work where it is known.

    Examples
    --------
    >>> seviz.report(run, "page.html").name
    'page.html'
    """
    path = Path("report.html" if path is None else path)
    check_file(path)
    write_atomically(path, page(run, title=title, tell=tell).encode())
    return path


def _policy(script: str) -> str:
    """What a browser is to allow the page: its own style, its own script, pictures within it, and no network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def _section(heading: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{text(heading)}</h2>", *parts, "</section>"])


def _about(run: Run) -> str:
    parts = [
        f"{len(run.blocks)} SE blocks",
        f"{len(run.samples):,} images ({counted(run)})",
        f"accuracy: {accuracy(run)}",
        f"captured {run.manifest.created[:10]}",
    ]
    return f'<p class="about">{text(" · ".join(parts))}</p>'


def _remarks(remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    lines = "\n".join(f"<li>{isolated(remark)}</li>" for remark in remarks)
    return f'<section class="remarks">\n<h2>Before you believe it</h2>\n<ul>\n{lines}\n</ul>\n</section>'


def _headlines(contents: Contents) -> str:
    lines, topic = [], ""
    for headline in contents.headlines[1:]:
        name = f"<dt>{text(headline.topic)}</dt>" if headline.topic != topic else ""
        lines.append(f"{name}<dd>{text(headline.sentence)}</dd>")
        topic = headline.topic
    return '<dl class="said">\n{}\n</dl>'.format("\n".join(lines))


def _figure(picture: Picture) -> str:
    drawn = inline(picture.figure, picture.name, title=picture.title, description=picture.description)
    caption = f"<strong>{text(picture.title)}.</strong> {text(picture.description)}"
    return f'<figure>\n<div class="card">{drawn}</div>\n<figcaption>{caption}</figcaption>\n</figure>'


def _again(run: Run) -> str:
    command = capture_command(run)
    if not command:
        return f"<p>{text(no_command(run))} This page is made again by</p>\n<pre>{text(report_command(run))}</pre>"
    return (
        f"<pre>{text(command)}\n{text(report_command(run))}</pre>\n<p>Where a run is there, seviz refuses to go on with"
        " other images or weights.</p>"
    )


def _citation() -> str:
    return (
        f"<p>{text(SOFTWARE)} Version {text(metadata.version('seviz'))}.</p>\n"
        f'<p>{text(PAPER)} <a href="https://doi.org/{text(PAPER_DOI)}">doi:{text(PAPER_DOI)}</a></p>'
    )
