"""Compression lab: what is started, and what came of it."""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest
from typer.main import get_command

from seviz.compression.listing import FOLDER, compared
from seviz.dashboard.jobs import Job, jobs
from seviz.dashboard.lab import plans
from seviz.dashboard.lab.plans import duration, plan_fold, plan_mask, plan_prune, refused
from seviz.dashboard.lab.results import read_results
from seviz.errors import OptionError
from seviz.registry import CRITERIA
from seviz.run.manifest import ChangeRecord
from seviz.run.store import Run, open_run
from tests.dashboard.drawing import Open
from tests.dashboard.lab.made_results import classes_table, masked_table, results_table, written
from tests.made_runs import make_run

SWITCHES = {"recalibrate": True, "latency": False, "program": False}


def texts(test: AppTest) -> str:
    """All that the page says in Markdown."""
    return "\n".join(text.value for text in test.markdown)


def command(test: AppTest) -> list[str]:
    """The command that the lab shows."""
    return shlex.split(next(code.value for code in test.code if code.value.startswith("seviz ")))


def shown(test: AppTest, k: int) -> pd.DataFrame:
    """The data of a chart, as the browser gets it."""
    proto = test.get("vega_lite_chart")[k].proto
    tables = [proto.data.data, *(each.data.data for each in proto.datasets)]
    frames = [pa.ipc.open_stream(data).read_pandas() for data in tables if data]
    return max(frames, key=len)


def specification(test: AppTest, k: int) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(test.get("vega_lite_chart")[k].proto.spec)
    return spec


@pytest.fixture
def run(planted_run: Run, tmp_path: Path) -> Run:
    """A copy of its own, so that what is written to it is of one test."""
    shutil.copytree(planted_run.path, tmp_path / "planted")
    return open_run(tmp_path / "planted")


@pytest.fixture
def compressed(run: Run) -> Run:
    """With a curve, a folded and a pruned network, and one for some classes."""
    place = run.path / FOLDER
    curve = masked_table({"gate_mean": (0.9, 0.8, 0.3), "l1": (0.9, 0.7, 0.5)})
    by_class = pd.DataFrame(
        {"criterion": c, "seed": 0, "fraction": f, "class": k, "class_name": k, "images": 10, "accuracy": value}
        for c, values in {"gate_mean": (0.9, 0.8), "l1": (0.9, 0.4)}.items()
        for f, value in zip((0.0, 0.2), values, strict=True)
        for k in ("cat", "dog")
    )
    written(place / "001-mask", {"mean": curve, "by_class": by_class}, criteria=["gate_mean", "l1"])
    front = pd.DataFrame(
        {"order": "variance", "folded": range(4), "block": ["", "SE_2_1", "SE_3_1", "SE_4_1"], "parameters": 1000}
        | {"accuracy": [0.9, 0.85, 0.8, 0.2], "low": 0.1, "high": 0.95}
    )
    blocks = pd.DataFrame(
        {"block": run.blocks, "channels": 8, "parameters": 9, "reason": "", "folded": [True, True, False]}
    )
    folded = {"results": results_table((0.9, 0.8), (3, 1)), "blocks": blocks, "front": front}
    written(place / "002-fold", folded | {"classes": classes_table({"cat": 0.1, "dog": -0.2})})
    removed = pd.DataFrame(
        {"block": run.blocks, "stage": [2, 3, 4], "channels_before": 8, "channels_after": [8, 4, 2]}
        | {"inner_before": 10, "inner_after": [5, 10, 1]}
    )
    written(
        place / "003-prune", {"results": results_table((0.9, 0.5, 0.7), (3, 3, 3)), "removed": removed}, criterion="l1"
    )
    written(place / "004-specialise", folded | {"results": results_table((0.95, 0.9), (3, 1))}, classes=["cat", "dog"])
    return run


