"""Verify a run: every file is there and is what was written, and what was merged follows from the chunks."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seviz.errors import DamagedRunError
from seviz.foreign import line, regular, shown
from seviz.run.chunks import Chunk
from seviz.run.files import checksum, read_arrays
from seviz.run.merged import read_moments
from seviz.run.merging import merged_facts, merged_moments
from seviz.run.parquet import read_kept
from seviz.run.samples import read_samples, samples_bytes
from seviz.run.store import Run

_AGAIN = "delete it if it is there, and run the same capture again"
_LISTED = 20  # chunks that are missing
_OURS = ("chunks", "moments", "tables", "locks", "figures", "compressions")
"""Folders of a run, those that commands make in it for figures and smaller networks included."""
_READ = ("manifest.json", "samples.parquet")
_FILES = (*_READ, "report.html")


@dataclass(frozen=True)
class Damage:
    """A file of a run that is not what it should be.

    Attributes
    ----------
    path
        Which.
    what
        What is wrong with it.
    remedy
        How to have it again.
    """

    path: Path
    what: str
    remedy: str


def verify(run: Run) -> list[Damage]:
    """Every damage of a run; none if all is well.

    The manifest was verified when the run was opened. All checksums are verified, and whether what files hold fits the
    manifest. If the chunks are whole, moments and samples are merged again and compared. Kept tables are read. Every
    other file in the directory must be one that seviz writes there, and a regular file.

    Examples
    --------
    >>> seviz.verify(run)  # every damage
    []
    """
    damaged = [*_chunks(run)] or [*_merged(run)]
    return [*damaged, *_tables(run), *_others(run)]


def _chunks(run: Run) -> Iterator[Damage]:
    expected, there = _expected(run), {path.name for path in run.chunk_paths()}
    missing = (index for index in range(expected) if run.chunk_path(index).name not in there)
    for _, index in zip(range(_LISTED), missing, strict=False):
        yield Damage(run.chunk_path(index), "is missing", "run the same capture again")
    if (more := expected - len(there) - _LISTED) > 0:
        yield Damage(run.path / "chunks", f"has {more:,} chunks less, too", "run the same capture again")
    images, well = 0, True
    for path in run.chunk_paths():
        number = path.name.partition(".")[0]
        try:
            chunk = Chunk.read(path, run.manifest)
        except DamagedRunError as error:
            yield Damage(path, _what(error, path), _AGAIN)
            well = False
            continue
        images += len(chunk.samples.paths)
        if run.chunk_path(chunk.index) != path:
            yield Damage(path, f"is chunk {chunk.index}, not {int(number) if number.isdecimal() else number}", _AGAIN)
            well = False
        elif chunk.index >= expected:
            yield Damage(path, f"is one too many, expected {expected:,} chunks", "delete it")
            well = False
    known = run.manifest.data.images
    if well and len(there) == expected and known not in (None, images):
        what = f"hold {images:,} images, and data.images in manifest.json is {known:,}"
        yield Damage(run.path / "chunks", what, "capture the run again in another directory")


def _merged(run: Run) -> Iterator[Damage]:
    chunks = (Chunk.read(path, run.manifest) for path in run.chunk_paths())
    table, merged = merged_facts(run, chunks)
    path = run.samples_path
    if not os.path.lexists(path):
        yield Damage(path, "is missing", "run the same capture again")
    else:
        try:
            read_samples(path, run.manifest, len(table))
            if path.read_bytes() != samples_bytes(table):
                yield Damage(path, "is not what the chunks give", _AGAIN)
        except DamagedRunError as error:
            yield Damage(path, _what(error, path), _AGAIN)
    for block in run.blocks:
        path = run.moments_path(block)
        if not os.path.lexists(path):
            yield Damage(path, "is missing", "run the same capture again")
            continue
        try:
            read_moments(path, run.manifest, block)
            arrays, facts = read_arrays(path)
        except DamagedRunError as error:
            yield Damage(path, _what(error, path), _AGAIN)
            continue
        if checksum(arrays, facts) != checksum(merged_moments(run, block), merged[block]):
            yield Damage(path, "is not what the chunks give", _AGAIN)


def _tables(run: Run) -> Iterator[Damage]:
    for path in sorted((run.path / "tables").glob("*.parquet")):
        try:
            read_kept(path)
        except (OSError, ValueError) as error:
            yield Damage(path, f"cannot be read: {line(error)}", f"delete it; `seviz analyse {run.path}` makes it anew")


def _others(run: Run) -> Iterator[Damage]:
    """Files and folders that are none of a run, or no regular files; but those that were read before."""
    read = {run.path / name for name in _READ} | set(run.chunk_paths()) | {*map(run.moments_path, run.blocks)}
    endings = {"chunks": (), "moments": (), "tables": (".parquet",), "locks": (".json", ".lock")}
    for folder, folders, files in os.walk(run.path):
        place = Path(folder)
        top = (*place.relative_to(run.path).parts, "")[0]
        for name in sorted(folders):
            path = place / name
            if not path.is_symlink() and (name in _OURS if not top else top not in endings):
                continue
            folders.remove(name)
            if path.is_symlink() and path not in read:
                yield Damage(path, "is a link to a folder, expected the folder", "delete it")
            elif path not in read:
                yield Damage(path, f"is unknown: no folder of a run is called {shown(name)}", "move it elsewhere")
        for name in sorted(files):
            path = place / name
            known = name in _FILES if not top else top not in endings or path.suffix in endings[top]
            if path in read or (known and top == "tables"):
                continue
            if name.startswith(".") and name.endswith(".tmp"):
                yield Damage(path, "was left by a process that was killed while it wrote it", "delete it")
            elif not known:
                yield Damage(path, f"is unknown: no file of a run is called {shown(name)}", "move it elsewhere")
            else:
                try:
                    regular(path, within=run.path, largest=1 << 62)
                except (OSError, ValueError) as error:
                    yield Damage(path, f"cannot be read: {line(error)}", "delete it")


def _expected(run: Run) -> int:
    """How many chunks there should be; in a run of batches in memory, as many as the last one's number says."""
    if run.manifest.chunks is not None:
        return run.manifest.chunks
    numbers = [name for path in run.chunk_paths() if (name := path.name.partition(".")[0]).isdecimal()]
    return int(numbers[-1]) + 1 if numbers else 1


def _what(error: DamagedRunError, path: Path) -> str:
    return str(error).removeprefix(f"{path} is damaged: ").partition(". Delete that file")[0]
