"""What compressions have left with a run: how the lab calls them, and what it shows of them.

`RUN/compressions/NNN-ACTION` is the directory that one of them wrote, see `seviz.compression.result`, which reads it; a
directory that is not whole is left out with a remark.
"""

import re
import tempfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import streamlit as st

from seviz.classes import Classes
from seviz.compression.listing import FOLDER, Results, classes_of, results_in
from seviz.compression.result import CARD, LARGEST, Compression, read, said
from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.files import zipped
from seviz.dashboard.tables.class_names import labels_of
from seviz.errors import WriteError
from seviz.foreign import read_regular
from seviz.options import Budget

_FILES = (CARD, "network.json", "weights.safetensors", "network.pt2", "network.onnx")
_ACTIONS = {"curve": ("mask",), "fold": ("fold", "remove", "specialise"), "prune": ("prune", "specialise")}
"""What the lab may call a kind, the usual first."""


def read_results(run: Path) -> Results:
    """The compressions in a run's directory; hidden directories are under way, and left out in silence."""
    return results_in(run / FOLDER, lambda place: _read(place, _mark(place)))


def action_of(result: Compression) -> str:
    """What the lab calls it, mask, fold, remove, prune or specialise: as the directory says, if that can be."""
    possible = _ACTIONS[result.kind]
    called = "" if result.path is None else result.path.name.partition("-")[2]
    if called in possible:
        return called
    return possible[0] if classes_of(result) == "all" else "specialise"


def summary(result: Compression) -> str:
    """What was done, in a few words."""
    given, classes = settings(result), classes_of(result)
    only = "" if classes == "all" else f", for {classes}"
    if result.kind == "curve":
        return f"channels masked by {given.get('criteria', 'criteria')}"
    if result.kind == "prune":
        criterion = given.get("criterion", "").partition(":")[0]
        kept = next((f"{given[name]} of the {what} kept" for name, what in Budget.OF.items() if name in given), "")
        return f"pruned: {kept or 'to a budget'}, by {criterion}{only}"
    before, after = (int(result.measurements["blocks"].iloc[k]) for k in (0, -1))
    done = "taken out" if action_of(result) == "remove" else "folded"
    return f"{before - after} of {before} SE blocks {done}{only}"


def settings(result: Compression) -> dict[str, str]:
    """Its settings in words, without those that were not set."""
    return {name: said(value) for name, value in result.settings.items() if value is not None}


def place_of(result: Compression) -> Path:
    """Its directory."""
    assert result.path is not None  # it was read from one
    return result.path


def card(result: Compression) -> str:
    """Its card, Markdown; raises OSError or ValueError if it cannot be read."""
    place = place_of(result)
    return read_regular(place / CARD, within=place, largest=LARGEST).decode("utf-8")


def table_of(result: Compression, name: str) -> pd.DataFrame:
    """One of its tables; raises ResultError or OSError if it cannot be read."""
    file = place_of(result) / f"{name}.csv"
    return _table(file, file.stat().st_mtime_ns, result)


def files(result: Compression) -> tuple[str, ...]:
    """The files of the smaller network; none where there is none."""
    return () if result.kind == "curve" else tuple(name for name in _FILES if _is_file(place_of(result) / name))


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


def network_zip(result: Compression) -> bytes:
    """The smaller network and its card as a zip file; the same bytes for the same files."""
    return zipped(place_of(result), files(result))


def _mark(place: Path) -> str:
    """What a directory holds: changes when a file does."""
    held = sorted((file.name, file.stat()) for file in place.iterdir() if _is_file(file))
    return "|".join(f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in held)


def _is_file(file: Path) -> bool:
    """Whether it is a file of its own: a link may lead anywhere."""
    return file.is_file() and not file.is_symlink()


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=256, show_spinner=False)
def _read(place: Path, mark: str) -> Compression:
    return read(place)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=64, show_spinner=False)
def _table(file: Path, changed: int, _result: Compression) -> pd.DataFrame:
    return _result.tables[file.stem][1]