def test_what_can_be_chosen_is_what_the_commands_take() -> None:
    from seviz.compression.masking import SCOPES
    from seviz.compression.planning import ORDERS
    from seviz.compression.sites import Kind

    assert set(plans.criteria_of("gated", signals=["response"])) == {
        n for n in CRITERIA if "gated" in CRITERIA[n].kinds
    }
    assert "gate_effective" not in plans.criteria_of("gated", signals=["excitation"])
    assert set(plans.criteria_of("inner")) == {name for name in CRITERIA if "inner" in CRITERIA[name].kinds}
    assert [plans.worth_of(name) for name in CRITERIA] == [CRITERIA[name].title for name in CRITERIA]
    assert plans.worth_of("gate_mean", ["cat"]) == "mean gate over some classes"
    assert tuple(plans.ORDERS) == ORDERS
    assert tuple(plans.SCOPES) == SCOPES
    assert tuple(plans.KINDS) == ("auto", *get_args(Kind))
    assert all((each.passes > 0) == ("images" in each.needs) for each in CRITERIA.values())


def test_every_plan_is_a_command_that_seviz_takes(planted_run: Run) -> None:
    from seviz.cli import app

    plans = [
        plan_mask(["gate_mean", "gate_class"], ["0.2", "0.5"], scope="block", seeds=2, classes=["cat", "dog"]),
        plan_fold(planted_run, remove=True, budget="blocks", blocks=["SE_2_1", "SE_3_1"], **SWITCHES),
        plan_fold(planted_run, remove=False, budget="count", count=2, order="greedy", classes=["cat"], **SWITCHES),
        plan_fold(planted_run, remove=False, budget="drop", drop="0.02", **SWITCHES),
        plan_fold(planted_run, remove=False, budget="all", **SWITCHES),
        plan_prune(share_of="flops", percent=70, kind="auto", criterion="l1", scope="stage", **SWITCHES),
        plan_prune(
            share_of="keep_channels",
            percent=95,
            kind="inner",
            criterion="weights",
            scope="global",
            classes=["cat"],
            **SWITCHES,
        ),
    ]
    taken = []
    for plan in plans:
        name, *arguments = plan.arguments(planted_run.path, Path("out"))
        commands: Any = get_command(app)
        taken.append(commands.commands[name].make_context(name, list(arguments)).params)
        assert taken[-1]["out"] == Path("out")
        assert "  " not in plan.says
    assert (taken[0]["criteria"], taken[0]["fractions"]) == (["gate_mean;gate_class:cat,dog"], ["0.2,0.5"])
    assert (taken[0]["seeds"], taken[0]["scope"]) == (2, "block")
    assert (taken[1]["blocks"], taken[1]["remove"], taken[1]["recalibrate"]) == (["SE_2_1,SE_3_1"], True, True)
    assert (taken[2]["count"], taken[2]["order"], taken[2]["classes"]) == (2, "greedy", ["cat"])
    assert (taken[3]["max_drop"], taken[3]["latency"], taken[3]["program"]) == (0.02, False, False)
    assert (taken[4]["count"], taken[4]["max_drop"], taken[4]["blocks"]) == (None, None, ())
    assert (taken[5]["flops"], taken[5]["criterion"], taken[5]["scope"]) == (0.7, "l1", "stage")
    assert (taken[6]["keep_channels"], taken[6]["kind"], taken[6]["classes"]) == (0.95, "inner", ["cat"])


def test_words_say_what_is_done(planted_run: Run) -> None:
    says = plan_fold(planted_run, remove=False, budget="drop", drop="0.01", classes=["cat"], **SWITCHES).says
    assert "as many of 3 SE blocks as cost no more than 1 point of accuracy" in says
    assert "their means over images of cat" in says
    assert "BatchNorm statistics" in says
    assert "timed" not in says
    assert (
        "70 % of the parameters are kept"
        in plan_prune(
            share_of="parameters", percent=70, kind="auto", criterion="gate_mean", scope="global", **SWITCHES
        ).says
    )
    assert "each of the criteria" in plan_mask(["l1", "l2"], ["0.5"], scope="global", seeds=1).says


