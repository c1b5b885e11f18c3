"""Merge the chunks of a run, in the order of their number: the same chunks give the same bytes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from seviz.errors import RunIncompleteError
from seviz.moments import Moments, MomentsSum
from seviz.run.chunks import Chunk
from seviz.run.files import Arrays, read_some, write_arrays, write_atomically
from seviz.run.samples import samples_bytes, samples_table
from seviz.run.store import Run

_ALL = np.zeros(1, np.int64)  # all images together are a single class


def merge_chunks(run: Run) -> None:
    """Write moments/ and samples.parquet of a run whose chunks are all there.

    Block by block, so that no more than one block's moments are in memory. Processes that merge at once write the
    same bytes.

    Raises
    ------
    RunIncompleteError
        If chunks are missing.
    DamagedRunError
        If a chunk is not what was written.
    """
    if not run.captured:
        raise RunIncompleteError(f"{str(run.path)!r} has {len(run.chunk_paths())} of {run.manifest.chunks} chunks")
    table, facts = merged_facts(run, (Chunk.read(path, run.manifest) for path in run.chunk_paths()))
    for block in run.blocks:
        write_arrays(run.moments_path(block), merged_moments(run, block), facts[block])
    write_atomically(run.samples_path, samples_bytes(table))


def merged_facts(run: Run, chunks: Iterable[Chunk]) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """The table of images, and by block the facts in the file of its moments, from chunks in order.

    The facts name the block and, if there are any, the chunks in which its gates lie outside of its bounds.
    """
    tables, outside = [], {block: list[int]() for block in run.blocks}
    for chunk in chunks:
        tables.append(samples_table(chunk.samples, run.manifest))
        for block in chunk.outside:
            outside[block].append(chunk.index)
    facts = {block: {"block": block, **({"outside": where} if where else {})} for block, where in outside.items()}
    return pd.concat(tables, ignore_index=True), facts


def merged_moments(run: Run, block: str) -> Arrays:
    """What the moments file of a block holds, from chunks that were verified."""
    channels, signals = run.block(block).channels, run.manifest.signals
    by_class = {signal: MomentsSum(len(run.classes), channels) for signal in signals}
    total = {signal: MomentsSum(1, channels) for signal in signals}
    prefixes = {(kind, signal): f"{kind}/{signal}/{block}/" for kind in ("moments", "totals") for signal in signals}
    names = ["classes", *(name for prefix in prefixes.values() for name in Moments.names(prefix))]
    for path in run.chunk_paths():
        arrays = read_some(path, names)
        for signal in signals:
            by_class[signal].add(arrays["classes"], Moments.from_arrays(arrays, prefixes["moments", signal]))
            total[signal].add(_ALL, Moments.from_arrays(arrays, prefixes["totals", signal]))
    return {
        name: array
        for kind, sums in (("moments", by_class), ("totals", total))
        for signal in signals
        for name, array in sums[signal].result().to_arrays(f"{kind}/{signal}/").items()
    }
