from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seviz.errors import MissingSignalError, OptionError
from seviz.tables.channels import KINDS, channels
from tests.made_runs import make_run

LABELS = np.repeat(range(4), (10, 8, 12, 6))
NAMES = ("cat", "dog", "ship", "truck")


def gates(labels: NDArray[np.int64] = LABELS) -> NDArray[np.float64]:
    """Channel 0 is excited by class 2 and shut by class 0; channel 1 is noise; channel 2 is constant."""
    random = np.random.default_rng(0)
    x = 0.5 + 0.03 * random.normal(size=(len(labels), 3))
    x[:, 0] += np.array([-0.3, 0, 0.3, 0.1])[labels]
    x[:, 2] = 0.1
    return x


def test_classes_and_images_of_a_channel(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS, classes=NAMES, failed=[20])
    table = channels(run, "SE_2_1", number=3)
    assert table.attrs["remarks"] == []
    assert list(dict.fromkeys(table["kind"])) == list(KINDS)
    own = table[table["channel"] == 0].set_index(["kind", "rank"])
    assert next(iter(own.loc["favoured class", "class_name"])) == "ship"
    assert next(iter(own.loc["avoided class", "class_name"])) == "cat"
    x, good = run.gates("SE_2_1")[:, 0].astype(np.float64), np.arange(36) != 20
    ship, rest = x[good & (LABELS == 2)], x[good & (LABELS != 2)]
    row = own.loc[("favoured class", 1)]
    assert row["difference"] == pytest.approx(
        (ship.mean() - rest.mean()) / np.sqrt((ship.var(ddof=1) + rest.var(ddof=1)) / 2), rel=1e-3
    )
    assert row["value"] == pytest.approx(ship.mean(), abs=1e-5)
    assert (row["images"], row["path"]) == (11, "")
    order = np.argsort(np.where(good, x, np.inf))
    for kind, rows in (("least excited", order[:3]), ("most excited", order[:-1][::-1][:3])):
        part = own.loc[kind]
        assert list(part["path"]) == [f"{row:06d}.png" for row in rows]
        np.testing.assert_allclose(part["value"], x[rows])
        assert list(part["class_name"]) == [NAMES[LABELS[row]] for row in rows]
        assert part["difference"].isna().all()
        assert (part["images"] == 1).all()
    assert "000020.png" not in set(table["path"])


def test_no_class_is_favoured_and_avoided(tmp_path: Path) -> None:
    table = channels(make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS), "SE_2_1")
    assert (table.loc[table["kind"] == "favoured class", "difference"] > 0).all()
    assert (table.loc[table["kind"] == "avoided class", "difference"] < 0).all()
    classes = table[table["kind"].str.endswith("class")]
    assert not classes.duplicated(["channel", "class"]).any()
    assert (classes[classes["channel"] < 2].groupby("channel").size() == 4).all()
    assert not (classes["channel"] == 2).any()  # a constant channel favours none
    same = table[(table["channel"] == 2) & (table["kind"] == "most excited")]
    assert list(same["path"]) == [f"{row:06d}.png" for row in range(5)]


def test_chosen_channels_come_in_their_order(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS)
    table = channels(run, "SE_2_1", only=[1, 0], number=2)
    assert list(dict.fromkeys(table["channel"])) == [1, 0]
    full = channels(run, "SE_2_1", number=2)
    for channel in (0, 1):
        part, whole = (t[t["channel"] == channel].reset_index(drop=True) for t in (table, full))
        assert part.equals(whole)


def test_images_with_several_classes(tmp_path: Path) -> None:
    members = np.random.default_rng(0).random((36, 3)) < 0.5
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, members, classes=("cat", "dog", "ship"))
    row = channels(run, "SE_2_1", number=1).set_index("kind").loc["most excited"].iloc[0]
    image = int(row["path"][:6])
    assert row["class_name"] == "|".join(np.array(["cat", "dog", "ship"])[members[image]])
    assert row["class"] == run.samples["class"][image]


def test_without_gates_there_are_classes_only(tmp_path: Path) -> None:
    run = make_run(tmp_path / "none", {"SE_2_1": gates()}, LABELS, kept=np.zeros(36, bool))
    table = channels(run, "SE_2_1")
    assert set(table["kind"]) == {"favoured class", "avoided class"}
    assert table.attrs["remarks"] == [
        "The run keeps the gates of no image: the images that excite a channel are not known."
    ]
    some = channels(make_run(tmp_path / "some", {"SE_2_1": gates()}, LABELS, kept=LABELS == 0), "SE_2_1")
    assert set(some.loc[some["path"] != "", "class"]) == {"class0"}
    assert some.attrs["remarks"] == ["Images are among the 10 of 36 whose gates the run keeps."]


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        (np.zeros(5, int), []),
        (np.arange(5), []),
        (np.array([0, 0, 2, 2, 2]), [1, 2, 3, 4]),
        (np.array([0, 0, 2, 2, 2]), range(5)),
        (np.zeros((5, 2), bool), []),
    ],
    ids=["one class", "one image a class", "one image", "no image", "no labels"],
)
def test_next_to_nothing_is_quiet(labels: NDArray[np.int64], failed: list[int], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates(np.zeros(5, int))}, labels, failed=list(failed))
    table = channels(run, "SE_2_1")
    assert not table["kind"].str.endswith("class").any()
    assert len(table) == 3 * 2 * (5 - len(failed))


def test_what_is_not_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS)
    with pytest.raises(OptionError, match="number is 0, expected at least 1 class or image"):
        channels(run, "SE_2_1", number=0)
    with pytest.raises(OptionError, match="no channel 3 in SE_2_1; it has 3, from 0 to 2"):
        channels(run, "SE_2_1", only=[0, 3])
    with pytest.raises(MissingSignalError, match="no block 'SE_5_1'"):
        channels(run, "SE_5_1")
