"""What a page is given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from seviz.dashboard.selection import address, choose_some, value
from seviz.run.store import Run


@dataclass(frozen=True, kw_only=True)
class View:
    """What is looked at.

    Attributes
    ----------
    run
        The selected run.
    name
        What it is called in links.
    against
        A second run to compare it with; None if none is selected.
    against_name
        What that is called.
    runs
        All that can be opened, by name.
    block
        The selected block, the name of one that the run has.
    entries
        The pages by their path, for links.
    trust_code
        Whether the person said at the start of the dashboard that what runs name may be executed or fetched.
    """

    run: Run
    name: str
    block: str
    against: Run | None = None
    against_name: str = ""
    runs: dict[str, Path] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)
    trust_code: bool = False

    @property
    def names(self) -> dict[str, str]:
        """Names of the classes by id."""
        return dict(zip(self.run.classes.ids, self.run.classes.names, strict=True))

    @property
    def channel(self) -> int:
        """The selected channel of the selected block, the first where none is."""
        text, channels = value("channel"), self.run.block(self.block).channels
        return int(text) if text.isdecimal() and int(text) < channels else 0

    def link(
        self, path: str, label: str, *, icon: str | None = None, help: str | None = None, **changes: str | int
    ) -> None:
        """A link to another page, with what is selected there.

        Parameters
        ----------
        path
            Of the page, as in its address.
        label, icon
            As of `st.page_link`.
        changes
            What is selected there, where it is other than here: `block="SE_5_1"`, `channel=3`, ...
        """
        st.page_link(self.entries[path], label=label, icon=icon, query_params=address(**changes))

    def choose_classes(self, label: str = "Classes", *, default: int = 4, most: int | None = None) -> list[str]:
        """A searchable list for the selected classes, found by name and by id; gives ids.

        Parameters
        ----------
        label
            Of the widget.
        default
            How many are shown where none is selected.
        most
            How many can be selected.
        """
        from seviz.tables.excitation import default_classes

        given, names = default_classes(self.run, default), self.names
        ids = [self.run.classes.ids[self.run.class_index(each)] for each in given]
        return choose_some(
            "classes",
            label,
            self.run.classes.ids,
            default=ids,
            shown=lambda each: names[each] if names[each] == each else f"{names[each]} ({each})",
            max_selections=most,
        )


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the dashboard.

    Attributes
    ----------
    title
        Above the page.
    path
        In the address.
    icon
        A Material symbol.
    says
        What it shows, two sentences for one who has not read the paper.
    how
        How to read it, Markdown.
    draw
        Draws it.
    keys
        Of the address, beside the shared ones.
    short
        In the navigation, where the title is too long for it.
    """

    title: str
    path: str
    icon: str
    says: str
    how: str
    draw: Callable[[View], None]
    keys: tuple[str, ...] = ()
    short: str = ""
