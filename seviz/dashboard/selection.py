"""What is selected: kept for all pages of a session, and in the address, so that every view is a link.

The address has the run, the page, and `block`, `channel`, `classes`, `against`; a page may add keys of its own. It is
read where it is another than the one that was written last: at the start of a session, after a link, and when the
browser goes back. What an address says is text that anyone may have written: it is checked against the run before it
is used, and what the run does not have is dropped.
"""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from seviz.dashboard.escaping import distinct
from seviz.texts import visible

_STATE, _WRITTEN, _PAGE = "seviz_selection", "seviz_address", "seviz_page"
_LONGEST = 2_000  # characters of a value; a longer one is no selection that a page makes
SHARED = ("run", "block", "channel", "classes", "against")
"""Keys that go along from page to page; those of a page stay with it."""


def begin() -> None:
    """Read the address, if it is not the one that was written. Another page begins with none: then it is kept."""
    address = {key: text for key, text in st.query_params.to_dict().items() if len(text) <= _LONGEST}
    if address and address != st.session_state.get(_WRITTEN):
        _state().update(address)


def end(page: str, keep: Sequence[str]) -> None:
    """Write the address: what is shared, and the keys of this page.

    Where the browser has gone back to a page that began without an address, it is not written again: that would be a
    new step of the history, and there would be no way back past it.
    """
    wanted = {key: text for key, text in _state().items() if key in SHARED or key in keep}
    there, before = st.query_params.to_dict(), st.session_state.get(_WRITTEN)
    went_back = not there and st.session_state.get(_PAGE) == page and wanted == before
    if there != wanted and not went_back:
        st.query_params.from_dict(wanted)
    st.session_state[_WRITTEN], st.session_state[_PAGE] = wanted, page


def address(**changes: str | int) -> dict[str, str]:
    """What is shared, as an address has it, with changes: for a link to another view."""
    shared = {key: text for key, text in _state().items() if key in SHARED}
    return shared | {key: str(change) for key, change in changes.items()}


def value(key: str, default: str = "") -> str:
    """What is selected, as the address has it."""
    return _state().get(key, default)


def values(key: str) -> list[str]:
    """What is selected, where it is several."""
    return parted(value(key))


def joined(parts: Sequence[str]) -> str:
    """Several values as an address has them: with bars between, and those within written as %7C."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def parted(text: str) -> list[str]:
    """What `joined` was given, less what is empty."""
    return [part.replace("%7C", "|").replace("%25", "%") for part in text.split("|") if part]


def select(**changes: str | int | Sequence[str] | None) -> None:
    """Change what is selected; None or nothing takes it back."""
    for key, change in changes.items():
        text = joined(change) if isinstance(change, Sequence) and not isinstance(change, str) else change
        if text is None or text == "":
            _state().pop(key, None)
        else:
            _state()[key] = str(text)


def choose(
    key: str,
    label: str,
    options: Sequence[str],
    *,
    default: str | None = None,
    widget: Callable[..., Any] = st.selectbox,
    shown: Callable[[str], str] = str,
    **arguments: Any,
) -> str:
    """A widget that selects one of some, and follows the selection.

    Parameters
    ----------
    key
        Of the selection and the address.
    label
        Of the widget.
    options
        At least one; what the address says is dropped if it is none of them.
    default
        Where nothing is selected; by default the first.
    widget
        `st.selectbox`, `st.radio`, `st.segmented_control`, `st.select_slider`.
    shown
        What an option is shown as.
    arguments
        Further ones of the widget.
    """
    current = value(key)
    if current not in options:
        current = options[0] if default is None else default
    name = f"widget_{key}"
    st.session_state[name] = current

    def changed() -> None:
        # a segmented control can be emptied: then it stays as it was
        if st.session_state[name] is not None:
            select(**{key: st.session_state[name]})

    chosen = widget(label, options, key=name, format_func=_told_apart(options, shown), on_change=changed, **arguments)
    return current if chosen is None else str(chosen)


def choose_some(
    key: str,
    label: str,
    options: Sequence[str],
    *,
    default: Sequence[str] = (),
    shown: Callable[[str], str] = str,
    **arguments: Any,
) -> list[str]:
    """The same with several: a searchable list. Where nothing is selected, the default is."""
    current = ([each for each in values(key) if each in options] or list(default))[: arguments.get("max_selections")]
    name = f"widget_{key}"
    st.session_state[name] = current

    def changed() -> None:
        select(**{key: st.session_state[name]})

    labels = _told_apart(options, shown)
    return list(st.multiselect(label, options, key=name, format_func=labels, on_change=changed, **arguments) or default)


def choose_number(key: str, label: str, low: int, high: int, *, default: int, **arguments: Any) -> int:
    """The same with a number from low to high."""
    text = value(key)
    current = int(text) if text.isdecimal() and low <= int(text) <= high else default
    name = f"widget_{key}"
    st.session_state[name] = current

    def changed() -> None:
        select(**{key: st.session_state[name]})

    return int(st.number_input(label, low, high, key=name, on_change=changed, **arguments))


def _told_apart(options: Sequence[str], shown: Callable[[str], str]) -> Callable[[str], str]:
    """What options are shown as; no two alike, since it is by this text that a browser says which was chosen."""
    labels = dict(zip(options, distinct([shown(each) for each in options]), strict=True))
    return lambda each: labels[each] if each in labels else visible(shown(each))


def _state() -> dict[str, str]:
    state: dict[str, str] = st.session_state.setdefault(_STATE, {})
    return state
