"""The figure that a command draws beside its table, to a file."""

from pathlib import Path

from seviz.errors import OptionError
from seviz.run.places import check_file


def check_figure(path: Path | None) -> None:
    """Raise an error where no figure can be written there, before there is one."""
    if path is not None and path.suffix not in (".png", ".pdf", ".svg"):
        raise OptionError(f"figure is {str(path)!r}, expected a file that ends in .png, .pdf or .svg")
    if path is not None:
        check_file(path)
