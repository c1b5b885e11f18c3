"""What compressions have left: read, compared, and left out with a remark where it is not whole."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.compression.listing import FOLDER, compared, curves, name_of, number_of
from seviz.dashboard.lab.results import (
    action_of,
    card,
    check_writable,
    damage,
    damage_masked,
    files,
    free_directory,
    network_zip,
    read_results,
    settings,
    summary,
    table_of,
)
from seviz.errors import WriteError
from tests.dashboard.lab.made_results import classes_table, masked_table, results_table, written

CLASSES = ("cat", "dog", "NA")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a compression into a run."""
    return lambda name, tables, **settings: written(tmp_path / FOLDER / name, tables, **settings)


def fold_tables(
    accuracies: tuple[float, ...] = (0.9, 0.8), blocks: tuple[int, ...] = (3, 1)
) -> dict[str, pd.DataFrame]:
    folded = pd.DataFrame({"block": ["SE_2_1", "SE_3_1", "SE_4_1"], "folded": [True, False, True], "reason": ""})
    return {"results": results_table(accuracies, blocks), "blocks": folded, "classes": classes_table({"NA": 0.1})}


def test_a_run_without_compressions_has_none(tmp_path: Path) -> None:
    read = read_results(tmp_path)
    assert (read.compressions, read.remarks) == ((), ())


def test_a_folded_network_is_read_as_it_was_written(tmp_path: Path, write: Write) -> None:
    tables = fold_tables()
    place = write("001-fold", tables, order="a | b", blocks=["SE_2_1", "SE_4_1"], count=None)
    (result,) = read_results(tmp_path)
    assert (result.path, name_of(result), number_of(result), result.kind, action_of(result)) == (
        place,
        "001-fold",
        "001",
        "fold",
        "fold",
    )
    assert result.title == "tests/made with | something"
    assert settings(result) == {"run": "runs/made", "classes": "all", "order": "a | b", "blocks": "SE_2_1, SE_4_1"}
    assert summary(result) == "2 of 3 SE blocks folded"
    assert list(result.tables) == ["results", "blocks", "classes"]
    assert files(result) == ("README.md", "network.json", "weights.safetensors")
    assert card(result).startswith("# tests/made with \\| something\n")
    pd.testing.assert_frame_equal(result.measurements, tables["results"], check_dtype=False)
    assert table_of(result, "classes")["class"].tolist() == ["NA", "NA"]  # a name, not a gap
    assert table_of(result, "blocks")["folded"].tolist() == [True, False, True]


def test_actions_and_summaries(tmp_path: Path, write: Write) -> None:
    removed = pd.DataFrame({"block": ["SE_2_1"], "channels_before": [8], "channels_after": [4]})
    write("001-remove", fold_tables())
    write("002-specialise", fold_tables(), classes=["cat", "dog"])
    pruned = {"results": results_table((0.9, 0.7), (3, 3)), "removed": removed}
    write("003-prune", pruned, flops=0.7, criterion="gate_class:cat", classes="cat")
    write("004-mask", {"mean": masked_table({"l1": (0.9, 0.5)})}, criteria=["gate_mean", "l1"])
    write("mine", fold_tables(), classes="dog")
    read = read_results(tmp_path)
    assert [(action_of(each), summary(each)) for each in read] == [
        ("remove", "2 of 3 SE blocks taken out"),
        ("specialise", "2 of 3 SE blocks folded, for cat, dog"),
        ("prune", "pruned: 0.7 of the multiply-adds kept, by gate_class, for cat"),
        ("mask", "channels masked by gate_mean, l1"),
        ("specialise", "2 of 3 SE blocks folded, for dog"),
    ]
    assert [name_of(each) for each in read.of("curve")] == ["004-mask"]
    assert [name_of(each) for each in read.of("fold", "prune")] == ["001-remove", "002-specialise", "003-prune", "mine"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: (place / "README.md").unlink(), "it has no README.md, so it was not written to its end"),
        (lambda place: (place / "result.json").unlink(), "it has no result.json, so it was not written to its end"),
        (lambda place: (place / "blocks.csv").unlink(), "blocks.csv cannot be read"),
    ],
)
def test_what_is_not_whole_is_left_out_with_a_remark(
    spoil: Callable[[Path], object], message: str, tmp_path: Path, write: Write
) -> None:
    """All that may be wrong in a directory is tried in `tests/compression/test_result.py`."""
    write("001-fold", fold_tables())
    spoil(write("002-fold", fold_tables()))
    read = read_results(tmp_path)
    assert [name_of(result) for result in read] == ["001-fold"]
    (remark,) = read.remarks
    assert remark.startswith("002-fold is left out: ")
    assert message in remark


def test_what_is_under_way_or_leads_elsewhere_is_left_out_in_silence(tmp_path: Path, write: Write) -> None:
    place = write("001-fold", fold_tables())
    place.rename(place.with_name(".001-fold-abc"))
    (tmp_path / FOLDER / "002-fold").symlink_to(place.with_name(".001-fold-abc"))
    (tmp_path / FOLDER / "notes.txt").write_text("mine")
    read = read_results(tmp_path)
    assert (read.compressions, read.remarks) == ((), ())


