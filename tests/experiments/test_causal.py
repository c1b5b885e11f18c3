from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import seviz
from seviz.capture.datasets import open_dataset
from seviz.classes import Classes
from seviz.errors import EmptyDataError, MissingSignalError, OptionError, UnknownClassError
from seviz.experiments.causal import INTERVENTIONS, Outcomes, intervene, swap
from seviz.experiments.donors import Donors
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.experiments.made_network import NAMES
from tests.made_runs import make_run


def cell(table: pd.DataFrame, block: str, intervention: str) -> pd.Series:
    (row,) = table[(table["block"] == block) & (table["intervention"] == intervention)].index
    return table.loc[row]


def test_a_class_that_is_read_from_the_gates_goes_with_them(network: Network, folder: Path, run: Run) -> None:
    table = intervene(network, run, data=folder, interventions=INTERVENTIONS, workers=0).by_block()
    assert list(table["block"]) == ["", *["SE_2_1"] * 5, *["SE_2_2"] * 5]
    assert table["stage"].tolist() == [pd.NA, *[2] * 10]
    plain = cell(table, "", "none")
    assert (plain["accuracy"], plain["drop"], plain["drop_low"], plain["drop_high"]) == (1, 0, 0, 0)
    assert cell(table, "SE_2_1", "within")["drop"] == 0
    assert cell(table, "SE_2_1", "across")["accuracy"] == 0
    assert cell(table, "SE_2_1", "across")["changed"] == 1
    # All images alike: one class is told for all, with gates of 1 or 0 the first, with mean gates the commonest.
    for name, share in (("identity", 4 / 12), ("zero", 4 / 12), ("constant", 5 / 12)):
        assert cell(table, "SE_2_1", name)["accuracy"] == pytest.approx(share)
    # No class depends on the second block.
    assert (table.loc[table["block"] == "SE_2_2", "drop"].drop(index=7) == 0).all()
    assert cell(table, "SE_2_2", "identity")["logit_change"] > 0.3
    assert (table["images"] == 12).all()
    assert table.attrs["remarks"] == []


def test_figures_are_those_of_gates_set_by_hand(network: Network, folder: Path, run: Run) -> None:
    outcomes = intervene(network, run, data=folder, blocks=["SE_2_1"], batch_size=5, workers=0)
    data = open_dataset(folder)
    images = torch.stack([network.preprocess(data.read(k).image) for k in range(len(data))])
    model = network.model
    with torch.no_grad():
        u = model.stem(images)
        gates = {
            "identity": torch.ones(12, 6),
            "constant": model.first.gate(model.first.excite(u.mean((2, 3)))).mean(0).expand(12, 6),
        }
        plain = model(images)
        target = torch.as_tensor(data.labels)
        for name, s in gates.items():
            logits = model.second(u * s[:, :, None, None]).mean((2, 3))[:, 3:]
            row = cell(outcomes.by_block(), "SE_2_1", name)
            change = (logits - plain).gather(1, target[:, None])
            loss = F.cross_entropy(logits, target) - F.cross_entropy(plain, target)
            assert row["logit_change"] == pytest.approx(float(change.mean()), abs=1e-5)
            assert row["loss_change"] == pytest.approx(float(loss), abs=1e-5)
            assert row["accuracy"] == pytest.approx(float((logits.argmax(1) == target).double().mean()))


def test_by_class(network: Network, folder: Path, run: Run) -> None:
    outcomes = intervene(network, run, data=folder, workers=0)
    table = outcomes.by_class()
    assert list(table.columns[:5]) == ["block", "stage", "intervention", "class", "class_name"]
    assert list(table["class"].iloc[:3]) == list(NAMES)
    constant = table[(table["block"] == "SE_2_1") & (table["intervention"] == "constant")].set_index("class")
    assert constant["accuracy"].to_dict() == {"blue": 0, "green": 0, "red": 1}
    assert constant["images"].to_dict() == {"blue": 4, "green": 3, "red": 5}
    by_block = outcomes.by_block()
    for column in ("accuracy", "drop", "changed", "logit_change", "loss_change"):
        weighted = (table[column] * table["images"]).groupby([table["block"], table["intervention"]]).sum() / 12
        expected = by_block.set_index(["block", "intervention"])[column]
        pd.testing.assert_series_equal(weighted.sort_index(), expected.sort_index(), check_names=False)


