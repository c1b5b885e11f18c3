"""Channel: what its page shows is what the run holds, and every view of it is an address."""

import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from seviz.dashboard.pages import channel as page
from seviz.run.store import Run
from seviz.tables.kept import keep_table
from tests.dashboard.drawing import Open
from tests.made_runs import make_run


def charts(test: Any) -> list[list[pd.DataFrame]]:
    """The data of each chart, as the browser gets them."""
    return [
        [pa.ipc.open_stream(io.BytesIO(each.data.data)).read_pandas() for each in chart.proto.datasets]
        for chart in test.get("vega_lite_chart")
    ]


def links(test: Any) -> dict[str, dict[str, str]]:
    """Where links lead, by their label."""
    found = {link.proto.label: parse_qs(link.proto.query_string) for link in test.get("page_link")}
    return {label: {key: values[0] for key, values in query.items()} for label, query in found.items()}


def texts(test: Any) -> str:
    return "\n".join(
        str(each.value) for kind in ("markdown", "caption", "info", "subheader") for each in getattr(test, kind)
    )


def offered(test: Any) -> list[str]:
    """The tables that the page offers to compute."""
    said = [re.fullmatch(r"\*\*Not computed yet: (.*?)\.\*\*.*", each.value) for each in test.markdown]
    return [found[1] for found in said if found]


def test_the_gate_by_class_is_that_of_the_images(open_page: Open, planted_run: Run) -> None:
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    gates, labels = planted_run.gates("SE_4_1")[:, 5], planted_run.labels
    by_name = {name: gates[labels == k] for k, name in enumerate(planted_run.classes.names)}
    boxes, bars = charts(test)
    ticks, spread = sorted(boxes, key=lambda table: len(table.columns))
    for name, own in by_name.items():
        row = spread.set_index("name").loc[name]
        assert row["middle"] == pytest.approx(np.median(own), abs=1e-5)
        assert row["lower"] == pytest.approx(np.quantile(own, 0.25), abs=1e-5)
        assert sorted(ticks.loc[ticks["name"] == name, "gate"]) == pytest.approx(sorted(own), abs=1e-5)
    falling = sorted(by_name, key=lambda name: -by_name[name].mean())
    assert spread["name"].tolist() == bars[0]["name"].tolist() == falling
    best = max(by_name, key=lambda name: bars[0].set_index("name")["difference"][name])
    assert f"**Favours** {best}" in texts(test)
    assert all(chart.proto.alt for chart in test.get("vega_lite_chart"))


def test_neighbours_are_links(open_page: Open, planted_run: Run) -> None:
    found = links(open_page("channel", planted_run, block="SE_3_1", channel="10"))
    run = planted_run.path.name
    assert found["Channel 9"] == {"run": run, "block": "SE_3_1", "channel": "9"}
    assert found["Channel 11"] == {"run": run, "block": "SE_3_1", "channel": "11"}
    assert found["SE_4_1, channel 10"] == {"run": run, "block": "SE_4_1", "channel": "10"}
    assert found["SE_2_1, channel 0"]["channel"] == "0"  # which has eight channels
    ends = links(open_page("channel", planted_run, block="SE_2_1", channel="7"))
    assert "Channel 8" not in ends
    assert "Channel 6" in ends


def test_the_channel_is_in_the_address_and_comes_back(open_page: Open, planted_run: Run) -> None:
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    assert test.number_input(key="widget_channel").value == 5
    test.number_input(key="widget_channel").set_value(12).run()
    assert test.query_params["channel"] == "12"
    assert any("Gate of channel 12 by class" in each.value for each in test.subheader)
    test.selectbox(key="widget_block").set_value("SE_2_1").run()
    assert not test.exception
    assert test.number_input(key="widget_channel").value == 0  # there is no twelfth


@pytest.mark.parametrize("channel", ["-1", "16", "99999999999999999999", "x", "<script>", "1.5", "٣", ""])
def test_an_odd_channel_is_the_first(channel: str, open_page: Open, planted_run: Run) -> None:
    test = open_page(
        "channel", planted_run, block="SE_4_1", channel=channel, each="-3", source="<b>", pictures="1e9", classes="|x|"
    )
    assert test.number_input(key="widget_channel").value == (3 if channel == "٣" else 0)


