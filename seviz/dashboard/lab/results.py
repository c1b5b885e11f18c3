"""What compressions have left with a run: smaller networks and curves, told by their tables, settings and cards.

`RUN/compressions/NNN-ACTION` is the directory that one of them wrote, see `seviz.compression.directory`. CSV, JSON and
Markdown are read, nothing else; a directory that is not whole is left out with a remark.
"""

import re
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import streamlit as st

from seviz.classes import Classes
from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.files import zipped
from seviz.dashboard.tables.class_names import labels_of
from seviz.errors import WriteError
from seviz.foreign import line, parse_json
from seviz.texts import of_markdown, path_text, visible

FOLDER = "compressions"
"""Of a run, where its compressions lie."""
LARGEST = 64 * 2**20
"""Bytes of a table or card that is read."""
_LONGEST_LINE = 100_000  # bytes, of the names of columns

Kind = Literal["mask", "fold", "prune"]
_NETWORK = ("README.md", "network.json", "weights.safetensors", "network.pt2", "network.onnx")
_TOLD_BY: dict[Kind, str] = {"mask": "mean", "prune": "removed", "fold": "blocks"}
_COLUMNS = {
    "mean": ("criterion", "scope", "fraction", "accuracy", "low", "high"),
    "results": (
        "network",
        "images",
        "accuracy",
        "low",
        "high",
        "drop",
        "drop_low",
        "drop_high",
        "parameters",
        "multiply_adds",
        "bytes",
        "blocks",
    ),
}
_TEXTS = ("criterion", "scope", "network", "block", "reason", "class", "class_name")  # a class may be called NA, or 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One compression.

    Attributes
    ----------
    path
        Its directory.
    kind
        What was done.
    action
        The same as the lab calls it: mask, fold, remove, prune or specialise.
    title, card
        Of the card, and all of it, Markdown.
    settings
        By name, as the card tells them.
    main
        Of masking curves the means over seeds; else a row a network, the original first.
    tables
        Names of all its tables.
    files
        Of the smaller network; none where there is none.
    """

    path: Path
    kind: Kind
    action: str
    title: str
    card: str
    settings: dict[str, str]
    main: pd.DataFrame
    tables: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its directory, as it is shown."""
        return visible(path_text(self.path.name))

    @property
    def number(self) -> str:
        """What its directory begins with, or all of the name."""
        return self.name.partition("-")[0]

    @property
    def summary(self) -> str:
        """What was done, in a few words."""
        given = self.settings
        classes = given.get("classes", "all")
        only = "" if classes == "all" else f", for {classes}"
        if self.kind == "mask":
            return f"channels masked by {given.get('criteria', 'criteria')}"
        if self.kind == "prune":
            criterion = given.get("criterion", "").partition(":")[0]
            return f"pruned: {given.get('budget', 'to a budget')}, by {criterion}{only}"
        before, after = (int(self.main["blocks"].iloc[k]) for k in (0, -1))
        done = "taken out" if self.action == "remove" else "folded"
        return f"{before - after} of {before} SE blocks {done}{only}"

    def table(self, name: str) -> pd.DataFrame:
        """One of its tables."""
        file = self.path / f"{name}.csv"
        return _read_csv(file, file.stat().st_mtime_ns)


@dataclass(frozen=True)
class Results:
    """The compressions of a run by their names, and why others are left out."""

    results: tuple[Result, ...]
    remarks: tuple[str, ...]

    def of(self, *kinds: Kind) -> list[Result]:
        """Those of some kinds."""
        return [result for result in self.results if result.kind in kinds]


def read_results(run: Path) -> Results:
    """The compressions in a run's directory; hidden directories are under way, and left out in silence."""
    folder = run / FOLDER
    found: list[Result] = []
    remarks: list[str] = []
    try:
        places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError:
        places = []
    for place in places:
        if place.is_symlink() or not place.is_dir():
            continue
        read = _read(place, _mark(place))
        if isinstance(read, Result):
            found.append(read)
        else:
            remarks.append(f"{path_text(place.name)} is left out: {read}")
    return Results(tuple(found), tuple(remarks))


