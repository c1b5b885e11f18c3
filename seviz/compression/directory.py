"""A compression written to disk: the smaller network, what it was measured to be, a card that says how it was made.

README.md            the card
result.json          settings, which images were used for what, measurements: what `Compression.open` reads
network.json, weights.safetensors   the network, for `seviz.load`
network.pt2          the same as a program that torch alone runs
network.onnx         the same for any runtime, where asked for
NAME.csv             tables
figures/NAME.png     figures
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from seviz.compression.export import Exported, export_onnx, export_program, require_onnx
from seviz.compression.result import CARD, RECORD, Compression, recorded, said
from seviz.errors import EngineError, OptionError, WriteError
from seviz.figures.style import save
from seviz.network.networks import Network
from seviz.network.saving import save as save_network
from seviz.network.trust import making
from seviz.run.places import check_directory
from seviz.texts import command_line, csv_text, markdown_text

_ROWS = 40  # of a table on the card


def check_free(directory: str | Path) -> Path:
    """The directory, if there is nothing in it yet; asked before the work begins.

    Raises
    ------
    OptionError
        If there is something.
    WriteError
        If it cannot be made there.
    """
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise OptionError(f"out is {str(directory)!r}, where there is something already; give another directory")
    check_directory(directory.absolute().parent)  # where it is written, to get its name when it is whole
    return directory


def write_compression(
    compression: Compression,
    directory: str | Path,
    *,
    program: bool = True,
    onnx: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a compression, all of it or nothing.

    Parameters
    ----------
    compression
        What.
    directory
        Where; empty, or not there yet.
    program, onnx
        Whether the network is also written as a program of torch.export, and as ONNX.
    tell
        Told, a sentence each, what the network could not be exported to, and why; all else is written.

    Returns
    -------
    pathlib.Path
        The directory.

    Raises
    ------
    OptionError
        If there is something in the directory.
    SavedNetworkError
        If the network cannot be written down.
    MissingPackageError
        If ONNX is asked for and its packages are not installed; then nothing is written.
    WriteError
        If the disk is full, read-only, or gone.
    """
    if onnx and compression.network is not None:
        require_onnx()
    directory = check_free(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as beside:
            place = Path(beside) / "whole"
            place.mkdir()
            exported = _write_network(compression.network, place, program=program, onnx=onnx, tell=tell)
            for name, (_, table) in compression.tables.items():
                (place / f"{name}.csv").write_text(csv_text(table), encoding="utf-8", newline="\n")
            for name, figure in compression.figures.items():
                (place / "figures").mkdir(exist_ok=True)
                save(figure, place / "figures" / f"{name}.png")
            (place / RECORD).write_text(recorded(compression), encoding="utf-8", newline="\n")
            (place / CARD).write_text(card(compression, exported, directory), encoding="utf-8", newline="\n")
            if directory.exists():
                directory.rmdir()
            place.rename(directory)
    except OSError as error:
        raise WriteError(f"{str(directory)!r} could not be written ({error}); nothing of it was left") from error
    return directory


def _write_network(
    network: Network | None, place: Path, *, program: bool, onnx: bool, tell: Callable[[str], None]
) -> list[Exported]:
    if network is None:
        return []
    save_network(network, place)
    exported = []
    for wanted, export, name in ((program, export_program, "network.pt2"), (onnx, export_onnx, "network.onnx")):
        if wanted:
            try:
                exported.append(export(network, place / name))
            except (EngineError, WriteError) as error:
                tell(f"there is no {name}: {error}")
    return exported


def card(compression: Compression, exported: list[Exported], directory: Path) -> str:
    """The card in Markdown."""
    lines = [f"# {markdown_text(compression.title)}", "", *map(markdown_text, compression.made), ""]
    if compression.network is not None:
        lines += ["## Use", "", "```python", "import seviz", "", f"network = seviz.load({str(directory)!r})", "```", ""]
        made = making(compression.network.base or compression.network.spec)
        if made.acts:
            lines += [f"That takes `trust_code=True`, since making the network {made.does}.", ""]
        for file in exported:
            lines += _use(file)
        again = command_line(["seviz", "capture", str(directory), "DATA", "-o", "RUN"])
        lines += ["The gates that are left are recorded by", "", "```sh", again, "```", ""]
    for name, (title, table) in compression.tables.items():
        lines += [f"## {title}", "", *markdown(table.head(_ROWS)), ""]
        if len(table) > _ROWS:
            lines += [f"The first {_ROWS} of {len(table):,} rows; all are in `{name}.csv`.", ""]
        if name in compression.figures:
            lines += [f"![{title}](figures/{name}.png)", ""]
    for name in compression.figures.keys() - compression.tables.keys():
        lines += [f"![{name}](figures/{name}.png)", ""]
    lines += ["## How it was made", "", *markdown(_pairs(compression.settings)), ""]
    if compression.split:
        lines += ["Scores, choices and the figures above come from images of which none is in two of these:", ""]
        lines += [*markdown(_pairs(compression.split)), ""]
    return "\n".join(lines)


def _use(file: Exported) -> list[str]:
    takes = "any number of images" if file.batch == "dynamic" else f"{file.batch} images"
    how = (
        f'`torch.export.load("{file.path.name}").module()` gives it in torch without seviz'
        if file.path.suffix == ".pt2"
        else f"`{file.path.name}` is the same as ONNX"
    )
    remark = f" {file.remark}" if file.remark else ""
    return [f"{how}, for {takes} at once; its outputs are within {file.apart:.1g} of the network's.{remark}", ""]


def _pairs(values: Mapping[str, Any]) -> pd.DataFrame:
    given = {name: said(value) for name, value in values.items() if value is not None}
    return pd.DataFrame({"what": list(given), "value": list(given.values())})


def markdown(table: pd.DataFrame) -> list[str]:
    """The lines of a table in Markdown."""
    kinds = [table[column].dtype for column in table.columns]
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in kinds]
    lines = [
        "| " + " | ".join(markdown_text(str(column)) for column in table.columns) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    return lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in table.itertuples(index=False)]


def _cell(value: Any) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return markdown_text(str(value))
