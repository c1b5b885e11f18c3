from typing import IO, Any

import pytest
from matplotlib.figure import Figure

from tests.cli.kinds_of_run import kinds as kinds


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, and not rendered: their files hold next to nothing."""

    def render(figure: Figure, file: IO[bytes], **options: Any) -> None:
        file.write(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>')

    monkeypatch.setattr(Figure, "savefig", render)
