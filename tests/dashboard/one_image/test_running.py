"""Networks and images that are run for a page: one at a time, and no file that is too large."""

from typing import Any

import pytest

from seviz.dashboard.one_image import running
from seviz.dashboard.one_image.running import LARGEST, checked
from seviz.dashboard.thumbnails import TURN
from seviz.errors import ImageFormatError
from seviz.run.store import Run
from tests.dashboard.drawing import Open


def test_decoding_and_running_are_for_one_at_a_time(
    open_page: Open, bundled_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    for name in ("run_image", "attribute_image"):
        plain = getattr(running, name)

        def watched(*arguments: Any, plain: Any = plain, **more: Any) -> Any:
            held.append(TURN.locked())
            return plain(*arguments, **more)

        monkeypatch.setattr(running, name, watched)
    open_page("image", bundled_run, image="21")
    assert held == [True, True]
    assert not TURN.locked()


def test_uploads_are_checked() -> None:
    assert checked(b"x") == b"x"
    with pytest.raises(ImageFormatError, match="the file is empty"):
        checked(b"")
    with pytest.raises(ImageFormatError, match=f"22 MB, expected at most {LARGEST}"):
        checked(bytes(22_000_000))
