from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from matplotlib.figure import Figure

from tests.cli.kinds_of_run import make_kinds


@pytest.fixture(scope="session")
def kinds(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A run of every kind, and what they were made of: see `tests.cli.kinds_of_run`. Not to be written into."""
    return make_once("kinds", make_kinds)


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, and not rendered: their files hold next to nothing."""

    def render(figure: Figure, file: IO[bytes], **options: Any) -> None:
        file.write(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>')

    monkeypatch.setattr(Figure, "savefig", render)
