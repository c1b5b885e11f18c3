"""Bring a run of an older seviz to the format of this one, in place."""

import json
from pathlib import Path
from typing import Any

from seviz.errors import OldRunError
from seviz.network.bounds import bounds_of, bounds_to_json
from seviz.run.chunks import Chunk
from seviz.run.files import header_of, sweep, write_atomically
from seviz.run.manifest import SCHEMA, Manifest, checksum_of, read_json, read_manifest
from seviz.run.merging import merged_facts
from seviz.run.samples import samples_bytes
from seviz.run.store import Run


def upgrade(path: str | Path) -> bool:
    """Bring a run to the format of this seviz.

    Gates and moments stay the bytes that they are. The manifest gets its checksum, and the table of images the column
    `content`, which is empty: a hash taken today would not tell what the network saw when the run was made. The
    manifest is written last, so that a run is either of the old format or, whole, of the new one; called again after
    an interruption, this ends the same. Tables that `seviz analyse` kept are not found any more, and are computed anew.

    Parameters
    ----------
    path
        The run's directory; its capture may be unfinished.

    Returns
    -------
    bool
        Whether it was of the older format; False if there was nothing to do.

    Raises
    ------
    RunNotFoundError
        If there is no run.
    DamagedRunError
        If it is of a format that is not known, or something in it is not what was written.
    RunLockedError
        If a capture writes to it.
    WriteError
        If it cannot be written to.
    """
    path = Path(path)
    file = path / "manifest.json"
    content = read_manifest(path)
    try:
        Run(path)
    except OldRunError:
        pass
    else:
        return False
    facts = read_json(content, file)
    if isinstance(facts.get("chunk_size"), int):  # joined runs had that of the first, and could have larger chunks
        files = sorted((path / "chunks").glob("[0-9]*.safetensors"))
        shapes = [header_of(each, within=path).arrays.get("samples/kept", ("", (0,)))[1] for each in files]
        facts["chunk_size"] = max([facts["chunk_size"], *(shape[0] for shape in shapes if len(shape) == 1)])
    text = _upgraded(facts)
    run = Run.under(path, Manifest.from_json(text, file))
    with run.lock():
        sweep(path)
        if run.complete:
            chunks = (Chunk.read(each, run.manifest) for each in run.chunk_paths())
            table, _ = merged_facts(run, chunks)
            write_atomically(run.samples_path, samples_bytes(table))
        write_atomically(file, text.encode())
    return True


def _upgraded(facts: dict[str, Any]) -> str:
    """The text of a manifest out of the fields of an older one; what is wrong with them is left for the reader."""
    facts = {**facts, "schema": SCHEMA}
    blocks = facts.get("blocks")
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, dict) and block.get("bounds") is None and isinstance(block.get("gate"), str):
            block["bounds"] = bounds_to_json(bounds_of(block["gate"]))  # which were not always written down
    return json.dumps({**facts, "checksum": checksum_of(facts)}, indent=1) + "\n"
