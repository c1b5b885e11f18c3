from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch.nn import functional as F

from seviz.capture.datasets import open_dataset
from seviz.classes import Classes
from seviz.compression.curves import Condition, Curves, masking_curve
from seviz.compression.importance import importance
from seviz.compression.masking import lowest
from seviz.errors import EmptyDataError, OptionError
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.networks import Network
from seviz.options import Reading
from tests.compression.masked_by_hand import by_hand


def test_curves_are_those_of_networks_masked_by_hand(tiny_network: Network, make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"blue": 4, "green": 3, "red": 5})
    data = open_dataset(folder)
    images = torch.stack([tiny_network.preprocess(data.read(k).image) for k in range(len(data))])
    labels = torch.as_tensor(data.labels)
    scores: dict[str | tuple[str, int], pd.DataFrame] = {
        "l1": importance(tiny_network, None, "l1"),
        ("random", 1): importance(tiny_network, None, "random:1"),
        ("random", 2): importance(tiny_network, None, "random:2"),
    }
    seen: list[int] = []
    curves = masking_curve(
        tiny_network,
        folder,
        scores,
        fractions=[0.5, 0.25],
        scope="block",
        reading=Reading(batch_size=5, workers=0, progress=lambda done, _: seen.append(done)),
    )
    assert seen == [5, 10, 12]
    assert curves.paths == tuple(data.paths)
    rows = curves.table()
    assert rows["criterion"].tolist() == ["l1"] * 3 + ["random"] * 6
    assert rows["seed"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert rows["fraction"].tolist() == [0, 0.25, 0.5] * 3
    assert rows["channels"].tolist() == [0, 9, 18] * 3
    assert set(rows["scope"]) == {"block"}
    plain = by_hand(tiny_network, images, {}).argmax(1) == labels
    for row in rows.itertuples():
        of = scores["l1" if row.criterion == "l1" else ("random", row.seed)]
        shut = {b: [int(k) for k in v] for b, v in lowest(of, row.fraction, scope="block").items()}
        logits = by_hand(tiny_network, images, shut)
        right = logits.argmax(1) == labels
        assert row.images == 12
        assert row.accuracy == pytest.approx(right.double().mean().item())
        assert row.drop == pytest.approx((plain.double() - right.double()).mean().item())
        assert row.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
        assert np.isnan(row.top5)  # of three classes
        np.testing.assert_allclose([row.low, row.high], share_interval(int(right.sum()), 12))
        counts = [(a & b).sum().item() for a, b in ((plain, right), (plain, ~right), (~plain, right), (~plain, ~right))]
        ends = difference_interval(*counts) if row.fraction else (0, 0)
        np.testing.assert_allclose([row.drop_low, row.drop_high], ends)
    few = masking_curve(tiny_network, folder, scores, fractions=[], reading=Reading(per_class=2, workers=0))
    assert few.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(few.conditions) == 3


def made(right: Mapping[tuple[str, int, float], list[int]]) -> Curves:
    """Images of two classes, the last two of the second; told right or not."""
    labels = np.array([0] * (len(next(iter(right.values()))) - 2) + [1, 1])
    conditions = tuple(Condition(c, s, f, round(10 * f)) for c, s, f in right)
    hit = np.array(list(right.values()), bool)
    return Curves(
        conditions=conditions,
        scope="global",
        classes=Classes(("n0", "n1"), ("cat", "dog")),
        labels=labels,
        predicted=np.where(hit, labels, 1 - labels).astype(np.int32),
        in_top5=np.ones(hit.shape, bool),
        losses=1 - hit.astype(np.float32),
        paths=tuple(str(k) for k in range(len(labels))),
        failed=0,
    )


def test_by_class() -> None:
    curves = made({("l1", 0, 0.0): [1, 1, 1, 0, 1], ("l1", 0, 0.5): [1, 0, 1, 0, 0]})
    rows = curves.by_class(confidence=0.9)
    assert rows["fraction"].tolist() == [0, 0, 0.5, 0.5]
    assert rows["class"].tolist() == ["n0", "n1"] * 2
    assert rows["class_name"].tolist() == ["cat", "dog"] * 2
    assert rows["images"].tolist() == [3, 2] * 2
    np.testing.assert_allclose(rows["accuracy"], [1, 1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(rows[["low", "high"]].iloc[2], share_interval(2, 3, confidence=0.9))


def test_mean_over_seeds() -> None:
    before = [1, 1, 1, 1, 0]
    curves = made(
        {
            ("a", 0, 0.0): before,
            ("a", 0, 0.5): [1, 1, 0, 0, 0],
            ("b", 0, 0.0): before,
            ("b", 0, 0.5): [1, 1, 1, 0, 0],
            ("b", 1, 0.0): before,
            ("b", 1, 0.5): [1, 0, 0, 0, 0],
        }
    )
    rows = curves.mean().set_index(["criterion", "fraction"])
    assert rows.loc[("a", 0.5), "seeds"] == 1
    np.testing.assert_allclose(rows.loc[("a", 0.5), ["low", "high"]].tolist(), share_interval(2, 5))
    row = rows.loc[("b", 0.5)]
    assert (row["seeds"], row["images"], row["channels"]) == (2, 5, 5)
    assert row["accuracy"] == pytest.approx(0.4)
    assert row["drop"] == pytest.approx(0.4)
    assert row["loss"] == pytest.approx(0.6)
    # Satterthwaite by hand: shares of seeds 1, .5, .5, 0, 0, and accuracies .6, .2.
    images, seeds = np.var([1, 0.5, 0.5, 0, 0], ddof=1) / 5, np.var([0.6, 0.2], ddof=1) / 2
    freedom = (images + seeds) ** 2 / (images**2 / 4 + seeds**2 / 1)
    of = 0.24 / (images + seeds) * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, freedom)) ** 2
    np.testing.assert_allclose([row["low"], row["high"]], share_interval(0.4 * of, of))
    same = rows.loc[("b", 0.0)]  # seeds that tell all images alike are one
    np.testing.assert_allclose([same["low"], same["high"]], share_interval(4, 5))


def test_the_interval_over_seeds_covers_what_it_says() -> None:
    """Seeds and images drawn anew, each with an effect of its own."""
    random = np.random.default_rng(0)
    covered, times = 0, 300
    truth = stats.norm.cdf(0.3 / np.sqrt(0.25**2 + 1 + 1))
    for _ in range(times):
        seed, image = 0.25 * random.normal(size=(3, 1)), random.normal(size=(1, 150))
        right: NDArray[np.bool_] = 0.3 + seed + image + random.normal(size=(3, 150)) > 0
        curves = made({("r", s, 0.5): [int(each) for each in right[s]] for s in range(3)})
        row = curves.mean().iloc[0]
        covered += bool(row["low"] <= truth <= row["high"])
    assert 0.91 <= covered / times <= 0.99


def test_options_and_images_are_checked(tiny_network: Network, make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"blue": 1, "green": 1, "red": 1})
    scores = importance(tiny_network, None, "l1")
    with pytest.raises(OptionError, match="scores is empty, expected a table for each criterion"):
        masking_curve(tiny_network, folder, {}, fractions=[0.5])
    with pytest.raises(OptionError, match="scores has a criterion both without a seed and with seed 0"):
        masking_curve(tiny_network, folder, {"l1": scores, ("l1", 0): scores}, fractions=[0.5])
    with pytest.raises(OptionError, match="fraction is 2"):
        masking_curve(tiny_network, folder, {"l1": scores}, fractions=[2])
    other = replace(tiny_network, classes=Classes(("a", "b"), ("a", "b")))
    with pytest.raises(OptionError, match="are not those of tests/tiny"):
        masking_curve(other, folder, {"l1": scores}, fractions=[0.5], reading=Reading(workers=0))
    curves = made({("l1", 0, 0.0): [1, 1, 0]})
    for make in (curves.table, curves.by_class, curves.mean):
        with pytest.raises(OptionError, match="confidence is 1, expected between 0 and 1"):
            make(confidence=1)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(EmptyDataError, match=r"none of the 3 images of data .* can be read; `seviz scan` says why"):
        masking_curve(tiny_network, folder, {"l1": scores}, fractions=[0.5], reading=Reading(workers=0))
