"""HTML of texts and tables. What is put into it is escaped here, and nowhere else."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from seviz.numerals import count, decimals, significant
from seviz.texts import named, visible

Form = Literal["text", "name", "count", "share", "figure", "interval"]
_TEXTS = ("text", "name")


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
        "name" is text that is seen also where it is blank; "share" has two decimals, "figure" three digits that count.
    """

    name: str
    heading: str
    form: Form = "text"


def text(value: object) -> str:
    """Anything as text that stands in a page or in a quoted attribute; see `seviz.texts.visible`."""
    return html.escape(visible(str(value)))


def isolated(value: object) -> str:
    """The same for text from data in its own element, whose direction of writing reaches no further."""
    return f"<bdi>{text(value)}</bdi>"


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
            key = "" if column.form in _TEXTS else f' data-value="{value}"'
            content = isolated(words) if column.form in _TEXTS and words else text(words)
            cells.append(f"<{tag}{_class(column)}{key}>{content}</{tag.split()[0]}>")
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
    lines = [f"<dt>{text(name)}</dt><dd>{isolated(value)}</dd>" for name, value in pairs if value not in (None, "")]
    return '<dl class="facts">\n{}\n</dl>'.format("\n".join(lines))


def _class(column: Column) -> str:
    return "" if column.form in _TEXTS else ' class="number"'


def _cell(row: dict[Any, Any], column: Column) -> tuple[str, str]:
    """What a cell is sorted by, and what it shows."""
    values = [row[name] for name in column.name.split(",")]
    if column.form in _TEXTS:
        words = "" if pd.isna(values[0]) else str(values[0])
        return "", named(words) if column.form == "name" and isinstance(values[0], str) else words
    if any(pd.isna(value) for value in values):
        return "", "–"
    return f"{float(values[0]):.9g}", " to ".join(_NUMBERS[column.form](float(value)) for value in values)


_NUMBERS: Mapping[Form, Callable[[float], str]] = {
    "count": count,
    "share": decimals,
    "interval": decimals,
    "figure": significant,
}