def test_more_work_takes_longer(planted_run: Run) -> None:
    quick = plan_mask(["l1"], ["0.5"], scope="global", seeds=1)
    assert quick.passes == pytest.approx(0.4 * 2)
    assert plan_mask(["l1"], ["0.5"], scope="global", seeds=5).passes == quick.passes  # of the weights alone
    assert plan_mask(["gate_mean"], ["0.5"], scope="global", seeds=5).passes == pytest.approx(0.4 * 6)
    assert plan_mask(["taylor"], ["0.5"], scope="global", seeds=1).passes > quick.passes
    orders = ("variance", "predicted", "measured", "greedy")
    passes = [plan_fold(planted_run, remove=False, budget="all", order=each, **SWITCHES).passes for each in orders]
    assert passes == sorted(passes)
    assert quick.seconds(planted_run) > 0
    assert [duration(s) for s in (20, 60, 300, 7200)] == ["half a minute", "a minute", "5 minutes", "2 hours"]


def test_a_class_that_a_command_line_cannot_name_is_refused() -> None:
    with pytest.raises(OptionError, match="'cat,dog' has a mark that separates classes"):
        plan_mask(["gate_class"], ["0.5"], scope="global", seeds=1, classes=["cat,dog"])


def test_why_a_run_cannot_be_compressed(planted_run: Run, tmp_path: Path) -> None:
    assert refused(planted_run) == ""
    gates = {"SE_2_1": np.full((4, 3), 0.5)}
    part = make_run(tmp_path / "part", gates, np.arange(4) % 2, kept=np.array([True, False, True, True]))
    assert "does not keep the gates of all images" in refused(part)
    failed = make_run(tmp_path / "failed", gates, np.arange(4) % 2, failed=[1])
    assert refused(failed) == ""
    several = make_run(tmp_path / "several", gates, np.ones((4, 2), bool))
    assert "several classes" in refused(several)
    handed = make_run(tmp_path / "handed", gates, np.arange(4) % 2)
    manifest = replace(handed.manifest, data=replace(handed.manifest.data, fingerprint=None))
    (handed.path / "manifest.json").write_text(manifest.to_json())
    assert "handed over in memory" in refused(open_run(handed.path))
    record = ChangeRecord(base="tests/made", what="other weights", changes=None)
    manifest = replace(failed.manifest, model=replace(failed.manifest.model, changed=record))
    (failed.path / "manifest.json").write_text(manifest.to_json())
    assert "changed in Python after it was loaded (other weights): no command" in refused(open_run(failed.path))


@pytest.mark.parametrize("kind", ["several", "part"])
def test_a_run_that_cannot_be_compressed_says_why(kind: str, open_page: Open, tmp_path: Path) -> None:
    gates = {"SE_2_1": np.full((4, 3), 0.5)}
    labels = np.ones((4, 2), bool) if kind == "several" else np.arange(4) % 2
    kept = None if kind == "several" else np.zeros(4, bool)
    test = open_page("compression", make_run(tmp_path / "run", gates, labels, kept=kept))
    assert any(("several classes" if kind == "several" else "does not keep") in info.value for info in test.info)
    assert not [button for button in test.button if button.label == "Start"]
    assert any("Nothing was compressed yet" in info.value for info in test.info)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("mask", ["curve", "--criteria", "gate_mean;l1", "--fractions", "0.2,0.4,0.6"]),
        ("fold", ["fold", "--max-drop", "0.01", "--order", "variance"]),
        ("remove", ["fold", "--max-drop", "0.01", "--remove"]),
        ("prune", ["prune", "--flops", "0.7", "--kind", "auto", "--criterion", "gate_mean", "--recalibrate"]),
        ("specialise", ["fold", "--classes"]),
    ],
)
def test_each_action_shows_its_command(action: str, expected: list[str], open_page: Open, run: Run) -> None:
    test = open_page("compression", run, action=action)
    typed = command(test)
    assert typed[:3] == ["seviz", expected[0], str(run.path)]
    assert typed[4] == str(run.path / FOLDER / f"001-{action}")
    assert set(expected) <= set(typed)
    assert test.query_params["action"] == action
    assert "On two processor cores it takes about" in texts(test)


