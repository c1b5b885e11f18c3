"""What a stranger, or a bad disk, may have done to the files of a run: each case changes a copy of a finished run."""

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

from seviz.run.files import checksum, read_arrays, write_arrays
from seviz.run.manifest import checksum_of

MANIFEST = "manifest.json"
SAMPLES = "samples.parquet"
CHUNK = "chunks/000000.safetensors"
MOMENTS = "moments/SE_3_3.safetensors"
PREFIX = "moments/excitation/"

Change = Callable[[Any], object]


@dataclass(frozen=True)
class Case:
    """A run that is not to be believed.

    Attributes
    ----------
    change
        Told the directory of the run, and whether checksums are made right again.
    file
        That the message must name.
    message
        A regular expression that it must match where checksums are right, or there is none.
    by
        What tells it: "opening" a run, reading "images", "moments" or "gates" of it, or "verify" alone.
    checksums
        Whether there is one that can be made right again: then without that it may be what is told.
    """

    change: Callable[[Path, bool], object]
    file: str
    message: str
    by: str = "opening"
    checksums: bool = False


def _set(*keys: str | int, to: Any) -> Case | Callable[[Path, bool], None]:
    def change(run: Path, right: bool) -> None:
        file = run / MANIFEST
        facts = json.loads(file.read_text())
        at = facts
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = to
        if right:
            facts["checksum"] = checksum_of(facts)
        file.write_text(json.dumps(facts))

    return change


def field(*keys: str | int, to: Any, message: str) -> Case:
    """A field of the manifest is another."""
    return Case(_set(*keys, to=to), MANIFEST, message, checksums=True)


def content(file: str, make: Callable[[bytes], bytes], message: str, by: str = "opening") -> Case:
    """The bytes of a file are others."""

    def change(run: Path, _: bool) -> None:
        path = run / file
        path.write_bytes(make(path.read_bytes()))

    return Case(change, file, message, by)


def text(make: Callable[[str], str], message: str) -> Case:
    """The text of the manifest is another."""
    return content(MANIFEST, lambda before: make(before.decode()).encode("utf-8", "surrogatepass"), message)


def arrays(file: str, change: Change, message: str, by: str) -> Case:
    """Arrays of a file are others, in place or as a dict that is given back."""

    def changed(run: Path, right: bool) -> None:
        path = run / file
        there, facts = read_arrays(path)
        before = checksum(there, facts)
        made = change(there)
        there = made if isinstance(made, dict) else there
        if right:
            write_arrays(path, there, facts)
        else:
            header = json.dumps({"facts": facts, "sha256": before})
            path.write_bytes(safetensors.numpy.save(there, metadata={"seviz": header}))

    return Case(changed, file, message, by, checksums=True)


def facts(file: str, fields: Mapping[str, Any], message: str, by: str) -> Case:
    """What stands in a file beside its arrays is other; None takes a field away."""

    def change(run: Path, right: bool) -> None:
        there, before = read_arrays(run / file)
        after = {name: value for name, value in (before | dict(fields)).items() if value is not None}
        digest = checksum(there, after if right else before)
        header = json.dumps({"facts": after, "sha256": digest})
        (run / file).write_bytes(safetensors.numpy.save(there, metadata={"seviz": header}))

    return Case(change, file, message, by, checksums=True)


def header(file: str, change: Callable[[dict[str, Any]], object], message: str, by: str, more: bytes = b"") -> Case:
    """The header of a file of arrays is another."""

    def changed(before: bytes) -> bytes:
        length = struct.unpack("<Q", before[:8])[0]
        raw = json.loads(before[8 : 8 + length])
        change(raw)
        new = json.dumps(raw).encode()
        return struct.pack("<Q", len(new)) + new + before[8 + length :] + more

    return content(file, changed, message, by)


def table(change: Callable[[pa.Table], pa.Table], message: str, **how: Any) -> Case:
    """The table of images is another."""

    def changed(run: Path, _: bool) -> None:
        path = run / SAMPLES
        pq.write_table(change(pq.read_table(path)), path, **how)

    return Case(changed, SAMPLES, message, by="images")


def instead(file: str, make: Callable[[Path], object], message: str, by: str) -> Case:
    """Something else lies in the place of a file."""

    def change(run: Path, _: bool) -> None:
        path = run / file
        path.unlink()
        make(path)

    return Case(change, file, message, by)


