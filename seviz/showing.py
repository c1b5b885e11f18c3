"""How objects show themselves: in a line at a prompt, as a table in a notebook."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any

_LONGEST = 60


def brief(shown: Any) -> str:
    """The `repr` of a dataclass whose fields may be large: arrays by shape, mappings by size, modules by type."""
    told = (f"{each.name}={_short(getattr(shown, each.name))}" for each in fields(shown) if each.repr)
    return f"{type(shown).__name__}({', '.join(told)})"


def _short(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{value.dtype} {tuple(value.shape)}>"
    if value is None or isinstance(value, str | int | float):
        return _cut(repr(value))
    if isinstance(value, Mapping):
        return _cut(f"<{len(value)}: {', '.join(map(str, value))}>" if value else "{}")
    if isinstance(value, Collection):
        return _cut(f"<{len(value)}: {', '.join(map(_short, list(value)[:9]))}>" if value else "()")
    return _cut(f"<{type(value).__name__}>")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for a notebook, with its title as the caption; all text is escaped."""
    head = "".join(f"<th>{escape(each)}</th>" for each in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    caption = f'<caption style="text-align: left">{escape(title)}</caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def blocks_as_html(title: str, blocks: Iterable[Any]) -> str:
    """Blocks, of a network or as a manifest records them, as a table for a notebook."""
    rows = [(each.name, each.channels, each.squeezed_channels, each.gate, each.stride, each.path) for each in blocks]
    return html_table(title, ("block", "channels", "squeezed to", "gate", "stride", "module"), rows)
