import dataclasses
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seviz
from seviz.errors import (
    DamagedRunError,
    MissingSignalError,
    RunExistsError,
    RunIncompleteError,
    RunNotFoundError,
    UnknownClassError,
)
from seviz.run.chunks import Chunk
from seviz.run.files import checksum, read_arrays
from seviz.run.merging import merge_chunks
from seviz.run.store import Run
from tests.made_runs import make_run

FIFTY = {"SE_2_1": np.full((50, 2), 0.5)}
"""Gates of fifty images."""


def rewritten(run: Run, *, model: dict[str, object] | None = None, data: dict[str, object] | None = None) -> Run:
    """The run with other things said of its network or its data."""
    manifest = dataclasses.replace(
        run.manifest,
        model=dataclasses.replace(run.manifest.model, **(model or {})),
        data=dataclasses.replace(run.manifest.data, **(data or {})),
    )
    (run.path / "manifest.json").write_text(manifest.to_json())
    merge_chunks(Run(run.path))
    return seviz.open_run(run.path)


def test_dataset_holds_what_the_gates_say(tiny_run: Run) -> None:
    labels = tiny_run.samples["label"].to_numpy()
    for name in tiny_run.blocks:
        gates, table = tiny_run.gates(name).astype(np.float64), tiny_run[name]
        assert table["mean"].dims == ("class", "channel")
        assert list(table["class"].values) == ["blue", "green", "red"]
        np.testing.assert_array_equal(table["count"], [9, 8, 13])
        for k in range(3):
            own = gates[labels == k]
            np.testing.assert_allclose(table["mean"][k], own.mean(0), rtol=0, atol=1e-5)
            np.testing.assert_allclose(table["std"][k], own.std(0, ddof=1), rtol=0, atol=1e-5)
            np.testing.assert_allclose(table["min"][k], own.min(0), rtol=0, atol=1e-5)
            np.testing.assert_allclose(table["max"][k], own.max(0), rtol=0, atol=1e-5)
        total = tiny_run.total(name)
        np.testing.assert_array_equal(total.count, [30])
        np.testing.assert_allclose(total.mean[0], gates.mean(0), rtol=0, atol=1e-5)
        np.testing.assert_allclose(np.sqrt(total.variance()[0]), gates.std(0, ddof=1), rtol=0, atol=1e-5)