def test_measures_and_correlated_channels(open_page: Open, planted_run: Run) -> None:
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    figures = {metric.label: metric.value for metric in test.metric}
    gates = planted_run.gates("SE_4_1").astype(float)
    assert figures["Mean gate"] == f"{gates[:, 5].mean():.3f}"
    assert set(figures) >= {"Between classes", "d′ of the best class", "Selectivity index", "Near 0 or 1"}
    assert not test.button  # all tables are kept
    r = np.delete(np.corrcoef(gates.T)[5], 5)
    strongest = int(np.delete(np.arange(16), 5)[np.abs(r).argmax()])
    label = next(label for label in links(test) if " (r " in label)
    assert label.startswith(f"{strongest} (r ")
    assert links(test)[label]["channel"] == str(strongest)


def test_without_tables_the_page_offers_them_and_shows_the_rest(open_page: Open, bundled_run: Run) -> None:
    test = open_page("channel", bundled_run, block="SE_5_1", channel="3")
    assert offered(test) == ["specificity by channel, selectivity, saturation by channel"]
    assert len(charts(test)) == 2
    assert any(" (r " in label for label in links(test))


def test_images_at_both_ends(open_page: Open, bundled_run: Run) -> None:
    test = open_page("channel", bundled_run, block="SE_5_1", channel="3")
    gates, samples = bundled_run.gates("SE_5_1")[:, 3], bundled_run.samples
    order = np.argsort(-gates, kind="stable")
    tiles = [each.value.split("  \n") for each in test.caption if "  \n" in each.value]
    assert len(tiles) == 12
    for tile, row in zip(tiles, [*order[:6], *np.argsort(gates, kind="stable")[:6]], strict=True):
        assert tile[0] == f"**{samples['class'][row]}**"
        assert float(tile[1]) == pytest.approx(gates[row], abs=6e-4)
        right = samples["correct"][row]
        assert tile[2] == ("right" if right else f"taken for {samples['predicted'][row]}")
    test.segmented_control(key="widget_pictures").set_value("24").run()
    assert test.query_params["pictures"] == "24"
    assert sum("  \n" in each.value for each in test.caption) == 48


def test_images_that_are_no_files_are_listed(open_page: Open, planted_run: Run) -> None:
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    assert "does not say where its images lie" in texts(test)
    gates = planted_run.gates("SE_4_1")[:, 5]
    listed = [frame.value for frame in test.dataframe if "image" in frame.value.columns]
    assert listed[0]["gate"].tolist() == pytest.approx(sorted(gates, reverse=True)[:6])
    assert listed[1]["gate"].tolist() == pytest.approx(sorted(gates)[:6])
    assert listed[0]["image"].tolist() == planted_run.samples["path"][np.argsort(-gates, kind="stable")[:6]].tolist()


def test_a_run_that_keeps_no_gates_says_so_and_shows_its_means(open_page: Open, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(3), 20)
    gates = np.random.default_rng(0).random((60, 5))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, labels, kept=np.zeros(60, bool), trained=False)
    test = open_page("channel", run, channel="2")
    assert "keeps the gates of no image" in texts(test)
    assert "which images open the channel most is not known" in texts(test)
    assert "which channels move together is not known" in texts(test)
    spread = charts(test)[0][0].set_index("label")
    for k in range(3):
        own = gates[labels == k, 2].astype(np.float32)
        assert spread["middle"][k] == pytest.approx(own.mean(), abs=1e-6)
        assert spread["low"][k] == pytest.approx(own.min())
        assert spread["upper"][k] == pytest.approx(min(own.mean() + own.std(ddof=1), own.max()), abs=1e-6)


def test_some_gates_kept_some_images_failed_and_a_class_without_images(open_page: Open, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(3), 20)
    gates = np.random.default_rng(0).random((60, 5))
    kept = np.arange(60) % 2 == 0
    run = make_run(
        tmp_path / "run", {"SE_2_1": gates}, labels, kept=kept, failed=[0, 1, 22], classes=["a", "b", "c", "none"]
    )
    test = open_page("channel", run, channel="1")
    assert "These are the 28 of 60 images" in texts(test)
    ticks = min(charts(test)[0], key=lambda table: len(table.columns))
    good = kept & ~np.isin(np.arange(60), [0, 1, 22])
    assert sorted(ticks["gate"]) == pytest.approx(sorted(gates[good, 1]), abs=2e-5)
    assert set(ticks["name"]) == {"a", "b", "c"}


