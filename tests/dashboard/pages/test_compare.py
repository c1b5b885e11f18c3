"""Compare: what two runs are of, what differs, shift by depth, agreement, and the gates of a block in both."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from seviz.dashboard.escaping import escaped
from seviz.run.manifest import checksum_of
from seviz.run.store import Run
from seviz.stats.distances import distances
from seviz.tables.compare import compare
from seviz.tables.kept import keep_table
from seviz.tables.specificity import specificity
from tests.dashboard.drawing import Open
from tests.dashboard.other_runs import CLASSES, SAME, other_run
from tests.made_runs import make_run


def tables(test: Any, key: str) -> list[pd.DataFrame]:
    """The data of the chart that has such a field on an axis, as the browser gets them; none where there is no such."""
    for chart in test.get("vega_lite_chart"):
        if f'"field": "{key}"' in chart.proto.spec:
            return [pa.ipc.open_stream(each.data.data).read_pandas() for each in chart.proto.datasets]
    return []


def having(test: Any, key: str) -> pd.DataFrame:
    """The one of them with that column, and the most rows."""
    return max((table for table in tables(test, key) if key in table), key=len)


def said(test: Any) -> str:
    """All that the page says beside its widgets."""
    return "\n".join(text.value for text in [*test.markdown, *test.info, *test.warning, *test.error, *test.caption])


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of the same blocks and classes, with its specificity computed."""
    run = other_run(tmp_path_factory.mktemp("second") / "second", SAME, trained=False)
    keep_table(run, "specificity")
    return run


def test_without_a_second_run_the_page_says_how_to_get_one(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run)
    assert "Only one run is open" in said(test)
    test = open_page("compare", planted_run, second_run)
    assert "Select a **second run** in the sidebar" in said(test)
    test.selectbox(key="widget_against").set_value("second").run()
    assert not test.exception
    assert test.query_params["against"] == "second"
    assert "What differs" in [each.value for each in test.subheader]