def test_widgets_change_the_command_and_the_address(open_page: Open, run: Run) -> None:
    test = open_page(
        "compression", run, action="prune", share_of="parameters", share="40", part="inner", worth="weights"
    )
    assert {"--parameters", "0.4", "inner", "weights"} <= set(command(test))
    test.number_input(key="widget_share").set_value(55).run()
    test.toggle(key="widget_latency").set_value(False).run()
    assert {"--parameters", "0.55", "--no-latency"} <= set(command(test))
    assert test.query_params["share"] == "55"
    assert test.query_params["latency"] == "no"
    test.selectbox(key="widget_part").set_value("branch").run()
    assert command(test)[command(test).index("--criterion") + 1] == "gate_mean"  # branches have no such criterion


def test_some_classes_come_from_the_shared_selection(open_page: Open, run: Run) -> None:
    test = open_page("compression", run, action="specialise", how="prune", classes="dog|ship")
    typed = command(test)
    assert typed[typed.index("--classes") + 1] == "dog,ship"
    test = open_page("compression", run, action="mask", criteria="gate_class", classes="dog|ship")
    typed = command(test)
    assert typed[typed.index("--criteria") + 1] == "gate_class:dog,ship"


def test_odd_addresses_are_dropped(open_page: Open, compressed: Run) -> None:
    odd = {"action": "../x", "criteria": "l1|evil", "fractions": "7", "seeds": "99", "result": "../../etc", "cost": "$"}
    test = open_page("compression", compressed, at="nan", curves="x", **odd)
    typed = command(test)
    assert typed[typed.index("--criteria") + 1] == "l1"
    assert typed[typed.index("--fractions") + 1] == "0.2,0.4,0.6"
    assert typed[typed.index("--seeds") + 1] == "1"
    assert test.selectbox(key="widget_result").value == "004-specialise"


def test_results_are_side_by_side(open_page: Open, compressed: Run) -> None:
    test = open_page("compression", compressed)
    table = test.dataframe[0].value
    assert table["result"].tolist() == ["002-fold"] * 2 + ["003-prune"] * 3 + ["004-specialise"] * 2
    assert table["accuracy"].tolist() == [0.9, 0.8, 0.9, 0.5, 0.7, 0.95, 0.9]
    assert table["interval"].iloc[1] == "70.0% – 90.0%"
    assert table["points lost"].tolist()[:2] == ["", "10.0 (0.0 – 10.0)"]
    assert table["judged on"].iloc[-1] == "cat, dog"
    data = shown(test, 0)
    expected = compared(read_results(compressed.path).of("fold", "prune"))
    np.testing.assert_allclose(data["share"], expected["share_multiply_adds"])
    np.testing.assert_allclose(data["accuracy"], expected["accuracy"])
    # the original of 003 is that of 002; that of 004 was judged by other images
    assert data["shown"].tolist() == [True, True, False, True, True, True, True]
    test.get("button_group")  # the cost is chosen with one
    again = open_page("compression", compressed, cost="parameters")
    np.testing.assert_allclose(shown(again, 0)["share"], expected["share_parameters"])
    assert again.query_params["cost"] == "parameters"


def test_masking_curves_are_in_one_chart(open_page: Open, compressed: Run) -> None:
    test = open_page("compression", compressed)
    data = shown(test, 1)
    assert data[data["curve"] == "l1"]["accuracy"].tolist() == [0.9, 0.7, 0.5]
    assert json.dumps(specification(test, 1)).count("mark_") == 0
    test.multiselect(key="widget_curves").set_value(["l1"]).run()
    assert set(shown(test, 1)["curve"]) == {"l1"}
    assert test.query_params["curves"] == "l1"