def test_images_of_several_classes(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    members = random.random((80, 3)) < 0.4
    members[:2] = False
    gates = random.random((80, 5))
    gates[0, 1] = 1.0
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, members, classes=["a|b", "*c*", "<d>"])
    test = open_page("channel", run, channel="1")
    spread = max(charts(test)[0], key=lambda table: len(table.columns)).set_index("name")
    for k, name in enumerate(run.classes.names):
        assert spread["middle"][name] == pytest.approx(np.median(gates[members[:, k], 1]), abs=2e-5)
    listed = next(frame.value for frame in test.dataframe if "image" in frame.value.columns)
    assert listed["class"][0] == "no class"
    row = int(listed["image"][1].split(".")[0])
    assert listed["class"][1] == (", ".join(np.array(run.classes.names)[members[row]]) or "no class")


def test_a_constant_channel(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((40, 4))
    gates[:, 1] = 0.5
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.arange(40) % 2)
    for name in page.MEASURES:
        keep_table(run, name)
    test = open_page("channel", run, channel="1")
    assert "It favours no class" in texts(test)
    assert "does not vary" in texts(test)
    assert len(charts(test)) == 1


def test_a_run_all_of_whose_images_failed(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((40, 4))
    failed = make_run(tmp_path / "failed", {"SE_2_1": gates}, np.arange(40) % 2, failed=range(40))
    assert "there is nothing to show" in texts(open_page("channel", failed))


def test_of_many_classes_the_ends_are_drawn(open_page: Open, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(100), 3)
    gates = np.clip(0.1 + labels[:, None] / 120 + np.random.default_rng(0).normal(0, 0.001, (300, 4)), 0, 1)
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, labels)
    test = open_page("channel", run, channel="1", each="5", classes="class50|class1|class99")
    spread = max(charts(test)[0], key=lambda table: len(table.columns))
    expected = {*range(5), *range(95, 100), 50}
    assert set(spread["label"]) == expected
    means = run["SE_2_1"]["mean"].to_numpy()[:, 1]
    assert spread["label"].tolist() == sorted(expected, key=lambda k: -means[k])
    test.number_input(key="widget_each").set_value(20).run()
    assert test.query_params["each"] == "20"
    assert len(max(charts(test)[0], key=lambda table: len(table.columns))) == 41


def test_of_a_large_run_gates_are_read_when_asked_for(
    open_page: Open, planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "QUICK", 100)
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    assert len(charts(test)[0]) == 1  # no single images
    gates = planted_run.gates("SE_4_1")[:, 5]
    listed = next(frame.value for frame in test.dataframe if "image" in frame.value.columns)
    assert listed["gate"].tolist() == pytest.approx(sorted(gates, reverse=True)[:5])  # of the table "channels"
    assert listed["image"].tolist() == planted_run.samples["path"][np.argsort(-gates, kind="stable")[:5]].tolist()
    test.segmented_control(key="widget_source").set_value("images").run()
    assert not test.exception
    assert test.query_params["source"] == "images"
    assert len(charts(test)[0]) == 2


def test_a_large_run_without_tables_offers_them(
    open_page: Open, bundled_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "QUICK", 100)
    test = open_page("channel", bundled_run, block="SE_5_1")
    assert offered(test) == [
        "channels",
        "specificity by channel, selectivity, saturation by channel",
        "redundant channels",
    ]


def test_charts_name_what_they_draw(open_page: Open, planted_run: Run) -> None:
    test = open_page("channel", planted_run, block="SE_4_1", channel="5")
    specs = [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]
    assert {layer["encoding"]["x"]["title"] for layer in specs[0]["layer"]} == {"gate (0 shut, 1 open)"}
    assert specs[1]["encoding"]["x"]["title"] == "d′ (standard deviations)"
    assert [tip["title"] for tip in specs[1]["encoding"]["tooltip"]] == ["class", "d′", "mean gate"]
