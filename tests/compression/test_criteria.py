"""Criteria as they are asked for: one reading of `name:argument` at every door, and functions in place of names."""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import seviz
from seviz.cli import app
from seviz.compression.criteria import criterion_of, known_criteria
from seviz.compression.scoring import Channels
from seviz.dashboard.lab.plans import plan_mask, plan_prune
from seviz.errors import OptionError
from seviz.experiments.reopening import reopen_network
from seviz.network.networks import Network
from seviz.registry import CRITERIA, criterion
from seviz.run.store import Run
from tests.cli.kinds_of_run import kinds as kinds

README = Path(seviz.__file__).parents[1] / "README.md"
ODD = {
    "random:²": "criterion 'random:²' has the seed '²', expected a whole number of at most 18 digits, such as random:0",
    "random:-1": "criterion 'random:-1' has the seed '-1', expected a whole number of at most 18 digits",
    "random:": "criterion 'random:' has the seed '', expected a whole number",
    "random:1.5": "criterion 'random:1.5' has the seed '1.5', expected a whole number",
    "random:٣": "criterion 'random:٣' has the seed '٣', expected a whole number",
    "random: 1": "criterion 'random: 1' has the seed ' 1', expected a whole number",
    "random:" + "9" * 5000: "expected a whole number of at most 18 digits",
    "l1:3": "criterion 'l1:3' has something behind the colon, expected l1 alone",
    "l1:": "criterion 'l1:' has something behind the colon, expected l1 alone",
    "gate_class": "criterion 'gate_class' lacks a class; expected gate_class:NAME[,NAME]",
    "gate_class:": "criterion 'gate_class:' lacks a class; expected gate_class:NAME[,NAME]",
    "gate_class:ant,": "criterion 'gate_class:ant,' lacks a class; expected gate_class:NAME[,NAME]",
    'gate_class:"ant': "list '\"ant' cannot be read",
    "nosuch": f"no criterion 'nosuch'; expected one of {', '.join(known_criteria())}",
    "l1_inner:": "no criterion 'l1_inner:'; expected one of activation_mean,",
    "": "no criterion ''; expected one of activation_mean,",
}
SWITCHES = {"recalibrate": False, "latency": False, "program": False}
DOORS: dict[str, Callable[[Network, Run, str], Any]] = {
    "importance": lambda network, run, asked: seviz.importance(network, run, asked),
    "inner_scores": lambda network, run, asked: seviz.inner_scores(network, run, asked),
    "curve_run": lambda network, run, asked: seviz.curve_run(network, run, criteria=["l1", asked]),
    "prune_run": lambda network, run, asked: seviz.prune_run(network, run, flops=0.9, criterion=asked),
    "prune_run, inner": lambda network, run, asked: seviz.prune_run(
        network, run, flops=0.9, criterion=asked, kind="inner"
    ),
    "lab, mask": lambda network, run, asked: plan_mask(["l1", asked], ["0.5"], scope="global", seeds=1),
    "lab, prune": lambda network, run, asked: plan_prune(
        share_of="flops", percent=90, kind="auto", criterion=asked, scope="global", **SWITCHES
    ),
}


@pytest.fixture(scope="module")
def run(kinds: Path) -> Run:
    return seviz.open_run(kinds / "runs" / "single label")


@pytest.fixture(scope="module")
def network(run: Run) -> Network:
    return reopen_network(run, trust_code=True)


@pytest.mark.parametrize("asked", ODD)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_says_the_same_of_what_is_odd(door: str, asked: str, network: Network, run: Run) -> None:
    with pytest.raises(OptionError) as error:
        DOORS[door](network, run, asked)
    assert str(error.value).startswith(ODD[asked]) or ODD[asked] in str(error.value)
    with pytest.raises(OptionError) as expected:
        criterion_of(asked)
    assert str(error.value) == str(expected.value)


@pytest.mark.parametrize("asked", ["random:²", "l1:3", "nosuch", "gate_class:"])
@pytest.mark.parametrize("command", [("curve", "--criteria"), ("prune", "--flops", "0.9", "--criterion")])
def test_the_command_line_says_the_same(command: tuple[str, ...], asked: str, run: Run, tmp_path: Path) -> None:
    name, *options = command
    arguments = [name, str(run.path), "-o", str(tmp_path / "out"), "--trust-code", *options, asked]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    with pytest.raises(OptionError) as expected:
        criterion_of(asked)
    assert f"error: {expected.value}\n" in result.stderr


def test_the_documents_list_them_all() -> None:
    listed = re.search(
        r"Criteria for the worth.*?of inner\s+channels (.*?)\. Each is", README.read_text("utf-8"), re.DOTALL
    )
    assert listed is not None
    gated, inner = (
        re.findall(r"\w+(?::[A-Z][A-Z,\[\]]*)?(?=,\s|;|$)", text)
        for text in (listed[0].partition("`):")[2].partition(" of inner")[0], listed[1])
    )
    forms = {form.partition(":")[0]: form for form in known_criteria()}
    assert gated == [form for name, form in forms.items() if "gated" in CRITERIA.outline(name).kinds]
    assert inner == [form for name, form in forms.items() if "inner" in CRITERIA.outline(name).kinds]
    for command in ("prune", "curve"):
        said = re.sub(r"[\s│]+", "", CliRunner(env={"COLUMNS": "400"}).invoke(app, [command, "--help"]).stdout)
        assert ",".join(known_criteria()) in said