def made_outcomes() -> Outcomes:
    """Eight images; the first has no donor."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    predicted = np.array([[0, 0, 1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 0, 1, 1, 0]])
    there = np.ones((2, 8), bool)
    there[1, 0] = False
    return Outcomes(
        conditions=(("", "none"), ("SE_3_1", "across")),
        stages={"SE_3_1": 3},
        classes=Classes(("a", "b"), ("A", "B")),
        labels=labels,
        predicted=predicted.astype(np.int32),
        logits=np.array([np.zeros(8), np.arange(8)], np.float32),
        losses=np.array([np.ones(8), np.arange(8)], np.float32),
        there=there,
        failed=0,
        remarks=("a sentence",),
    )


def test_shares_and_intervals_are_of_the_images_that_had_a_donor() -> None:
    table = made_outcomes().by_block(confidence=0.9)
    row = cell(table, "SE_3_1", "across")
    # Of the seven: right before are 1, 3, 4, 5, 6, right now 2, 3, 5, 6.
    assert row["images"] == 7
    assert row["accuracy"] == pytest.approx(4 / 7)
    assert row["drop"] == pytest.approx(1 / 7)
    assert row["changed"] == pytest.approx(3 / 7)
    assert row["logit_change"] == 4
    assert row["loss_change"] == 3
    np.testing.assert_allclose([row["low"], row["high"]], share_interval(4, 7, confidence=0.9))
    np.testing.assert_allclose([row["drop_low"], row["drop_high"]], difference_interval(3, 2, 1, 1, confidence=0.9))
    assert cell(table, "", "none")["images"] == 8
    assert table.attrs["remarks"] == ["a sentence"]
    alone = replace(made_outcomes(), there=np.array([[True] * 8, [False] * 8])).by_block()
    assert cell(alone, "SE_3_1", "across").drop(["block", "stage", "intervention", "images"]).isna().all()
    with pytest.raises(OptionError, match="confidence is 1, expected between 0 and 1"):
        made_outcomes().by_block(confidence=1)


def test_donors_are_of_the_class_asked_for_and_never_the_image_itself(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], [4, 1, 3])
    gates = np.arange(8.0)[:, None] / 8 * np.ones((8, 2))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, labels)
    donors = Donors(run, ["SE_2_1"], seed=0)
    paths = [f"{k:06d}.png" for k in range(8)]
    seen = {what: np.zeros((8, 8), int) for what in ("within", "across")}
    for _ in range(600):
        for what, drawn in donors.draw(labels, paths).items():
            values = donors.gates("SE_2_1", drawn)
            found = np.rint(values[:, 0] * 8).astype(int)
            for k in np.flatnonzero(drawn >= 0):
                seen[what][k, found[k]] += 1
    same = labels[:, None] == labels
    expected = {"within": same & ~np.eye(8, dtype=bool), "across": ~same}
    for what, allowed in expected.items():
        assert (seen[what][~allowed] == 0).all()
        count = allowed.sum(1)
        assert (seen[what].sum(1) == np.where(count > 0, 600, 0)).all()
        shares = seen[what][allowed] / 600 * np.repeat(count, count)
        assert (abs(shares - 1) < 0.35).all()
    elsewhere = donors.draw(labels[:4], ["other.png"] * 4)["within"]
    assert (elsewhere >= 0).all()


def test_draws_do_not_depend_on_batches_but_on_the_seed(network: Network, folder: Path, run: Run) -> None:
    options = {"blocks": ["SE_2_1"], "interventions": ["across"], "workers": 0}
    one, two = (intervene(network, run, data=folder, batch_size=size, **options) for size in (12, 5))
    np.testing.assert_allclose(one.logits, two.logits, atol=1e-6)
    other = intervene(network, run, data=folder, seed=1, **options)
    assert (one.predicted[1] != other.predicted[1]).any()


def test_what_is_to_be_known_is_said(
    network: Network, folder: Path, run: Run, make_folder: Callable[..., Path]
) -> None:
    single = make_folder({"blue": 2, "green": 1, "red": 2}, "single")
    small = seviz.collect(network, single, run.path.parent / "small", workers=0, compile="off")
    (single / "red" / "000.png").write_bytes(b"")
    with torch.no_grad():
        network.model.second.excite.bias += 1
    changed = replace(network, trained=False)
    remarks = intervene(changed, small, data=single, blocks=["SE_2_1"], workers=0).by_class().attrs["remarks"]
    assert [remark.split(":")[0] for remark in remarks] == [
        "The weights of the SE blocks are untrained",
        "The run is of a network with other weights",
        "Left out of within or across, for want of a donor in the run",
        "Left out since they could not be read",
    ]
    assert intervene(changed, small, data=single, blocks=["SE_2_1"], workers=0).failed == 1


def test_batches_in_memory(network: Network, tmp_path: Path) -> None:
    images = torch.zeros(9, 3, 16, 16)
    labels = torch.arange(9) % 3
    images[range(9), labels] = 0.8 + 0.01 * torch.arange(9)[:, None, None]
    batches = [(images[:4], labels[:4]), (images[:0], labels[:0]), (images[4:], labels[4:])]
    run = seviz.collect(network, batches, tmp_path / "memory", compile="off")
    table = intervene(network, run, data=batches, blocks=["SE_2_1"]).by_block()
    assert cell(table, "SE_2_1", "within")["accuracy"] == 1
    assert cell(table, "SE_2_1", "across")["accuracy"] == 0
    assert (table["images"] == 9).all()


def test_swap_gives_images_the_class_of_the_donor(network: Network, folder: Path, run: Run) -> None:
    table = swap(network, run, "SE_2_1", data=folder, workers=0, batch_size=5)
    assert list(table["donor"]) == [name for name in NAMES for _ in range(3)]
    assert list(table["target"]) == list(NAMES) * 3
    same = table["donor"] == table["target"]
    assert (table["predicted_donor"] == 1).all()
    assert (table["predicted_donor_before"] == same).all()
    assert (table["accuracy"] == same).all()
    assert (table["accuracy_before"] == 1).all()
    assert table["images"].tolist() == [4, 3, 5] * 3
    means = run.moments("SE_2_1").mean
    data = open_dataset(folder)
    images = torch.stack([network.preprocess(data.read(k).image) for k in range(len(data))])
    with torch.no_grad():
        u, plain = network.model.stem(images), network.model(images).numpy()
        for donor in range(3):
            s = torch.as_tensor(means[donor]).float()[None, :, None, None]
            logits = network.model.second(u * s).mean((2, 3))[:, 3:].numpy()
            for target in range(3):
                row = table[(table["donor"] == NAMES[donor]) & (table["target"] == NAMES[target])].iloc[0]
                change = (logits - plain)[data.labels == target].mean(0)
                np.testing.assert_allclose(
                    [row["logit_donor"], row["logit_target"]], change[[donor, target]], atol=1e-5
                )


def test_swap_of_some_classes(network: Network, folder: Path, run: Run) -> None:
    table = swap(network, run, "SE_2_2", data=folder, classes=["RED", "blue"], workers=0)
    assert list(zip(table["donor"], table["target"], strict=True)) == [
        ("red", "red"),
        ("red", "blue"),
        ("blue", "red"),
        ("blue", "blue"),
    ]
    assert (table["accuracy"] == 1).all()
    assert table["images"].tolist() == [5, 4, 5, 4]
    some = open_dataset(folder, classes=["blue"])
    assert np.isnan(swap(network, run, "SE_2_2", data=some, workers=0).set_index("target").loc["red", "accuracy"]).all()


def test_wrong_use(network: Network, folder: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="interventions has 'shuffle', expected some of identity, zero, constant"):
        intervene(network, run, data=folder, interventions=["shuffle"])
    with pytest.raises(OptionError, match="no block 'SE_9_9' in tests/read_from_gates; it has SE_2_1, SE_2_2"):
        intervene(network, run, data=folder, blocks=["SE_9_9"])
    with pytest.raises(OptionError, match="no block 'SE_9_9'"):
        swap(network, run, "SE_9_9", data=folder)
    labels, gates = np.arange(6) % 3, np.full((6, 6), 0.5)
    other = make_run(tmp_path / "other", {"SE_2_1": gates}, labels, classes=NAMES)
    with pytest.raises(OptionError, match=r"is of another network .* than .*: SE_2_2 has no channels there, 6 here"):
        intervene(network, other, data=folder)
    both = {"SE_2_1": gates, "SE_2_2": gates}
    none = make_run(tmp_path / "none", both, labels, classes=NAMES, kept=np.zeros(6, bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        intervene(network, none, data=folder)
    assert len(intervene(network, none, data=folder, interventions=["constant"], workers=0).by_block()) == 3
    many = make_run(tmp_path / "many", both, np.eye(3, dtype=bool)[labels], classes=NAMES)
    with pytest.raises(OptionError, match="cannot tell of what class a donor is: its images have several classes"):
        intervene(network, many, data=folder)
    with pytest.raises(UnknownClassError, match="no class 'pug'"):
        swap(network, run, "SE_2_1", data=folder, classes=["pug"])
    two = make_run(tmp_path / "two", both, np.arange(6) % 2, classes=NAMES[:2])
    two.manifest = replace(two.manifest, data=replace(two.manifest.data, model_classes=None))
    with pytest.raises(OptionError, match="cannot tell of what class a donor is: its classes are not the network's"):
        swap(network, two, "SE_2_1", data=folder)
    empty = make_run(tmp_path / "empty", both, np.arange(6) % 2 * 2, classes=NAMES)
    with pytest.raises(OptionError, match=r"class 'green' has no image in the run .* so no mean gates to give"):
        swap(network, empty, "SE_2_1", data=folder, classes=["green", "red"])
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(EmptyDataError, match=r"none of the 12 images of data .* can be read"):
        intervene(network, run, data=folder, workers=0)


def test_an_image_whose_logits_are_not_finite_is_taken_for_nothing(network: Network, run: Run) -> None:
    images, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    images[2] = torch.nan
    outcomes = intervene(network, run, data=[(images, labels)], interventions=["identity"])
    assert (outcomes.predicted[:, 2] == -1).all()
    with torch.no_grad():
        expected = network.model(images).argmax(1)
    assert outcomes.predicted[0, [0, 1, 3]].tolist() == expected[[0, 1, 3]].tolist()
