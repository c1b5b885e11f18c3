import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seviz.errors import DamagedRunError
from seviz.run.chunks import Chunk, Samples, decode_gates, encode_gates
from seviz.run.files import header_of


def test_codes_err_by_less_than_8e_6_everywhere() -> None:
    near = np.geomspace(1e-12, 0.5, 20000)
    gates = np.concatenate([near, 1 - near, np.linspace(0, 1, 200001), [5e-324, np.nextafter(1, 0)]])
    decoded = decode_gates(encode_gates(gates)).astype(np.float64)
    assert np.abs(decoded - gates).max() < 8e-6


def test_exactly_0_and_1_and_only_they_have_codes_of_their_own() -> None:
    codes = encode_gates(np.array([0, 1, 1e-30, np.float32(1) - np.float32(2) ** -24]))
    np.testing.assert_array_equal(codes, [0, 65535, 1, 65534])
    np.testing.assert_array_equal(decode_gates(codes[:2]), [0, 1])
    assert 0 < decode_gates(codes[2:])[0] < decode_gates(codes[2:])[1] < 1


@pytest.mark.parametrize("wrong", [-1e-7, 1 + 2e-7, np.nan, np.inf])
def test_nothing_is_clipped(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"gates lie from .* to .*, expected \[0, 1\]; store them as float32"):
        encode_gates(np.array([0.5, wrong, 0.7], np.float32))


def test_gates_are_read_however_they_are_stored() -> None:
    gates = np.array([[0.25, -3], [1.5, 1e-9]], np.float32)
    into = np.zeros((2, 2), np.float32)
    assert decode_gates(gates) is not gates
    np.testing.assert_array_equal(decode_gates(gates), gates)
    np.testing.assert_array_equal(decode_gates(gates, out=into), gates)
    np.testing.assert_array_equal(into, gates)
    codes = encode_gates(np.array([0.25, 0.75]))
    np.testing.assert_array_equal(decode_gates(codes, out=into[0]), decode_gates(codes))


def test_every_code_comes_back_as_itself() -> None:
    codes = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(encode_gates(decode_gates(codes)), codes)


BOUNDS = {"SE_2_1": (0.0, 1.0), "SE_3_1": (-np.inf, np.inf)}


def make_chunk() -> tuple[Chunk, dict[tuple[str, str], np.ndarray]]:
    random = np.random.default_rng(1)
    values = {
        ("excitation", "SE_2_1"): random.random((6, 4), np.float32),
        ("squeeze", "SE_2_1"): random.normal(size=(6, 4)).astype(np.float32),
        ("excitation", "SE_3_1"): random.normal(size=(6, 2)).astype(np.float32),
    }
    samples = Samples(
        paths=tuple(f"a/{k}.png" for k in range(6)),
        labels=np.array([7, 7, 2, 2, 2, 9]),
        statuses=("ok", "ok", "failed", "coerced", "ok", "failed"),
        reasons=("", "", "truncated", "L converted to RGB", "", "empty"),
        predictions=np.arange(12, dtype=np.int32).reshape(6, 2),
        kept=np.ones(6, bool),
    )
    return Chunk.of(5, samples, values, BOUNDS), values


def test_failed_images_count_for_nothing() -> None:
    chunk, values = make_chunk()
    good = np.array([True, True, False, True, True, False])
    np.testing.assert_array_equal(chunk.classes, [2, 7])  # of class 9 no image is left
    for key, value in values.items():
        np.testing.assert_array_equal(chunk.moments[key].count, [2, 2])
        np.testing.assert_allclose(chunk.moments[key].mean[1], value[:2].mean(0, dtype=np.float64))
        np.testing.assert_allclose(chunk.totals[key].mean[0], value[good].mean(0, dtype=np.float64))
        assert not chunk.gates[key][~good].any()


def test_bounded_gates_are_stored_in_16_bits_and_nothing_else_is() -> None:
    chunk, _ = make_chunk()
    assert {key: gates.dtype for key, gates in chunk.gates.items()} == {
        ("excitation", "SE_2_1"): np.uint16,
        ("squeeze", "SE_2_1"): np.float32,
        ("excitation", "SE_3_1"): np.float32,
    }