def free_directory(run: Path, action: str, taken: Collection[str] = ()) -> Path:
    """A directory for the next compression, with a number that none has.

    Parameters
    ----------
    run
        The run's directory.
    action
        What it is called behind the number.
    taken
        Names of directories that jobs under way will make.
    """
    try:
        names = {place.name for place in (run / FOLDER).iterdir()} | set(taken)
    except OSError:
        names = set(taken)
    numbers = [int(found[1]) for name in names if (found := re.match(r"(\d{1,9})-", name))]
    return run / FOLDER / f"{max(numbers, default=0) + 1:03d}-{action}"


def check_writable(folder: Path) -> None:
    """That compressions can be written to a folder, which is made; raises WriteError if they cannot."""
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WriteError(
            f"{str(folder)!r} cannot be written to ({error.strerror or error}), and the result is to be kept there."
            " Make the run's directory writable, or type the command with another directory."
        ) from error


def compared(results: Sequence[Result]) -> pd.DataFrame:
    """What smaller networks reach and cost, each beside its original.

    Columns: result; network; action; classes, those whose images count; and of `seviz fold` and `seviz prune` images,
    accuracy with low and high, drop with drop_low and drop_high, blocks, parameters, multiply_adds, bytes, and where it
    was measured latency_ms with its interval and latency_ratio; and of parameters, multiply_adds and bytes the share
    that is left, share_parameters and so on; last, whether it is the last network of its result.
    """
    frames = []
    for result in results:
        rows = result.main
        shares = {f"share_{cost}": rows[cost] / rows[cost].iloc[0] for cost in ("parameters", "multiply_adds", "bytes")}
        frames.append(
            rows.assign(
                result=result.name,
                number=result.number,
                action=result.action,
                classes=result.settings.get("classes", "all"),
                last=np.arange(len(rows)) == len(rows) - 1,
                original=np.arange(len(rows)) == 0,
                **shares,
            )
        )
    return pd.concat(frames, ignore_index=True)


def curves(results: Sequence[Result]) -> pd.DataFrame:
    """The masking curves of several results.

    The columns of their means, with result, and curve: the criterion, and where several results have it also the
    number of its result.
    """
    table = pd.concat([result.main.assign(result=result.name, number=result.number) for result in results])
    several = table.groupby("criterion")["result"].transform("nunique") > 1
    curve = table["criterion"].where(~several, table["criterion"] + " (" + table["number"] + ")")
    return table.assign(curve=curve).reset_index(drop=True)


def damage(classes: pd.DataFrame, most: int) -> pd.DataFrame:
    """What each class lost with the last network of a table: at most some classes, those that changed most.

    Columns: class, class_name, images, before, accuracy, drop, drop_low, drop_high; those that lost most first.
    """
    networks = list(dict.fromkeys(classes["network"]))
    before = classes[classes["network"] == networks[0]].set_index("class")["accuracy"]
    rows = classes[classes["network"] == networks[-1]].copy()
    rows["before"] = rows["class"].map(before)
    rows = rows.loc[rows["drop"].abs().sort_values(ascending=False, kind="stable").index[:most]]
    columns = ["class", "class_name", "images", "before", "accuracy", "drop", "drop_low", "drop_high"]
    return pd.DataFrame(rows.sort_values("drop", ascending=False, kind="stable")[columns].reset_index(drop=True))


def damage_masked(by_class: pd.DataFrame, fraction: float, most: int) -> pd.DataFrame:
    """What each class lost with a share of the channels masked, (class_name, criterion), mean over seeds.

    At most some classes, those that lost most over all criteria first.
    """
    before = by_class[by_class["fraction"] == 0].groupby("class")["accuracy"].mean()
    after = by_class[by_class["fraction"] == fraction].pivot_table("accuracy", "class", "criterion", "mean")
    lost = after.rsub(before, axis=0)
    lost = lost.loc[lost.mean(axis=1).sort_values(ascending=False, kind="stable").index[:most]]
    of = by_class.drop_duplicates("class").set_index("class")
    names = called(pd.DataFrame({"class": lost.index, "class_name": of.loc[lost.index, "class_name"].to_numpy()}))
    return lost.set_axis(pd.Index(names, name="class_name"), axis=0).rename_axis(columns="criterion")


def called(table: pd.DataFrame) -> pd.Series:
    """Names of the classes of a table, with their ids where several have one."""
    classes = Classes(tuple(table["class"]), tuple(table["class_name"]))
    return pd.Series(labels_of(classes), table.index, dtype=object, name="class_name")


def network_zip(result: Result) -> bytes:
    """The smaller network and its card as a zip file; the same bytes for the same files."""
    return zipped(result.path, result.files)


