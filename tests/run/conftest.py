import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import seviz
from seviz.network.networks import Network
from seviz.run.store import Run


@pytest.fixture
def tiny_run(
    make_once: Callable[[str, Callable[[Path], object]], Path],
    tiny_network: Network,
    make_folder: Callable[..., Path],
    tmp_path: Path,
) -> Run:
    """A copy of a finished run over 30 images of three classes of unequal size, in three chunks."""

    def collect(out: Path) -> None:
        with pytest.warns(UserWarning, match="near chance"):
            seviz.collect(
                tiny_network,
                make_folder({"blue": 9, "green": 8, "red": 13}, name="of all copies"),
                out,
                signals=("excitation", "squeeze", "response"),
                batch_size=4,
                chunk_size=11,
            )

    shutil.copytree(make_once("tiny", collect), tmp_path / "run")
    return seviz.open_run(tmp_path / "run")