def test_a_class_that_is_not_there_is_said_by_the_run(network: Network, run: Run) -> None:
    for score in (seviz.importance, seviz.inner_scores):
        with pytest.raises(seviz.SevizError, match="no class 'nosuch' in the run"):
            score(network, run, "gate_class:nosuch")


def test_what_is_asked_for_is_read_once() -> None:
    chosen = criterion_of('gate_class:"crane, bird", cat')
    assert chosen.argument == {"classes": ("crane, bird", "cat")}
    assert criterion_of(chosen) is chosen
    assert criterion_of("random:007").argument == {"seed": 7}
    assert [criterion_of(each).alone for each in ("l1", "random:1", "random", "gate_mean", "taylor")] == [
        *(True, True, False, False, False)
    ]
    assert (criterion_of("random").seeded(4).name, criterion_of("random:3").seeded(4).name) == ("random:4", "random:3")
    for odd in (None, 3, ["l1"]):
        with pytest.raises(OptionError, match=r"criterion is .*, expected a name, such as 'gate_mean', or a function"):
            criterion_of(odd)  # type: ignore[arg-type]


def test_the_outline_is_the_declaration() -> None:
    for name, declared in CRITERIA.items():
        outline = CRITERIA.outline(name)
        assert {**vars(outline), "function": None} == {**vars(declared), "function": None}
        assert (outline.name, bool(CRITERIA.summary(name))) == (name, True)


def numbered(network: Network, run: Run | None, channels: Channels) -> Mapping[Any, Any]:
    return {key: np.arange(size) for key, size in channels.sizes.items()}


def test_a_function_goes_wherever_a_name_does(network: Network, run: Run) -> None:
    quick = {"workers": 0, "device": "cpu", "progress": False}
    table = seviz.importance(network, None, numbered)
    assert table["score"].tolist() == [float(k) for block in network.blocks.values() for k in range(block.channels)]
    assert table.attrs == {"criterion": "numbered", "kind": "gated"}
    inner = seviz.inner_scores(network, run, numbered)
    assert inner["score"].tolist() == inner["channel"].tolist()
    assert inner.attrs == {"criterion": "numbered", "kind": "inner"}
    made = seviz.curve_run(network, run, criteria=[numbered, "l1"], fractions=[0.5], seeds=1, **quick)
    assert made.settings["criteria"] == ["numbered", "l1"]
    assert set(made.measurements["criterion"]) == {"numbered", "l1"}
    pruned = seviz.prune_run(network, run, keep_channels=0.5, criterion=numbered, latency=False, **quick)
    assert pruned.settings["criterion"] == "numbered"
    assert "with the least numbered first: 0.5 of the scored channels kept" in pruned.made[0]
    partial = functools.partial(numbered)
    assert seviz.importance(network, None, partial).attrs["criterion"] == "partial"
    with pytest.raises(OptionError, match="criteria has two functions called 'partial', expected different names"):
        seviz.curve_run(network, run, criteria=[partial, functools.partial(numbered)], **quick)


def test_a_declared_function_needs_what_it_declares(network: Network) -> None:
    @criterion(title="of a run", signals=("excitation",), needs=("images",))
    def from_a_run(network: Network, run: Run, channels: Channels) -> Mapping[Any, Any]:
        return {block: np.asarray(run.total(block).mean[0]) for block in channels.blocks}

    with pytest.raises(OptionError, match="criterion 'from_a_run' needs a run of this network, and none was given"):
        seviz.importance(network, None, from_a_run)
    with pytest.raises(OptionError, match="criterion 'from_a_run' does not score inner channels"):
        seviz.inner_scores(network, None, from_a_run)
    with pytest.raises(OptionError, match=r"criterion 'gate_class' lacks a class; expected gate_class:NAME\[,NAME\]"):
        seviz.importance(network, None, CRITERIA["gate_class"].function)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda sizes: [1.0], "returns 'list', expected a mapping with the scores of each of 'SE_2_1', 'SE_3_1'"),
        (lambda sizes: {"SE_2_1": [1.0]}, "returns keys 'SE_2_1', expected a mapping with the scores of each of"),
        (lambda sizes: {**sizes, "SE_9_1": []}, "returns keys 'SE_2_1', 'SE_3_1', 'SE_9_1', expected a mapping"),
        (lambda sizes: dict.fromkeys(sizes, 1.0), r"returns shape \(\) for SE_2_1, expected \d+ numbers: a score for"),
        (lambda sizes: dict.fromkeys(sizes, "abc"), r"returns 'abc' for SE_2_1, expected \d+ numbers: a score for"),
        (
            lambda sizes: {key: np.full(size, np.nan) for key, size in sizes.items()},
            "has no finite score for channels of SE_2_1",
        ),
    ],
)
def test_what_a_function_returns_is_checked(
    given: Callable[[dict[str, int]], Any], message: str, network: Network
) -> None:
    def mine(network: Network, run: Run | None, channels: Channels) -> Any:
        return given(channels.sizes)

    with pytest.raises(OptionError, match=f"criterion 'mine' {message}"):
        seviz.importance(network, None, mine)