def test_chunks_are_verified_once_however_many_threads_ask(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[int] = []

    def counted(*content: Any) -> str:
        verified.append(1)
        return checksum(*content)

    monkeypatch.setattr("seviz.run.files.checksum", counted)
    run = seviz.open_run(tiny_run.path)
    with ThreadPoolExecutor(3) as executor:
        found = list(executor.map(run.gates, run.blocks))
    assert len(verified) == len(run.chunk_paths()) == 3
    for block, gates in zip(run.blocks, found, strict=True):
        np.testing.assert_array_equal(gates, tiny_run.gates(block))


def test_chunks_that_are_not_asked_for_are_not_read(tiny_run: Run) -> None:
    tiny_run.chunk_path(1).write_bytes(b"damaged")  # images 11 to 21
    run, shapes = seviz.open_run(tiny_run.path), [11, 11, 8]
    object.__setattr__(run, "_rows_of_chunks", shapes)
    assert run.gates("SE_2_1", rows=np.array([0, 10, 22, 29])).shape == (4, 8)
    assert run.gates("SE_2_1", rows=np.array([], np.int64)).shape == (0, 8)
    with pytest.raises(DamagedRunError, match=r"000001\.safetensors is damaged"):
        run.gates("SE_2_1", rows=np.array([10, 11]))


def test_other_signals_are_kept_image_by_image(tiny_run: Run) -> None:
    squeeze = tiny_run.gates("SE_3_1", "squeeze").astype(np.float64)
    assert squeeze.shape == (30, 12)
    np.testing.assert_allclose(tiny_run.total("SE_3_1", "squeeze").mean[0], squeeze.mean(0), rtol=1e-6)
    response = tiny_run.gates("SE_3_1", "response")
    assert (response >= 0).all()
    assert response.any()


def test_tidy_table(tiny_run: Run) -> None:
    frame = tiny_run.to_frame()
    assert list(frame.columns) == ["block", "stage", "class", "class_name", "channel", "mean", "std", "count"]
    assert len(frame) == 3 * (8 + 12 + 16)
    row = frame[(frame["block"] == "SE_4_1") & (frame["class"] == "red") & (frame["channel"] == 5)].iloc[0]
    assert row["mean"] == tiny_run["SE_4_1"]["mean"].sel({"class": "red"}, drop=True)[5]
    assert (row["stage"], row["count"]) == (4, 13)


def test_samples_are_in_the_order_of_the_data(tiny_run: Run) -> None:
    samples = tiny_run.samples
    assert list(samples["path"][:2]) == ["blue/000.png", "blue/001.png"]
    assert list(samples["label"]) == [0] * 9 + [1] * 8 + [2] * 13
    assert set(samples["status"]) == {"ok"}
    assert set(samples["predicted"]) <= {"blue", "green", "red"}
    right = (samples["predicted"] == samples["class"]).mean()
    assert tiny_run.accuracy.top1 == pytest.approx(right)
    assert (tiny_run.accuracy.top5, tiny_run.accuracy.images) == (None, 30)


def test_repr_says_what_it_is(tiny_run: Run) -> None:
    assert repr(tiny_run).endswith(f": tests/tiny on {tiny_run.manifest.data.spec}, 3 SE blocks, 30 images>")


def test_opening_what_is_no_run(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"no run in '.*nothing': it has no manifest.json; `seviz capture"):
        seviz.open_run(tmp_path / "nothing")
    (tiny_run.path / "samples.parquet").unlink()
    with pytest.raises(RunIncompleteError, match=r"has not finished \(3 of 3 chunks are there\); run the same capture"):
        seviz.open_run(tiny_run.path)
    assert repr(Run(tiny_run.path)).endswith("not finished>")


def test_asking_for_what_is_not_there(tiny_run: Run) -> None:
    with pytest.raises(MissingSignalError, match=r"no block 'SE_9_1' in '.*'; it has SE_2_1, SE_3_1, SE_4_1"):
        tiny_run["SE_9_1"]
    with pytest.raises(MissingSignalError, match=r"holds no 'logit'; it holds excitation, squeeze, response\."):
        tiny_run.gates("SE_2_1", "logit")
    with pytest.raises(UnknownClassError, match=r"no class 'pug' in the run '.*'; it has blue, green, red"):
        tiny_run.class_index("pug")
    assert tiny_run.class_index("RED") == 2


def test_damage_is_noticed_on_first_read(tiny_run: Run) -> None:
    path = tiny_run.path / "moments" / "SE_3_1.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    run = seviz.open_run(tiny_run.path)
    run["SE_2_1"]
    with pytest.raises(DamagedRunError, match=r"SE_3_1.safetensors is damaged: its checksum"):
        run["SE_3_1"]
    path.unlink()  # it can be merged again, so the run is not complete
    with pytest.raises(RunIncompleteError, match="has not finished"):
        run["SE_3_1"]


def test_the_table_of_images_is_verified(tiny_run: Run) -> None:
    path = tiny_run.path / "samples.parquet"
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedRunError, match=r"samples.parquet is damaged: .*Delete that file and run the same"):
        len(seviz.open_run(tiny_run.path).samples)


def test_a_missing_chunk_makes_a_run_incomplete(tiny_run: Run) -> None:
    tiny_run.chunk_path(1).unlink()
    with pytest.raises(RunIncompleteError, match=r"2 of 3 chunks are there"):
        seviz.open_run(tiny_run.path)


