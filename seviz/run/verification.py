"""Verify a run: every file is there and is what was written, and what was merged follows from the chunks."""

from dataclasses import dataclass
from pathlib import Path

from seviz.errors import DamagedRunError
from seviz.run.chunks import Chunk
from seviz.run.files import checksum, read_arrays
from seviz.run.merging import merged_facts, merged_moments
from seviz.run.samples import samples_bytes
from seviz.run.store import Run


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

    All checksums are verified. If the chunks are whole, moments and samples are merged again and compared.
    """
    again = "delete it if it is there, and run the same capture again"
    found = []
    for index in range(_expected(run)):
        path = run.chunk_path(index)
        if not path.is_file():
            found.append(Damage(path, "is missing", "run the same capture again"))
            continue
        try:
            chunk = Chunk.read(path)
        except DamagedRunError as error:
            found.append(Damage(path, _what(error, path), again))
            continue
        if chunk.index != index:
            found.append(Damage(path, f"is chunk {chunk.index}, not {index}", again))
    if found:
        return found
    table, merged = merged_facts(run, map(Chunk.read, run.chunk_paths()))
    if not run.samples_path.is_file():
        found.append(Damage(run.samples_path, "is missing", "run the same capture again"))
    elif run.samples_path.read_bytes() != samples_bytes(table):
        found.append(Damage(run.samples_path, "is not what the chunks give", again))
    for block in run.blocks:
        path = run.moments_path(block)
        if not path.is_file():
            found.append(Damage(path, "is missing", "run the same capture again"))
            continue
        try:
            arrays, facts = read_arrays(path)
        except DamagedRunError as error:
            found.append(Damage(path, _what(error, path), again))
            continue
        if checksum(arrays, facts) != checksum(merged_moments(run, block), merged[block]):
            found.append(Damage(path, "is not what the chunks give", again))
    return found


def _expected(run: Run) -> int:
    """How many chunks there should be; in a run of batches in memory, as many as the last one's number says."""
    if run.manifest.chunks is not None:
        return run.manifest.chunks
    paths = run.chunk_paths()
    return int(paths[-1].name.partition(".")[0]) + 1 if paths else 1


def _what(error: DamagedRunError, path: Path) -> str:
    return str(error).removeprefix(f"{path} is damaged: ").partition(". Delete that file")[0]