def test_written_and_read_back(tmp_path: Path) -> None:
    chunk, _ = make_chunk()
    chunk.write(tmp_path / "c")
    again = Chunk.read(tmp_path / "c")
    assert again.index == 5
    assert (again.samples.paths, again.samples.statuses, again.samples.reasons) == (
        chunk.samples.paths,
        chunk.samples.statuses,
        chunk.samples.reasons,
    )
    np.testing.assert_array_equal(again.samples.predictions, chunk.samples.predictions)
    for key in chunk.gates:
        np.testing.assert_array_equal(again.gates[key], chunk.gates[key])
        for one, other in ((again.moments, chunk.moments), (again.totals, chunk.totals)):
            for name, array in one[key].to_arrays().items():
                np.testing.assert_array_equal(array, other[key].to_arrays()[name])


def test_gates_of_some_images_only(tmp_path: Path) -> None:
    whole, values = make_chunk()
    kept = np.array([True, False, True, True, False, False])
    samples = dataclasses.replace(whole.samples, kept=kept)
    Chunk.of(5, samples, values, BOUNDS).write(tmp_path / "c")
    some = Chunk.read(tmp_path / "c")
    np.testing.assert_array_equal(some.samples.kept, kept)
    for key in values:
        np.testing.assert_array_equal(some.gates[key], whole.gates[key][kept])
        np.testing.assert_array_equal(some.moments[key].mean, whole.moments[key].mean)  # of all images all the same


def test_images_of_several_classes(tmp_path: Path) -> None:
    single, values = make_chunk()
    members = np.zeros((6, 10), bool)
    members[[0, 0, 1, 3, 4], [7, 2, 2, 9, 7]] = True  # the second of them failed, the last is of no class
    samples = dataclasses.replace(single.samples, labels=members)
    Chunk.of(5, samples, values, BOUNDS).write(tmp_path / "c")
    chunk = Chunk.read(tmp_path / "c")
    np.testing.assert_array_equal(chunk.samples.labels, members)
    np.testing.assert_array_equal(chunk.classes, [2, 7, 9])
    key = ("squeeze", "SE_2_1")
    np.testing.assert_array_equal(chunk.moments[key].count, [2, 2, 1])
    np.testing.assert_allclose(chunk.moments[key].mean[1], values[key][[0, 4]].mean(0, dtype=np.float64))
    np.testing.assert_array_equal(chunk.totals[key].count, [4])


def test_damage_is_named(tmp_path: Path) -> None:
    chunk, _ = make_chunk()
    chunk.write(tmp_path / "c")
    content = bytearray((tmp_path / "c").read_bytes())
    content[-3] ^= 4
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DamagedRunError, match=r"/c is damaged: its checksum does not match its content"):
        Chunk.read(tmp_path / "c")


@pytest.mark.parametrize(
    ("bounds", "changed", "outside", "dtype"),
    [
        ((0, 1), (0, 0, 1.25), ("SE_2_1",), np.float32),
        ((0, 1), (4, 1, -1e-6), ("SE_2_1",), np.float32),
        ((0, 1), (4, 1, 1.0), (), np.uint16),
        ((0, 1), (2, 0, 7.0), (), np.uint16),  # of an image that failed
        ((0, 1), (1, 0, 7.0), ("SE_2_1",), np.float32),  # of an image whose gates are not kept
        ((0.25, 0.75), (1, 0, 0.8), ("SE_2_1",), np.float32),
        ((-1, 1), (1, 0, -0.5), (), np.float32),
        ((0, 6), (1, 0, 7.0), ("SE_2_1",), np.float32),
        ((0, np.inf), (1, 0, 7.0), (), np.float32),
    ],
)
def test_a_chunk_with_a_gate_outside_of_its_bounds_is_stored_as_it_is(
    bounds: tuple[float, float],
    changed: tuple[int, int, float],
    outside: tuple[str, ...],
    dtype: type,
    tmp_path: Path,
) -> None:
    image, channel, gate = changed
    gates = np.linspace(0.3, 0.7, 12, dtype=np.float32).reshape(6, 2)
    gates[image, channel] = gate
    kept = np.arange(6) != 1
    samples = dataclasses.replace(make_chunk()[0].samples, kept=kept)
    Chunk.of(3, samples, {("excitation", "SE_2_1"): gates}, {"SE_2_1": bounds}).write(tmp_path / "c")
    chunk = Chunk.read(tmp_path / "c")
    stored = chunk.gates["excitation", "SE_2_1"]
    assert (chunk.outside, stored.dtype) == (outside, dtype)
    good = np.delete(np.arange(6), [1, 2, 5])
    np.testing.assert_allclose(decode_gates(stored)[[0, 2, 3]], gates[good], atol=8e-6 if dtype == np.uint16 else 0)
    assert ("outside" in header_of(tmp_path / "c").facts) == bool(outside)