def test_merging_again_writes_the_same_bytes(tiny_run: Run) -> None:
    files = [tiny_run.path / "samples.parquet", *(tiny_run.path / "moments").iterdir()]
    before = {path: path.read_bytes() for path in files}
    merge_chunks(tiny_run)
    assert {path: path.read_bytes() for path in files} == before


def test_other_files_are_not_in_the_way_of_a_run(tiny_run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(RunExistsError, match="is in the way: it is there and holds no run"):
        Run.create(other, tiny_run.manifest)
    with pytest.raises(RunExistsError, match="is in the way"):
        Run.create(other / "thesis.tex", tiny_run.manifest)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", tiny_run.manifest).manifest == tiny_run.manifest


def test_a_run_that_another_process_of_the_launch_makes_meanwhile_is_not_in_the_way(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "new"
    place.mkdir()

    listed = Path.iterdir

    def made_meanwhile(path: Path) -> Iterator[Path]:
        monkeypatch.undo()
        Run.create(path, tiny_run.manifest)
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", made_meanwhile)
    assert Run.create(place, tiny_run.manifest).manifest == tiny_run.manifest


def test_a_copied_run_opens(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.path, tmp_path / "copy")
    copy = seviz.open_run(tmp_path / "copy")
    np.testing.assert_array_equal(copy.gates("SE_2_1"), tiny_run.gates("SE_2_1"))


def test_a_class_without_images_has_no_values(tmp_path: Path) -> None:
    table = make_run(tmp_path / "run", {"SE_2_1": np.array([[0.2], [0.4]])}, np.array([0, 2]))["SE_2_1"]
    assert table["count"].values.tolist() == [1, 0, 1]
    for name in ("mean", "min", "max"):
        np.testing.assert_allclose(table[name].values[:, 0], [0.2, np.nan, 0.4], atol=1e-5)
    assert np.isnan(table["std"]).all()
    assert table.attrs == {"block": "SE_2_1", "stage": 2, "path": "layer2.1", "gate": "sigmoid"}


def test_gates_of_images_that_failed_are_nan(tmp_path: Path) -> None:
    gates = np.linspace(0.1, 0.9, 14).reshape(7, 2)
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.zeros(7, int), failed=[0, 5], chunk_size=3)
    expected = gates.copy()
    expected[[0, 5]] = np.nan
    np.testing.assert_allclose(run.gates("SE_2_1"), expected, atol=8e-6)
    kept = np.arange(7) % 2 == 1  # of which 5 failed
    some = make_run(tmp_path / "some", {"SE_2_1": gates}, np.zeros(7, int), failed=[0, 5], chunk_size=3, kept=kept)
    np.testing.assert_allclose(some.gates("SE_2_1"), expected[kept], atol=8e-6)


@pytest.mark.parametrize("rows", [[], [0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6], [1, 4, 6], [3, 4, 5], [0, 6]])
def test_gates_of_some_of_the_images_that_are_kept(rows: list[int], tmp_path: Path) -> None:
    gates, kept = np.linspace(0.1, 0.9, 20).reshape(10, 2), np.delete(np.arange(10), [0, 4, 5])
    which = np.isin(np.arange(10), kept)
    response = {"response": {"SE_2_1": 7 * gates}}
    run = make_run(
        tmp_path / "run", {"SE_2_1": gates}, np.zeros(10, int), signals=response, failed=[7], kept=which, chunk_size=3
    )
    expected = np.where(kept[:, None] == 7, np.nan, gates[kept])[rows]
    chosen = np.array(rows, np.int64)
    np.testing.assert_allclose(run.gates("SE_2_1", rows=chosen), expected, atol=8e-6)
    np.testing.assert_allclose(run.gates("SE_2_1", "response", chosen), 7 * expected, rtol=1e-6)


@pytest.mark.parametrize(("right", "near"), [(5, True), (11, True), (12, False)])
def test_accuracy_near_chance_is_remarked(tmp_path: Path, right: int, near: bool) -> None:
    """Of 50 images of 10 classes, 5 are right by chance, with a standard deviation of 2.12: to 11.36 it is near."""
    labels = np.arange(50) % 10
    predictions = np.where(np.arange(50) < right, labels, (labels + 1) % 10)
    run = make_run(tmp_path / "run", FIFTY, labels, predictions=predictions)
    remark = f"Top-1 accuracy is {right / 50:.1%}, near chance (10.0%), on trained weights"
    assert [text.partition(":")[0] for text in run.remarks] == [remark] * near


def test_remarks_on_the_network(tmp_path: Path) -> None:
    labels = np.arange(50) % 3
    run = make_run(tmp_path / "run", FIFTY, labels, classes=("cat", "dog", "emu"))
    assert run.remarks == ()
    untrained = rewritten(run, model={"trained": False})
    assert [text.partition(":")[0] for text in untrained.remarks] == ["The weights of the SE blocks are untrained"]
    detector = rewritten(run, model={"task": "detection", "trained": True}, data={"model_classes": None})
    expected = "The network is the backbone of one for detection: it gives no predictions."
    assert detector.remarks == (expected,)
    assert detector.accuracy is None


@pytest.mark.parametrize(
    ("names", "few"), [(("w", "x", "y", "z"), "w, x, y, ..."), (("w", "x", "y"), "w, x, y"), (None, "unknown")]
)
def test_remarks_on_the_classes(tmp_path: Path, names: tuple[str, ...] | None, few: str) -> None:
    run = make_run(tmp_path / "run", FIFTY, np.arange(50) % 3, classes=("cat", "dog", "emu"))
    other = rewritten(run, model={"class_ids": names, "class_names": names}, data={"model_classes": None})
    (remark,) = other.remarks
    assert f"are not those of the network (cat, dog, emu against {few}): gates were captured" in remark


def test_classes_in_another_order_are_remarked(tmp_path: Path) -> None:
    labels = np.arange(50) % 3
    run = make_run(tmp_path / "run", FIFTY, labels, classes=("cat", "dog", "emu"), predictions=(labels + 1) % 3)
    turned = rewritten(
        run,
        model={"class_ids": ("emu", "cat", "dog"), "class_names": ("emu", "cat", "dog")},
        data={"model_classes": (1, 2, 0)},
    )  # class k of the data is class k + 1 of the network, so all are right
    assert turned.accuracy.top1 == 1
    assert turned.remarks == (
        "The classes of the data stand in another order than the network's; they were matched by id and name.",
    )
    five = ("ant", "cat", "dog", "eel", "emu")
    some = rewritten(
        run, model={"class_ids": five, "class_names": five}, data={"model_classes": (1, 2, 4)}
    )  # others lie between them
    assert not any("another order" in text for text in some.remarks)


def test_remarks_on_the_images(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FIFTY, np.arange(50) % 3, failed=[7, 30, 49], chunk_size=20)
    chunk = Chunk.read(run.chunk_path(1))
    reasons = tuple({5: "is rotated", 6: "is rotated"}.get(k, old) for k, old in enumerate(chunk.samples.reasons))
    statuses = tuple("coerced" if k == 8 else old for k, old in enumerate(chunk.samples.statuses))
    samples = dataclasses.replace(chunk.samples, reasons=reasons, statuses=statuses)
    dataclasses.replace(chunk, samples=samples).write(run.chunk_path(1))
    merge_chunks(run)
    assert seviz.open_run(run.path).remarks == (
        "There is something to know of 2 images, such as: is rotated.",
        "3 of 50 images failed; `samples` says which and why.",
    )


def wandering(path: Path, **options: object) -> tuple[Run, dict[str, np.ndarray]]:
    """A run of four chunks: in the second and the last, gates of SE_2_1 lie outside of [0, 1]; SE_3_1 keeps to it."""
    gates = {
        "SE_2_1": np.linspace(0.1, 0.9, 40).reshape(10, 4),
        "SE_3_1": np.linspace(0.8, 0.2, 20).reshape(10, 2),
    }
    gates["SE_2_1"][4] = [-3.5, 0.5, 7.25, 1.0]
    gates["SE_2_1"][9, 0] = 1.0001
    return make_run(path, gates, np.arange(10) % 2, chunk_size=3, **options), gates


def test_gates_outside_of_their_bounds_come_back_as_they_were(tmp_path: Path) -> None:
    run, gates = wandering(tmp_path / "run")
    stored = [read_arrays(path)[0] for path in run.chunk_paths()]
    assert [arrays["gates/excitation/SE_2_1"].dtype for arrays in stored] == [*(np.uint16, np.float32) * 2]
    assert {arrays["gates/excitation/SE_3_1"].dtype for arrays in stored} == {np.dtype(np.uint16)}
    for block, expected in gates.items():
        np.testing.assert_allclose(run.gates(block), expected, rtol=0, atol=8e-6)
        for rows in ([4], [2, 3, 9], [0, 4, 5, 6, 9]):
            np.testing.assert_array_equal(run.gates(block, rows=np.array(rows)), run.gates(block)[rows])
    assert read_arrays(run.moments_path("SE_2_1"))[1] == {"block": "SE_2_1", "outside": [1, 3]}
    assert read_arrays(run.moments_path("SE_3_1"))[1] == {"block": "SE_3_1"}
    assert (run.bounds("SE_2_1"), run.bounds("SE_3_1")) == ((-np.inf, np.inf), (0, 1))
    assert run.stored_in_16_bits("SE_2_1")
    assert run.stored_in_16_bits("SE_3_1")
    assert run.remarks == (
        "Gates of SE_2_1 lie outside of the bounds of their function (sigmoid), which is another than it seemed: they"
        " are stored as they are, and tables take them as unbounded.",
    )


def test_bounds_are_those_of_the_function_unless_a_gate_lies_outside(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.linspace(0, 1, 8).reshape(4, 2), "SE_3_1": np.linspace(0, 2.5, 8).reshape(4, 2)}
    response = {"response": gates}
    for gate, low, high in (("one_plus_tanh", 0, 2), ("relu6", 0, 6), ("relu", 0, np.inf), ("other", -np.inf, np.inf)):
        run = make_run(tmp_path / gate, gates, np.zeros(4, int), gate=gate, signals=response)
        assert run.bounds("SE_2_1") == (low, high)
        assert run.bounds("SE_3_1") == ((low, high) if high > 2 else (-np.inf, np.inf))
        assert run.bounds("SE_2_1", "response") == (-np.inf, np.inf)
        assert not run.stored_in_16_bits("SE_2_1")
    everywhere = make_run(tmp_path / "sigmoid", gates, np.zeros(4, int))
    assert [everywhere.stored_in_16_bits(block) for block in gates] == [True, False]
    with pytest.raises(MissingSignalError, match="holds no 'squeeze'"):
        everywhere.bounds("SE_2_1", "squeeze")


def test_only_chunks_that_hold_the_rows_are_read(tmp_path: Path) -> None:
    run, _ = wandering(tmp_path / "run")
    gates = run.gates("SE_2_1")
    run.chunk_path(2).write_bytes(run.chunk_path(2).read_bytes()[:-1] + b"?")
    again = Run(run.path)
    np.testing.assert_array_equal(again.gates("SE_2_1", rows=np.array([1, 5, 9])), gates[[1, 5, 9]])
    with pytest.raises(DamagedRunError, match="its checksum does not match"):
        again.gates("SE_2_1", rows=np.array([1, 6]))
    run.chunk_path(2).write_bytes(b"damaged")
    with pytest.raises(DamagedRunError, match=r"000002\.safetensors is damaged: it cannot be read"):
        Run(run.path).gates("SE_2_1", rows=np.array([1]))
    run.moments_path("SE_2_1").write_bytes(b"damaged")
    with pytest.raises(DamagedRunError, match=r"SE_2_1\.safetensors is damaged: it cannot be read"):
        _ = Run(run.path).remarks