def _mark(place: Path) -> str:
    """What a directory holds: changes when a file does."""
    try:
        files = sorted((file.name, file.stat()) for file in place.iterdir() if _is_file(file))
    except OSError:
        return ""
    return "|".join(f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in files)


def _is_file(file: Path) -> bool:
    """Whether it is a file of its own: a link may lead anywhere."""
    return file.is_file() and not file.is_symlink()


@st.cache_data(hash_funcs=BY_BYTES, max_entries=256, show_spinner=False)
def _read(place: Path, mark: str) -> Result | str:
    """A compression, or why it is none."""
    try:
        return _result(place)
    except (OSError, ValueError) as error:
        return str(error)


def _result(place: Path) -> Result:
    """A compression; raises ValueError with what is wrong."""
    names = {file.name for file in place.iterdir() if _is_file(file)}
    if "README.md" not in names:
        raise ValueError("it has no README.md, so it was not written to its end")
    tables = tuple(sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv")))
    kind = next((kind for kind, table in _TOLD_BY.items() if table in tables), None)
    if kind is None or (kind != "mask" and "results" not in tables):
        raise ValueError("it has not the tables of a compression")
    main = _checked(place / ("mean.csv" if kind == "mask" else "results.csv"))
    files = tuple(name for name in _NETWORK if name in names) if kind != "mask" else ()
    if kind != "mask":
        if missing := {"network.json", "weights.safetensors"} - names:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        _check_network(place / "network.json")
    card = _text(place / "README.md")
    settings = _settings(card)
    return Result(
        path=place,
        kind=kind,
        action=_action(place.name, kind, settings),
        title=of_markdown(card.partition("\n")[0].removeprefix("#").strip()),
        card=card,
        settings=settings,
        main=main,
        tables=tables,
        files=files,
    )


def _check_network(file: Path) -> None:
    """That a network was written down whole; raises ValueError if not."""
    try:
        whole = isinstance(parse_json(_text(file).encode()), dict)
    except ValueError as error:
        raise ValueError(f"{file.name} cannot be read ({line(error)})") from error
    if not whole:
        raise ValueError(f"{file.name} cannot be read (it is no object)")


def _checked(file: Path) -> pd.DataFrame:
    """The main table; raises ValueError if it is not as it is written."""
    table = _read_csv(file, file.stat().st_mtime_ns)
    columns = _COLUMNS[file.stem]
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{file.name} has no column {missing[0]!r}")
    if wrong := [
        column for column in columns if column not in _TEXTS and not pd.api.types.is_numeric_dtype(table[column])
    ]:
        raise ValueError(f"column {wrong[0]!r} of {file.name} has other things than numbers")
    if len(table) < 2:
        raise ValueError(f"{file.name} has {len(table)} rows, expected the original and another")
    return table


@st.cache_data(hash_funcs=BY_BYTES, max_entries=64, show_spinner=False)
def _read_csv(file: Path, changed: int) -> pd.DataFrame:
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file.name} is larger than {LARGEST // 2**20} MB")
    with file.open("rb") as beginning:
        if len(beginning.readline(_LONGEST_LINE)) == _LONGEST_LINE:
            raise ValueError(f"{file.name} begins with a line of more than {_LONGEST_LINE:,} bytes")
    try:
        table = pd.read_csv(file, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{file.name} is no table ({line(error)})") from error
    return table.fillna(dict.fromkeys([column for column in _TEXTS if column in table], ""))


def _text(file: Path) -> str:
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file.name} is larger than {LARGEST // 2**20} MB")
    return file.read_text(encoding="utf-8")


def _settings(card: str) -> dict[str, str]:
    """The settings of a card: the first table under "How it was made"."""
    behind = card.partition("\n## How it was made\n")[2].lstrip("\n")
    lines = behind.partition("\n\n")[0].splitlines()[2:]
    rows = [re.fullmatch(r"\| (.*?) \| (.*) \|", line) for line in lines]
    return {row[1]: of_markdown(row[2]) for row in rows if row}


def _action(name: str, kind: Kind, settings: dict[str, str]) -> str:
    """What the lab calls it: as the directory says, if that can be."""
    said = name.partition("-")[2]
    possible = {"mask": ("mask",), "fold": ("fold", "remove", "specialise"), "prune": ("prune", "specialise")}[kind]
    if said in possible:
        return said
    return kind if settings.get("classes", "all") == "all" else "specialise"