def column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    """A table in which a column is another."""
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))


def put(name: str, place: Any, value: Any) -> Change:
    """Set a number of an array."""

    def change(there: dict[str, np.ndarray]) -> None:
        there[name] = there[name].copy()
        there[name][place] = value

    return change


def _first_array(raw: dict[str, Any], key: str, value: Any) -> None:
    raw[next(name for name in raw if name != "__metadata__")][key] = value


def _overlap(raw: dict[str, Any]) -> None:
    first, second = [entry for name, entry in raw.items() if name != "__metadata__"][:2]
    second["data_offsets"] = [
        first["data_offsets"][0],
        first["data_offsets"][0] + np.ptp(second["data_offsets"]).item(),
    ]


def _long_header(run: Path, _: bool) -> None:
    (run / MOMENTS).write_bytes(struct.pack("<Q", 65 << 20))
    os.truncate(run / MOMENTS, 66 << 20)


IMAGES = 12
EVERYWHERE = [
    (MANIFEST, "opening"),
    (SAMPLES, "images"),
    (MOMENTS, "moments"),
    (CHUNK, "gates"),
]

CASES: dict[str, Case] = {
    # of hostile_runs.py in the issue, and their kin
    "block_traversal": field(
        "blocks", 0, "name", to="../../outside", message=r"blocks\[0\].name is '\.\./\.\./outside', exp"
    ),
    "block_html": field(
        "blocks", 0, "name", to="<script>", message=r"blocks\[0\].name is '<script>', expected SE_stage_b"
    ),
    "block_digits": field(
        "blocks", 0, "name", to="SE_٣_1", message=r"blocks\[0\].name is 'SE_٣_1', expected SE_stage_block"
    ),
    "block_line_feed": field(
        "blocks", 0, "name", to="SE_2_1\n", message=r"blocks\[0\].name is 'SE_2_1\\n', expected SE_"
    ),
    "block_escapes": field(
        "blocks", 0, "name", to="\x1b[2J\u202e" * 99, message=r"blocks\[0\].name is '\\x1b\[2J\\u202e\\x1b"
    ),
    "block_twice": field(
        "blocks", 1, "name", to="SE_2_1", message=r"blocks\[1\].name is 'SE_2_1', as that of blocks\[0\]"
    ),
    "block_stage": field(
        "blocks", 0, "stage", to=4, message=r"blocks\[0\].name is 'SE_2_1', expected 'SE_4_1', by its"
    ),
    "blocks_none": field("blocks", to=[], message=r"blocks is a list of 0, expected array of length >= 1"),
    "blocks_object": field("blocks", to={"0": 1}, message=r"blocks is an object of 1 fields, expected array"),
    "bounds_turned": field(
        "blocks", 0, "bounds", to=[1, 0], message=r"blocks\[0\].bounds are \[1.0, 0.0\], expected the low"
    ),
    "bounds_three": field(
        "blocks", 0, "bounds", to=[0, 1, 2], message=r"blocks\[0\].bounds is a list of 3, expected array of"
    ),
    "bounds_text": field("blocks", 0, "bounds", to=["a", 1], message=r"blocks\[0\].bounds\[0\] is 'a', expected float"),
    "bounds_other": Case(
        _set("blocks", 0, "bounds", to=[-1, 9]),
        "run/",
        r"gates/excitation/SE_2_1 is in 16 bits, expected float32|checksum is",
        "gates",
        checksums=True,
    ),
    "class_names_few": field(
        "data", "class_names", to=["\ud800"], message=r"data.class_names is a list of 1, expected as many"
    ),
    "class_name_long": field(
        "data", "class_names", to=["x" * 10**5, "b"], message=r"class_names\[0\] is 'xx.*' of length 100,000"
    ),
    "class_name_number": field("data", "class_names", to=[1, "b"], message=r"data.class_names\[0\] is 1, expected str"),
    "classes_none": field(
        "data", "class_ids", to=[], message=r"data.class_ids is a list of 0, expected a class or more"
    ),
    "class_targets": field(
        "data", "model_classes", to=[0, 7], message=r"data.model_classes has 7, expected less than 2 classes"
    ),
    "class_targets_few": field(
        "data", "model_classes", to=[0], message=r"data.model_classes is a list of 1, expected one for"
    ),
    "images_1e15": field(
        "data", "images", to=10**15, message=r"data.images is 1000000000000000, expected int <= 21474"
    ),
    "images_float": field("data", "images", to=12.5, message=r"data.images is 12.5, expected int"),
    "images_true": field("data", "images", to=True, message=r"data.images is true, expected int"),
    "images_negative": field("data", "images", to=-1, message=r"data.images is -1, expected int >= 1"),
    "images_more": field(
        "data", "images", to=65, message=r"chunks is 1, expected 2 for the 65 of data.images in chunks"
    ),
    "images_null": field("data", "images", to=None, message=r"chunks is 1, expected it where data.images is, null"),
    "chunks_1e9": field("chunks", to=10**9, message=r"chunks is 1000000000, expected int <= 10000000"),
    "chunks_1e308": field("chunks", to=1e308, message=r"chunks is 1e\+308, expected int"),
    "chunk_size_0": field("chunk_size", to=0, message=r"chunk_size is 0, expected int >= 1"),
    "channels_1e9": field(
        "blocks", 0, "channels", to=10**9, message=r"blocks\[0\].channels is 1000000000, expected int <= 1"
    ),
    "channels_0": field("blocks", 0, "channels", to=0, message=r"blocks\[0\].channels is 0, expected int >= 1"),
    "channels_other": Case(
        _set("blocks", 0, "channels", to=10**6),
        "run/",
        r"is of shape \(.*4\), expected \(.*1,000,000\)|checksum is",
        "moments",
        checksums=True,
    ),
    "singular_1e9": field(
        "blocks", 0, "singular_values", to=["1"], message=r"blocks\[0\].singular_values\[0\] is '1', expected f"
    ),
    "signals_path": field("signals", to=["excitation", "../x"], message=r"signals\[1\] is '\.\./x', expected a signal"),
    "signals_twice": field(
        "signals", to=["excitation"] * 2, message=r"signals is 'excitation, excitation', expected exc"
    ),
    "selection": field("data", "selection", to={"classes": 5}, message=r"data.selection.classes is 5, expected array"),
    "selection_more": field(
        "data", "selection", to={"x\n": 5}, message=r"data.selection.x\\n is no field that is known"
    ),
    "keep_gates": field(
        "keep_gates", to="per-class:-3", message=r"keep_gates is 'per-class:-3', expected all, none or per"
    ),
    "labels": field("data", "labels", to="both", message=r"data.labels is 'both', expected"),
    "engine": field("engine", "name", to="rm", message=r"engine.name is 'rm', expected eager, folded or compiled"),
    "digest": field("model", "factory_sha256", to="0", message=r"model.factory_sha256 is '0', expected 64 hex digits"),
    "model_null": field("model", to=None, message=r"model is null, expected object"),
    "unknown_field": field("model", "col\nour", to=1, message=r"model.col\\nour is no field that is known"),
    "deep_inside": field(
        "model", "preprocessing", to=json.loads('{"a":' * 40 + "1" + "}" * 40), message=r"is nested 42 lev"
    ),
    "schema_1": field("schema", to=1, message=r"schema is 1, and this seviz reads schema 3; capture the images again"),
    "schema_99": field(
        "schema", to=99, message=r"schema is 99, and this seviz reads schema 3; use the seviz that made"
    ),
    "schema_2": field("schema", to=2, message=r"schema is 2, that of an older seviz, .* `seviz upgrade .*` brings the"),
    "json_bomb": text(lambda _: "[" * 200_000, r"it is nested 200,000 levels deep, expected at most 32"),
    "json_wide": text(
        lambda _: "[" + "[]," * 1_000_001 + "1]", r"it has 1,000,002 lists and objects, expected at most 1,000"
    ),
    "json_digits": text(
        lambda t: t.replace('"schema": 3', '"schema": ' + "9" * 10_000), r"an integer of 10,000 digits"
    ),
    "json_nan": text(
        lambda t: t.replace('"schema": 3', '"schema": NaN'), r"it has the number NaN, expected finite ones"
    ),
    "json_1e999": text(
        lambda t: t.replace('"schema": 3', '"schema": 1e999'), r"it has the number 1e999, expected finite"
    ),
    "json_twice": text(
        lambda t: t.replace('"schema": 3', '"schema": 3, "schema": 3'), r"it has 'schema' twice in one obj"
    ),
    "json_text": text(lambda _: '"run"', r"it is 'run', expected an object with the fields of a run"),
    "json_quotes": text(lambda _: '"' + r"\"" * 500_000, r"it is not JSON"),
    "json_trailing": text(lambda t: t + "{}", r"it is not JSON \(Extra data"),
    "json_bom": text(lambda t: "\ufeff" + t, r"it is not JSON \(Unexpected UTF-8 BOM"),
    "json_utf_16": content(MANIFEST, lambda b: b.decode().encode("utf-16"), r"it is not UTF-8 \(byte 0\)"),
    "json_surrogate": text(lambda t: t.replace("eager", "\ud800"), r"it is not UTF-8"),
    "json_zeros": content(MANIFEST, lambda b: bytes(len(b)), r"it is not JSON"),
    "json_large": content(
        MANIFEST, lambda b: b + b" " * (17 << 20), r"it has 17,8\d\d,\d+ bytes, expected at most 16,777,216"
    ),
    # arrays
    "hdr_10G": content(
        MOMENTS, lambda _: struct.pack("<Q", 10 << 30) + b'{"a":', r"its header is to have 10,737,418,240 by", "moments"
    ),
    "hdr_10G_chunk": content(
        CHUNK, lambda _: struct.pack("<Q", 10 << 30) + b'{"a":', r"its header is to have 10,737,41", "gates"
    ),
    "hdr_long": Case(_long_header, MOMENTS, r"expected at most 67,108,864", "moments"),
    "hdr_deep": content(
        MOMENTS, lambda _: struct.pack("<Q", 10**5) + b"[" * 10**5, r"it is nested 100,000 levels deep", "moments"
    ),
    "hdr_list": content(
        MOMENTS, lambda _: struct.pack("<Q", 2) + b"[]", r"its header is a list of 0, expected an object", "moments"
    ),
    "hdr_of_others": header(
        MOMENTS, lambda raw: raw.pop("__metadata__"), r"its header has no field 'seviz'", "moments"
    ),
    "hdr_meta_number": header(
        MOMENTS, lambda raw: raw.update(__metadata__=3), r"__metadata__ is 3, expected object", "moments"
    ),
    "hdr_meta_text": header(MOMENTS, lambda raw: raw.update(__metadata__={"seviz": "{"}), r"it is not JSON", "moments"),
    "hdr_shape": header(
        MOMENTS, lambda raw: _first_array(raw, "shape", [10**9, 10**9]), r"is of shape \(1000000000, 1", "moments"
    ),
    "hdr_shape_negative": header(
        MOMENTS, lambda raw: _first_array(raw, "shape", [-1]), r"shape\[0\] is -1, expected int >= 0", "moments"
    ),
    "hdr_shape_text": header(
        MOMENTS, lambda raw: _first_array(raw, "shape", "12"), r"shape is '12', expected array", "moments"
    ),
    "hdr_dtype": header(
        MOMENTS, lambda raw: _first_array(raw, "dtype", "F8_E4M3"), r"is of type 'F8_E4M3', expected", "moments"
    ),
    "hdr_offsets": header(
        MOMENTS, lambda raw: _first_array(raw, "data_offsets", [0, 2**62]), r"cannot be read: ", "moments"
    ),
    "hdr_overlap": header(MOMENTS, _overlap, r"cannot be read: ", "moments"),
    "trailing": header(MOMENTS, lambda raw: None, r"cannot be read: ", "moments", more=b"\0" * 8),
    "trailing_chunk": header(CHUNK, lambda raw: None, r"cannot be read: ", "gates", more=b"\0" * 8),
    "nan_moments": arrays(
        MOMENTS, put(f"{PREFIX}mean", (1, 2), np.nan), r"mean of class 1, channel 2 is nan, expected a f", "moments"
    ),
    "inf_moments": arrays(
        MOMENTS, put(f"{PREFIX}max", (0, 0), np.inf), r"max of class 0, channel 0 is inf, expected a fini", "moments"
    ),
    "count_negative": arrays(
        MOMENTS, put(f"{PREFIX}count", 1, -3), r"count of class 1 is -3, expected 0 to 12 images", "moments"
    ),
    "count_large": arrays(
        MOMENTS, put(f"{PREFIX}count", 0, 13), r"count of class 0 is 13, expected 0 to 12 images", "moments"
    ),
    "m2_negative": arrays(
        MOMENTS, put(f"{PREFIX}m2", (0, 1), -1e-9), r"m2 of class 0, channel 1 is -1e-09, expected 0", "moments"
    ),
    "m2_1e308": arrays(
        MOMENTS, put(f"{PREFIX}m2", (0, 1), 1e308), r"m2 of class 0, channel 1 is 1e\+308, expected 0", "moments"
    ),
    "min_over_max": arrays(
        MOMENTS, put(f"{PREFIX}min", (0, 0), 2), r"min of class 0, channel 0 is 2.0, expected no more", "moments"
    ),
    "mean_1e308": arrays(
        MOMENTS, put(f"{PREFIX}mean", (0, 0), 1e308), r"mean of class 0, channel 0 is 1e\+308, expected a n", "moments"
    ),
    "zeros_many": arrays(
        MOMENTS, put(f"{PREFIX}zero", (0, 0), 99), r"zero of class 0, channel 0 is 99, expected 0 to count", "moments"
    ),
    "ones_negative": arrays(
        MOMENTS, put("totals/excitation/near_one", (0, 0), -1), r"totals/excitation: near_one of class 0", "moments"
    ),
    "zeros_not_near": arrays(
        MOMENTS, put(f"{PREFIX}zero", (0, 0), 1), r"zero of class 0, channel 0 is 1, expected no more than", "moments"
    ),
    "moments_type": arrays(
        MOMENTS,
        lambda a: a | {f"{PREFIX}mean": a[f"{PREFIX}mean"].astype("f4")},
        r"mean is of type 'F32', expected F64",
        "moments",
    ),
    "moments_shape": arrays(
        MOMENTS,
        lambda a: a | {f"{PREFIX}mean": a[f"{PREFIX}mean"].T.copy()},
        r"mean is of shape \(4, 2\), expected \(2, 4\)",
        "moments",
    ),
    "moments_missing": arrays(
        MOMENTS,
        lambda a: {k: v for k, v in a.items() if k != f"{PREFIX}m2"},
        r"moments/excitation/m2 is missing",
        "moments",
    ),
    "moments_more": arrays(
        MOMENTS, lambda a: a | {"a\x1b": np.zeros(2)}, r"'a\\x1b' is no array of this run", "moments"
    ),
    "moments_block": facts(MOMENTS, {"block": "SE_2_1"}, r"block is 'SE_2_1', expected 'SE_3_3'", "moments"),
    "moments_outside": facts(MOMENTS, {"outside": [-1]}, r"outside\[0\] is -1, expected int >= 0", "moments"),
    "gates_type": arrays(
        CHUNK,
        lambda a: a | {"gates/excitation/SE_2_1": a["gates/excitation/SE_2_1"].astype("f8")},
        r"gates/excitation/SE_2_1 is of type 'F64', expected U16 or F32",
        "gates",
    ),
    "gates_nan": arrays(
        CHUNK,
        lambda a: a | {"gates/excitation/SE_2_1": np.full((IMAGES, 4), np.nan, np.float32)},
        r"gates/excitation/SE_2_1 has a number that is not finite",
        "gates",
    ),
    "gates_few": arrays(
        CHUNK,
        lambda a: {k: v[1:] if k.startswith("gates/") else v for k, v in a.items()},
        r"gates/excitation/SE_2_1 has 11 images, expected the 12 that|gates of 12 images are kept, and the chunks have 11",
        "gates",
    ),
    "labels_large": arrays(
        CHUNK, put("samples/label", 3, 10**12), r"samples/label has 1000000000000, expected numbers f", "gates"
    ),
    "labels_negative": arrays(
        CHUNK, put("samples/label", 3, -1), r"samples/label has -1, expected numbers from 0 to 1", "gates"
    ),
    "predictions": arrays(
        CHUNK, put("samples/prediction", 3, 2), r"samples/prediction has 2, expected numbers from -1 to 1", "gates"
    ),
    "chunk_classes": arrays(CHUNK, put("classes", 1, 0), r"classes has a class twice, expected each once", "gates"),
    "chunk_nan": arrays(
        CHUNK, put("moments/excitation/SE_3_3/m2", (0, 0), np.nan), r"moments/excitation/SE_3_3: m2 of", "gates"
    ),
    "chunk_total": arrays(
        CHUNK, put("totals/excitation/SE_3_3/count", 0, 11), r"SE_3_3: count is 11, expected 12, as many", "gates"
    ),
    "chunk_paths": facts(CHUNK, {"paths": ["a"]}, r"paths is a list of 1, expected one for each of 12 images", "gates"),
    "chunk_status": facts(CHUNK, {"statuses": ["fine"] * IMAGES}, r"statuses\[0\] is 'fine', expected", "gates"),
    "chunk_content": facts(
        CHUNK, {"contents": ["0"] * IMAGES}, r"contents\[0\] is '0', expected 32 hex digits", "gates"
    ),
    "chunk_number": facts(CHUNK, {"chunk": True}, r"chunk is true, expected int", "gates"),
    "chunk_number_gone": facts(CHUNK, {"chunk": None}, r"chunk is missing", "gates"),
    "chunk_outside": facts(
        CHUNK, {"outside": ["SE_9_9"]}, r"outside has 'SE_9_9', expected blocks of the run", "gates"
    ),
    "chunk_index": facts(CHUNK, {"chunk": 5}, r"is chunk 5, not 0", "verify"),
    "chunk_unknown": facts(CHUNK, {"more": 5}, r"more is no field that is known", "gates"),
    # the table of images
    "parquet_schema": table(lambda _: pa.table({"x": [1, 2]}), r"its columns are x; expected path, class, label"),
    "parquet_type": table(column("label", ["a"] * IMAGES), r"column label is string, expected int64 or list"),
    "parquet_order": table(lambda t: t.select(t.column_names[::-1]), r"its columns are content, kept"),
    "parquet_rows": table(lambda t: t.slice(1), r"it has 11 rows, expected 12"),
    "parquet_1e9": table(
        lambda t: pa.table({name: pa.nulls(10**6, t.schema.field(name).type) for name in t.column_names}),
        r"it has 1,000,000 rows, expected 12",
    ),
    "parquet_label": table(column("label", [0] * 11 + [10**12]), r"column label has 1000000000000, expected 0 to 1"),
    "parquet_label_negative": table(column("label", [0] * 11 + [-1]), r"column label has -1, expected 0 to 1"),
    "parquet_status": table(
        column("status", ["fi\x07ne"] * IMAGES), r"column status has 'fi\\x07ne', expected ok, coerced"
    ),
    "parquet_null": table(column("path", ["a"] * 11 + [None]), r"column path has a row without a value"),
    "parquet_long": table(column("path", ["a" * 10**6] * IMAGES), r"column path has a text of 1,000,000 bytes"),
    "parquet_kept": table(
        column("kept", [False] * 11 + [True]),
        r"says that gates of 1 images are kept, and the chunks have 12|is not what the chunks give",
    ),
    "parquet_no_parquet": content(SAMPLES, lambda _: b"PAR1" + b"\xff" * 40 + b"PAR1", r"cannot be read: ", "images"),
    # what is no regular file, or none at all
    **{
        f"{Path(file).suffix[1:]}_{Path(file).parent.name or 'top'}_{name}": instead(file, make, message, by)
        for file, by in EVERYWHERE
        for name, make, message in (
            ("fifo", os.mkfifo, r"it is a FIFO, expected a regular file"),
            ("folder", Path.mkdir, r"it is a directory, expected a regular file"),
            ("devzero", lambda path: path.symlink_to("/dev/zero"), r"it is a link that leads out of"),
            ("passwd", lambda path: path.symlink_to("/etc/passwd"), r"it is a link that leads out of"),
            ("loop", lambda path: path.symlink_to(path.name), r"Too many levels of symbolic links|Symlink loop"),
            ("nowhere", lambda path: path.symlink_to("nothing"), r"No such file or directory"),
        )
    },
    **{
        f"{Path(file).suffix[1:]}_{Path(file).parent.name or 'top'}_{name}": content(file, make, message, by)
        for file, by in EVERYWHERE
        for name, make, message in (
            ("empty", lambda _: b"", r"is damaged: |cannot be read"),
            ("half", lambda before: before[: len(before) // 2], r"is damaged: |cannot be read"),
        )
    },
}
