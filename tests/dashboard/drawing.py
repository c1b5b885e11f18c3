"""A page drawn without a browser."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
"""What the fixture `open_page` gives."""


def page_of(first: str, *, patience: float = 60) -> AppTest:
    """The dashboard, opened at a page and not drawn yet; what is drawn first may take some seconds."""
    return AppTest.from_function(_script, args=(first,), default_timeout=patience)


def _script(first: str) -> None:
    from seviz.dashboard.app import main

    main(first)
