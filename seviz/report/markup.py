"""HTML of texts and tables. What is put into it is escaped here, and nowhere else."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from seviz.numerals import count, decimals, significant

Form = Literal["text", "count", "share", "figure", "interval"]
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name
        In the table; of an interval, of its two ends with a comma between.
    heading
        In the page.
    form
        "share" has two decimals, "figure" three digits that count.
    """

    name: str
    heading: str
    form: Form = "text"


def text(value: object) -> str:
    """Anything as text that stands in a page or in a quoted attribute; what HTML forbids becomes U+FFFD."""
    return html.escape(_FORBIDDEN.sub("\ufffd", str(value)))


def table(rows: pd.DataFrame, columns: Sequence[Column], *, name: str, title: str, caption: str) -> str:
    """A table, sorted by its headings where scripts run.

    Parameters
    ----------
    rows
        What to show; columns that it does not have are left out.
    columns
        Which, in what form. The first heads its row.
    name
        Id of the table.
    title, caption
        What it shows, and what its columns mean.
    """
    shown = [column for column in columns if set(column.name.split(",")) <= set(rows.columns)]
    heads = "".join(f'<th scope="col"{_class(column)}>{text(column.heading)}</th>' for column in shown)
    lines = []
    for row in rows.to_dict("records"):
        cells = []
        for position, column in enumerate(shown):
            tag = 'th scope="row"' if position == 0 else "td"
            value, words = _cell(row, column)
            key = "" if column.form == "text" else f' data-value="{value}"'
            cells.append(f"<{tag}{_class(column)}{key}>{text(words)}</{tag.split()[0]}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    said = f"<strong>{text(title)}.</strong> {text(caption)}"
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}-caption">\n<table id="{name}">\n'
        f'<caption id="{name}-caption">{said}</caption>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """A list of names and what they stand for; those without a value are left out."""
    lines = [f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs if value not in (None, "")]
    return '<dl class="facts">\n{}\n</dl>'.format("\n".join(lines))


def _class(column: Column) -> str:
    return "" if column.form == "text" else ' class="number"'


def _cell(row: dict[Any, Any], column: Column) -> tuple[str, str]:
    """What a cell is sorted by, and what it shows."""
    values = [row[name] for name in column.name.split(",")]
    if column.form == "text":
        return "", "" if pd.isna(values[0]) else str(values[0])
    if any(pd.isna(value) for value in values):
        return "", "–"
    return f"{float(values[0]):.9g}", " to ".join(_NUMBERS[column.form](float(value)) for value in values)


_NUMBERS: Mapping[Form, Callable[[float], str]] = {
    "count": count,
    "share": decimals,
    "interval": decimals,
    "figure": significant,
}