def test_figures_and_differences(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second")
    figures = [(metric.label, metric.value) for metric in test.metric]
    assert figures == [
        ("Images", "200"),
        ("Classes", "4"),
        ("SE blocks", "3"),
        ("Top-1", "100.0%"),
        ("Images", "120"),
        ("Classes", "4"),
        ("SE blocks", "3"),
        ("Top-1", "100.0%"),
    ]
    table = test.dataframe[0].value
    rows = {row.iloc[0]: (row.iloc[1], row.iloc[2]) for _, row in table.iterrows()}
    assert rows["weights"] == ("pretrained", "none")
    assert rows["SE weights"] == ("trained", "untrained")
    assert rows["images"] == ("200", "120")
    assert "classes of the data" not in rows


def test_the_profiles_of_both(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second")
    drawn = having(test, "omega_squared")
    for name, run in (("planted", planted_run), ("second", second_run)):
        of_run = drawn[drawn["run"] == name]
        assert of_run["block"].tolist() == list(run.blocks)
        np.testing.assert_allclose(of_run["omega_squared"], specificity(run)["omega_squared"])


def test_the_profile_of_a_network_with_a_block_less(open_page: Open, planted_run: Run, tmp_path: Path) -> None:
    """Each block stands where its counterpart does, not where it comes in its own order."""
    folded = other_run(tmp_path / "folded", [SAME[0], SAME[2]])
    keep_table(folded, "specificity")
    test = open_page("compare", planted_run, folded, against="folded")
    drawn = having(test, "omega_squared")
    assert drawn[drawn["run"] == "folded"]["place"].tolist() == ["SE_2_1", "SE_4_1"]
    assert drawn[drawn["run"] == "planted"]["place"].tolist() == ["SE_2_1", "SE_3_1", "SE_4_1"]
    assert escaped("Without counterpart in 'folded': SE_3_1 of 'planted'.") in said(test)
    assert having(test, "value")["paired_by"].tolist() == ["path", "path"]


def test_one_offer_where_both_runs_lack_their_tables(open_page: Open, tmp_path: Path) -> None:
    one, other = other_run(tmp_path / "one", SAME), other_run(tmp_path / "other", SAME)
    test = open_page("compare", one, other, against="other")
    assert [button.label for button in test.button] == ["Compute"]
    assert "Of the run one" in said(test)
    keep_table(one, "specificity")
    test = open_page("compare", one, other, against="other")
    assert "Of the run other" in said(test)
    assert tables(test, "value")


@pytest.mark.parametrize("quantity", ["shift", "difference", "change"])
def test_shifts_by_depth(quantity: str, open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second", by=quantity, match="position")
    drawn = having(test, "value")
    expected = compare(planted_run, second_run, match="position")
    np.testing.assert_allclose(drawn["value"], expected[quantity])
    ends = {"shift": "{}", "difference": "difference_{}", "change": "change_{}"}[quantity]
    for end in ("low", "high"):
        np.testing.assert_allclose(drawn[end], expected[ends.format(end)])
    if quantity == "difference":
        means = [run[planted_run.blocks[2]]["mean"].to_numpy() for run in (planted_run, second_run)]
        assert drawn["value"][2] == pytest.approx((means[1] - means[0]).mean())
    assert "are untrained" in said(test)
    assert (test.query_params["by"], test.query_params["match"]) == (quantity, "position")


def test_agreement_on_which_classes_are_alike(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second")
    drawn = having(test, "column").set_index(["row", "column"])["value"]
    apart = [
        distances(run[block]["mean"].to_numpy())[np.triu_indices(4, 1)]
        for run, block in ((planted_run, "SE_4_1"), (second_run, "SE_3_1"))
    ]
    assert drawn["SE_4_1", "SE_3_1"] == pytest.approx(spearmanr(*apart).statistic)
    assert len(drawn) == 9


def test_gates_of_a_block_in_both(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second", block="SE_3_1", classes="dog|truck")
    drawn = having(test, "one")
    assert len(drawn) == 2 * 12
    dog = drawn[drawn["label"] == "dog"].sort_values("channel")
    np.testing.assert_allclose(dog["one"], planted_run["SE_3_1"]["mean"].sel({"class": "dog"}))
    np.testing.assert_allclose(dog["other"], second_run["SE_3_1"]["mean"].sel({"class": "dog"}))
    test.multiselect(key="widget_classes").set_value(["ship"]).run()
    assert set(having(test, "one")["label"]) == {"ship"}
    assert test.query_params["classes"] == "ship"


def test_other_networks_and_classes(open_page: Open, planted_run: Run, tmp_path: Path) -> None:
    other = other_run(tmp_path / "other", (("SE_7_1", 8), ("SE_7_2", 10)), ("fish", "bird", "frog"))
    keep_table(other, "specificity")
    test = open_page("compare", planted_run, other, against="other", block="SE_4_1")
    assert test.query_params["against"] == "other"
    text = said(test)
    assert "no class in common" in text
    assert "Blocks were paired by their place in the order of depth" in text
    assert "has no counterpart in other" in text
    test = open_page("compare", planted_run, other, against="other", match="name", block="SE_2_1")
    assert "No block of one run has the name of a block of the other" in said(test)
    test = open_page("compare", planted_run, other, against="other", match="position", block="SE_3_1")
    assert "SE_3_1 has 12 channels and its counterpart SE_7_2 10" in said(test)
    test = open_page("compare", planted_run, other, against="other", match="position", block="SE_2_1")
    assert "None of these classes is in both runs" in said(test)


def test_two_classes_in_common(open_page: Open, planted_run: Run, tmp_path: Path) -> None:
    other = other_run(tmp_path / "other", SAME, ("ship", "cat", "fish"))
    test = open_page("compare", planted_run, other, against="other")
    assert "The runs share 2 classes: agreement needs at least three" in said(test)
    assert "2 of these classes are not in the second run" in said(test)
    drawn = having(test, "one")
    assert set(drawn["label"]) == {"cat", "ship"}


def test_several_labels_no_kept_gates_and_a_class_without_images(
    open_page: Open, planted_run: Run, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    labels = np.zeros((20, 4), bool)
    labels[:, 0], labels[::2, 1], labels[::3, 2] = True, True, True
    gates = {name: random.random((20, channels)) for name, channels in SAME}
    several = make_run(tmp_path / "several", gates, labels, classes=CLASSES, kept=np.zeros(20, bool), failed=[3])
    test = open_page("compare", planted_run, several, against="several", classes="truck", block="SE_4_1")
    assert "Of these classes one of the runs has no images" in said(test)
    assert "Images have one class in one run and several in the other" in said(test)
    test = open_page("compare", several, planted_run, against="planted", classes="cat", block="SE_4_1")
    assert len(having(test, "one")) == 16


def test_runs_without_predictions(open_page: Open, planted_run: Run, tmp_path: Path) -> None:
    run = other_run(tmp_path / "blind", SAME)
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["data"]["model_classes"] = None
    del manifest["checksum"]
    (run.path / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum_of(manifest)}))
    samples = pd.read_parquet(run.path / "samples.parquet")
    samples = samples.assign(**dict.fromkeys(("correct", "in_top5"), pd.array([pd.NA] * len(samples), "boolean")))
    samples.to_parquet(run.path / "samples.parquet")
    test = open_page("compare", planted_run, run, against="blind")
    assert [metric.value for metric in test.metric if metric.label == "Top-1"] == ["100.0%", "not known"]


def test_large_runs_are_compared_when_asked(
    open_page: Open, planted_run: Run, second_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seviz.dashboard.pages.compare.QUICK", 100)
    test = open_page("compare", planted_run, second_run, against="second")
    assert not tables(test, "value")
    test.button(key="compare_shift_button").click().run()
    np.testing.assert_allclose(having(test, "value")["value"], compare(planted_run, second_run)["shift"])
    test.button(key="compare_agreement_button").click().run()
    assert len(having(test, "column")) == 9
    assert tables(test, "low")  # what was asked for stays


@pytest.mark.parametrize("value", ["x", "<b>", "name|position"])
def test_odd_addresses(value: str, open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("compare", planted_run, second_run, against="second", match=value, by=value)
    np.testing.assert_allclose(having(test, "value")["value"], compare(planted_run, second_run)["shift"])
    assert "Select a **second run**" in said(open_page("compare", planted_run, second_run, against=value))


def test_names_of_runs_are_no_markdown(open_page: Open, planted_run: Run, tmp_path: Path) -> None:
    run = other_run(tmp_path / "*bold*", SAME)
    test = open_page("compare", planted_run, run, against="*bold*")
    assert "**\\*bold\\***" in said(test)
