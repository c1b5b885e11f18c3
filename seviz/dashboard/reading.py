"""Runs and their tables, read once and kept in memory by what they are: what did not change is not read again.

Everything that is kept is kept by the fingerprint of its run, and no more of it than a bounded number.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr
from numpy.typing import NDArray

from seviz.dashboard.caching import BY_BYTES
from seviz.errors import MissingSignalError, MissingTableError
from seviz.run.store import Run, open_run
from seviz.tables.kept import kept_table, table_path

RUNS, TABLES, ARRAYS = 8, 128, 24
"""How many of each are kept in memory at most."""


def fingerprint(path: Path) -> str:
    """What a run is: changes when it is made anew, or continued."""
    digest = hashlib.sha256()
    for file in (path / "manifest.json", path / "samples.parquet"):
        digest.update(file.read_bytes() if file.name == "manifest.json" else b"")
        stat = file.stat()
        digest.update(os.fsencode(file) + f" {stat.st_mtime_ns} {stat.st_size}".encode())
    return digest.hexdigest()


def read_run(path: Path) -> Run:
    """Open a run and read its table of images; raises what either raises."""
    run = open_run(path)  # tells what is wrong, before a fingerprint is taken
    return _run(path, fingerprint(path)) if run.complete else run


def read_table(run: Run, name: str, **parameters: Any) -> pd.DataFrame | None:
    """A table that the run keeps, None if it was not computed yet."""
    path = table_path(run, name, **parameters)
    if not path.is_file():
        return None
    try:
        return _table(run.path, fingerprint(run.path), path.name, path.stat().st_mtime_ns, name, parameters)
    except MissingTableError:
        return None


def read_block(run: Run, block: str) -> xr.Dataset:
    """`run[block]`: mean, std, min and max by class and channel."""
    return _block(run.path, fingerprint(run.path), block)


def read_mean_gates(run: Run) -> pd.Series:
    """The mean gate of each block over all images and channels, by the name of the block."""
    return _mean_gates(run.path, fingerprint(run.path))


def read_gates(run: Run, block: str) -> NDArray[np.float32]:
    """`run.gates(block)`: of the images whose gates are kept; raises MissingSignalError where none are."""
    if not run.samples["kept"].any():
        raise MissingSignalError("This run keeps the gates of no image, only moments of classes.")
    return _gates(run.path, fingerprint(run.path), block)


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=RUNS, show_spinner=False)
def _run(path: Path, mark: str) -> Run:
    run = open_run(path)
    _ = run.samples  # which every page shows: what is wrong with them is told before a page is begun
    return run


@st.cache_data(hash_funcs=BY_BYTES, max_entries=TABLES, show_spinner=False)
def _table(path: Path, mark: str, file: str, changed: int, name: str, parameters: dict[str, Any]) -> pd.DataFrame:
    return kept_table(_run(path, mark), name, **parameters)


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=ARRAYS, show_spinner=False)
def _block(path: Path, mark: str, block: str) -> xr.Dataset:
    return _run(path, mark)[block].load()


@st.cache_data(hash_funcs=BY_BYTES, max_entries=RUNS, show_spinner=False)
def _mean_gates(path: Path, mark: str) -> pd.Series:
    run = _run(path, mark)
    return pd.Series({block: float(run.total(block).mean.mean()) for block in run.blocks})


@st.cache_resource(
    hash_funcs=BY_BYTES, max_entries=4, show_spinner=False
)  # 400 MB each for 50,000 images of 2,048 channels
def _gates(path: Path, mark: str, block: str) -> NDArray[np.float32]:
    gates = _run(path, mark).gates(block)
    gates.setflags(write=False)
    return gates