def test_a_file_that_is_a_link_is_not_read(tmp_path: Path, write: Write) -> None:
    place = write("001-fold", fold_tables())
    (tmp_path / "secret").write_text("# a secret")
    (place / "README.md").unlink()
    (place / "README.md").symlink_to(tmp_path / "secret")
    assert "README.md cannot be read (it is a link that leads out of" in read_results(tmp_path).remarks[0]


def test_a_result_that_changes_is_read_again(tmp_path: Path, write: Write) -> None:
    place = write("001-fold", fold_tables())
    (read,) = read_results(tmp_path)
    assert (read.measurements["accuracy"].iloc[1], table_of(read, "classes")["drop"].iloc[1]) == (0.8, 0.1)
    shutil.rmtree(place)
    write("001-fold", fold_tables((0.9, 0.25)) | {"classes": classes_table({"NA": 0.5})})
    (again,) = read_results(tmp_path)
    assert (again.measurements["accuracy"].iloc[1], table_of(again, "classes")["drop"].iloc[1]) == (0.25, 0.5)


def test_the_next_directory_is_one_that_none_has(tmp_path: Path, write: Write) -> None:
    assert free_directory(tmp_path, "fold") == tmp_path / FOLDER / "001-fold"
    assert not (tmp_path / FOLDER).exists()
    write("007-mask", {"mean": masked_table({"l1": (0.9, 0.5)})})
    (tmp_path / FOLDER / "mine").mkdir()
    assert free_directory(tmp_path, "fold").name == "008-fold"
    assert free_directory(tmp_path, "fold", ["009-prune"]).name == "010-fold"


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    check_writable(tmp_path / FOLDER)
    assert list((tmp_path / FOLDER).iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written to"):
        check_writable(tmp_path / "file")
    with pytest.raises(WriteError, match="cannot be written to"):
        check_writable(tmp_path / "file" / FOLDER)


def test_networks_are_compared_with_their_originals(tmp_path: Path, write: Write) -> None:
    write("001-fold", fold_tables((0.9, 0.8, 0.85), (3, 1, 1)))
    write("002-specialise", fold_tables((0.95, 0.9)), classes="cat")
    table = compared(read_results(tmp_path).compressions)
    assert table["result"].tolist() == ["001-fold"] * 3 + ["002-specialise"] * 2
    assert table["original"].tolist() == [True, False, False, True, False]
    assert table["last"].tolist() == [False, False, True, False, True]
    assert table["share_multiply_adds"].tolist() == [1, 0.25, 0.25, 1, 0.25]
    assert table["share_parameters"].tolist() == [1, 0.6, 0.6, 1, 0.6]
    assert table["classes"].tolist() == ["all"] * 3 + ["cat"] * 2


def test_curves_of_one_criterion_are_told_apart_by_their_result(tmp_path: Path, write: Write) -> None:
    write("001-mask", {"mean": masked_table({"l1": (0.9, 0.5), "random": (0.9, 0.2)})})
    write("002-mask", {"mean": masked_table({"l1": (0.9, 0.6)})})
    table = curves(read_results(tmp_path).compressions)
    assert list(dict.fromkeys(table["curve"])) == ["l1 (001)", "random", "l1 (002)"]
    assert table[table["curve"] == "l1 (002)"]["accuracy"].tolist() == [0.9, 0.6]


def test_damage_has_the_classes_that_changed_most() -> None:
    table = damage(classes_table({"a": 0.1, "b": -0.3, "c": 0.0, "d": 0.2}), 3)
    assert table["class"].tolist() == ["d", "a", "b"]
    assert table["drop"].tolist() == [0.2, 0.1, -0.3]
    np.testing.assert_allclose(table["before"], 0.9)


def test_damage_by_masking_is_a_mean_over_seeds() -> None:
    random = np.random.default_rng(0)
    accuracy = random.uniform(size=(2, 2, 3, 3))  # (criterion, seed, fraction, class)
    accuracy[:, :, 0] = accuracy[0, 0, 0]
    rows = [
        {"criterion": c, "seed": s, "fraction": f, "class": str(k), "class_name": "twin" if k < 2 else "alone"}
        | {"accuracy": accuracy[i, s, j, k]}
        for i, c in enumerate(("gate_mean", "l1"))
        for s in range(2)
        for j, f in enumerate((0.0, 0.2, 0.4))
        for k in range(3)
    ]
    table = damage_masked(pd.DataFrame(rows), 0.4, 2)
    expected = accuracy[0, 0, 0][:, None] - accuracy[:, :, 2].mean(1).T  # (class, criterion)
    order = np.argsort(-expected.mean(1), kind="stable")[:2]
    names = np.array(["twin (0)", "twin (1)", "alone"])
    if set(order) != {0, 1}:  # one of the two is not shown, and the name is no more ambiguous
        names = np.array(["twin", "twin", "alone"])
    assert table.index.tolist() == names[order].tolist()
    assert table.columns.tolist() == ["gate_mean", "l1"]
    np.testing.assert_allclose(table.to_numpy(), expected[order])


def test_the_zip_has_the_network_and_is_the_same_each_time(tmp_path: Path, write: Write) -> None:
    place = write("001-fold", fold_tables())
    (place / "network.pt2").write_bytes(b"program")
    (result,) = read_results(tmp_path)
    made = network_zip(result)
    assert made == network_zip(result)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.namelist() == ["README.md", "network.json", "weights.safetensors", "network.pt2"]
        assert archive.read("weights.safetensors") == b"weights"
        assert archive.read("network.pt2") == b"program"