def test_a_folded_network_in_detail(open_page: Open, compressed: Run) -> None:
    test = open_page("compression", compressed, result="002-fold")
    figures = {metric.label: (metric.value, metric.delta) for metric in test.metric}
    assert figures["Accuracy"] == ("80.0%", "-10.0 points")
    assert figures["Parameters"][1] == "-40.0 %"
    front, blocks, classes = (shown(test, k) for k in (2, 3, 4))
    assert front["accuracy"].tolist() == [0.9, 0.85, 0.8, 0.2]
    assert blocks["state"].tolist() == ["folded", "folded", "kept"]
    assert classes["name"].tolist() == ["cat", "dog"]
    np.testing.assert_allclose(classes["lost"], [10, -20])
    assert "2 of 3 are folded" in texts(test)
    assert [button.label for button in test.get("download_button")][:1] == ["Smaller network (zip)"]


def test_a_pruned_network_in_detail(open_page: Open, compressed: Run) -> None:
    test = open_page("compression", compressed, result="003-prune")
    data = shown(test, 2)
    assert data["share"].tolist() == [1, 0.5, 0.25, 0.5, 1, 0.1]
    test.selectbox(key="widget_result").set_value("001-mask").run()
    assert test.query_params["result"] == "001-mask"
    damage = shown(test, 2)
    assert damage[damage["column"] == "l1"]["value"].tolist() == pytest.approx([0.5, 0.5])


def test_half_a_result_is_told_and_left_out(open_page: Open, compressed: Run) -> None:
    (compressed.path / FOLDER / "002-fold" / "README.md").unlink()
    (compressed.path / FOLDER / "003-prune" / "removed.csv").write_text("block\nSE_2_1\n")
    test = open_page("compression", compressed, result="003-prune")
    assert any("002\\-fold is left out" in warning.value for warning in test.warning)
    assert any("Not all of it can be shown" in warning.value for warning in test.warning)


def test_a_run_that_cannot_be_written_to_starts_nothing(open_page: Open, run: Run) -> None:
    (run.path / FOLDER).touch()
    test = open_page("compression", run)
    test.button(key="start_compression").click().run()
    assert any("cannot be written to" in error.value for error in test.error)
    assert not jobs().of(run.path)


def test_a_job_that_fails_says_why(open_page: Open, run: Run, finish: Callable[[Job], None]) -> None:
    test = open_page("compression", run)
    test.button(key="start_compression").click().run()
    (job,) = jobs().of(run.path, "compress")
    assert job.command[1] == "curve"
    finish(job)
    test.run()
    assert any("failed" in error.value and "made" in error.value for error in test.error)
    assert list((run.path / FOLDER).iterdir()) == []


def test_a_curve_is_made_and_shown(
    open_page: Open, bundled_run: Run, tmp_path: Path, finish: Callable[[Job], None]
) -> None:
    shutil.copytree(bundled_run.path, tmp_path / "bundled")
    run = open_run(tmp_path / "bundled")
    test = open_page("compression", run, criteria="l1", fractions="0.5", result="gone")
    test.button(key="start_compression").click().run()
    (job,) = jobs().of(run.path, "compress")
    assert job.result == run.path / FOLDER / "001-mask"
    assert any(button.label == "Cancel" for button in test.button)
    assert command(test)[4].endswith("002-mask")  # that of the job is taken
    finish(job)
    assert job.state == "done", job.messages
    test.run()
    data = shown(test, 0)
    mean = pd.read_csv(job.result / "mean.csv")
    np.testing.assert_allclose(data["accuracy"], mean["accuracy"])
    assert data["fraction"].tolist() == [0, 0.5]
    assert test.selectbox(key="widget_result").value == "001-mask"


@pytest.mark.usefixtures("endless")
def test_a_job_can_be_cancelled(open_page: Open, run: Run) -> None:
    test = open_page("compression", run)
    test.button(key="start_compression").click().run()
    (job,) = jobs().of(run.path, "compress")
    job.cancel()
    test.run()
    assert any("was cancelled" in info.value for info in test.info)
