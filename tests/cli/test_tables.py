"""The tables as commands: what they print is what the functions give."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seviz.cli.index import Commands
from seviz.cli.tables import described
from seviz.registry import TABLES
from seviz.run.store import Run
from seviz.tables.agreement import agreement
from seviz.tables.channels import channels
from seviz.tables.cka import cka
from seviz.tables.compare import compare
from seviz.tables.compare_by_class import compare_by_class
from seviz.tables.confusion import confusion
from seviz.tables.convergence import convergence
from seviz.tables.convergence_by_size import convergence_by_size
from seviz.tables.decoding import decoding
from seviz.tables.principal_components import principal_components
from seviz.tables.redundancy import redundancy
from seviz.tables.redundant_channels import redundant_channels
from seviz.tables.saturation import saturation
from seviz.tables.saturation_by_channel import saturation_by_channel
from seviz.tables.selectivity import selectivity
from seviz.tables.similarity import similarity
from seviz.tables.specificity import specificity
from seviz.tables.specificity_by_channel import specificity_by_channel
from seviz.tables.specificity_by_class import specificity_by_class
from seviz.tables.specificity_by_outcome import specificity_by_outcome
from tests.cli.commands import run
from tests.made_runs import make_run

LABELS = np.repeat(np.arange(3), 20)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs of the same images."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("runs")
    first, second = (
        make_run(folder / name, {block: random.uniform(size=(60, 8)) for block in ("SE_2_1", "SE_5_1")}, LABELS)
        for name in ("one", "other")
    )
    return first, second


OF_ONE: dict[str, tuple[tuple[object, ...], Callable[[Run], pd.DataFrame]]] = {
    "specificity": ((), specificity),
    "specificity by channel": (
        ("--by", "channel", "--blocks", "SE_5_1"),
        lambda run: specificity_by_channel(run, blocks=["SE_5_1"]),
    ),
    "specificity of one class": (
        ("--by", "channel", "--against-rest", "class1"),
        lambda run: specificity_by_channel(run, against_rest="class1"),
    ),
    "specificity by class": (("--by", "class"), specificity_by_class),
    "specificity by outcome": (("--by", "outcome"), specificity_by_outcome),
    "specificity with permutations": (
        ("--permutations", 9, "--seed", 2),
        lambda run: specificity(run, permutations=9, seed=2),
    ),
    "specificity of some blocks": (
        ("--blocks", "SE_5_1"),
        lambda run: specificity(run)[lambda table: table["block"] == "SE_5_1"],
    ),
    "selectivity": (("--k", 3), lambda run: selectivity(run, k=3)),
    "decoding": (
        ("--decoders", "centroid", "--folds", 3, "--against", "none"),
        lambda run: decoding(run, decoders=["centroid"], folds=3, against=None),
    ),
    "channels": (
        ("SE_5_1", "--number", 2, "--only", "3,1"),
        lambda run: channels(run, "SE_5_1", number=2, only=[3, 1]),
    ),
    "similarity": (
        ("SE_5_1", "--metric", "cosine", "--centred"),
        lambda run: similarity(run, "SE_5_1", metric="cosine", centred=True).reset_index(),
    ),
    "agreement": (("--permutations", 9), lambda run: agreement(run, permutations=9)),
    "confusion": ((), lambda run: confusion(run).reset_index()),
    "cka": (("--images", 30), lambda run: cka(run, images=30)),
    "saturation": ((), saturation),
    "saturation by channel": (("--by", "channel"), saturation_by_channel),
    "redundancy": (("--threshold", 0.5), lambda run: redundancy(run, threshold=0.5)),
    "redundant-channels": (
        ("SE_5_1", "--within-classes"),
        lambda run: redundant_channels(run, "SE_5_1", within_classes=True),
    ),
    "convergence": (("--repeats", 2), lambda run: convergence(run, repeats=2)),
    "convergence by size": (
        ("--by", "size", "--sizes", "2,5"),
        lambda run: convergence_by_size(run, sizes=[2, 5]),
    ),
    "principal-components": (
        ("SE_5_1", "--components", 3),
        lambda run: principal_components(run, "SE_5_1", components=3),
    ),
}


def as_values(table: pd.DataFrame) -> pd.DataFrame:
    """What JSON can say of a table."""
    plain = table.reset_index(drop=True).rename_axis(columns=None).astype(object)
    return plain.where(plain.notna() & (plain != np.inf), None)


@pytest.mark.parametrize("case", OF_ONE)
def test_commands_print_what_the_functions_give(two: tuple[Run, Run], case: str) -> None:
    options, function = OF_ONE[case]
    command, expected = case.split()[0], function(two[0])
    printed = run(command, two[0].path, *options, "--json")
    assert printed.exit_code == 0, printed.output
    rows = pd.DataFrame(json.loads(printed.stdout), dtype=object)
    pd.testing.assert_frame_equal(rows, as_values(expected), check_dtype=False, rtol=1e-12, check_column_type=False)
    for remark in expected.attrs.get("remarks", []):
        assert f"note: {remark}" in printed.stderr
    as_csv = run(command, two[0].path, *options, "--csv")
    assert list(pd.read_csv(io.StringIO(as_csv.stdout)).columns) == list(expected.columns)
    assert len(pd.read_csv(io.StringIO(as_csv.stdout))) == len(expected)
    for_people = run(command, two[0].path, *options)
    assert for_people.exit_code == 0
    assert str(expected.columns[0]) in for_people.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (("compare",), compare),
        (("compare", "--by", "class", "--match", "position"), lambda a, b: compare_by_class(a, b, match="position")),
        (("agreement", "--permutations", "0"), lambda a, b: agreement(a, b, permutations=0)),
        (("cka",), cka),
    ],
    ids=("compare", "compare by class", "agreement", "cka"),
)
def test_commands_compare_two_runs(two: tuple[Run, Run], arguments: tuple[str, ...], function: Any) -> None:
    printed = run(arguments[0], two[0].path, two[1].path, *arguments[1:], "--json")
    assert printed.exit_code == 0, printed.output
    rows = pd.DataFrame(json.loads(printed.stdout), dtype=object)
    pd.testing.assert_frame_equal(
        rows, as_values(function(*two)), check_dtype=False, rtol=1e-12, check_column_type=False
    )


def test_long_tables_are_cut_for_people_and_say_so(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).uniform(size=(60, 70))}, LABELS)
    printed = run("saturation", made.path, "--by", "channel")
    assert len(printed.stdout.splitlines()) == 51
    assert "50 of 70 rows; --csv and --json give all" in printed.stderr


def test_analyse_keeps_all_tables(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).uniform(size=(60, 8))}, LABELS)
    first = run("analyse", made.path)
    assert first.exit_code == 0, first.output
    assert "specificity: " in first.stdout
    assert "channels of SE_2_1: " in first.stdout
    again = run("analyse", made.path, "--only", "specificity,channels")
    assert again.stdout.splitlines() == ["specificity: kept before", "channels of SE_2_1: kept before"]


def test_analyse_says_what_is_left_out(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(size=(60, 8))}
    made = make_run(tmp_path / "run", gates, LABELS, kept=np.zeros(60, bool))
    printed = run("analyse", made.path, "--only", "decoding,saturation")
    assert printed.exit_code == 0
    assert "decoding is left out: " in printed.stderr
    assert printed.stdout.startswith("saturation: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("specificity", "--by", "image"), "by is 'image', expected one of block, channel, class, outcome"),
        (("specificity", "--by", "class", "--permutations", "9"), "--permutations is for --by block"),
        (("specificity", "--by", "outcome", "--over-images"), "--over-images is for --by block or --by class, not for"),
        (("similarity", "SE_5_1", "--metric", "euclid"), "metric is 'euclid', expected one of correlation, cosine"),
        (("class-pair", "class0", "class1"), "--block is missing, which --by channel needs"),
        (("specificity", "--blocks", "SE_9_9"), "no block 'SE_9_9'; there are SE_2_1, SE_5_1"),
        (("saturation", "--json", "--csv"), "--json and --csv were both given"),
        (("convergence", "--sizes", "2,many"), "sizes is '2,many', expected whole numbers"),
        (("channels", "SE_9_9"), "no block 'SE_9_9'"),
        (("decoding", "--signal", "squeeze"), "holds no 'squeeze'"),
        (("analyse", "--only", "nonsense"), "no table 'nonsense'"),
    ],
)
def test_wrong_use_is_told_in_one_line(two: tuple[Run, Run], arguments: tuple[str, ...], message: str) -> None:
    result = run(arguments[0], two[0].path, *arguments[1:])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_wrong_number_is_answered_by_the_option_and_where_help_is() -> None:
    result = run("specificity", "RUN", "--seed", "x")
    assert result.exit_code == 2
    assert "Invalid value for '--seed'" in result.stderr


@pytest.mark.parametrize("name", TABLES)
def test_every_parameter_is_an_option_with_its_description_and_default(name: str) -> None:
    table = TABLES[name]
    told, command = described(table), Commands()[(TABLES.base(name) or name).replace("_", "-")]
    taken = {parameter.name: parameter for parameter in command.params}
    assert {"as_json", "as_csv"} <= taken.keys()
    for key, parameter in table.parameters.items():
        assert re.match(r'[A-Z"]', told[key])
        assert not re.match("As (in|of) `", told[key])
        if key == "by":
            continue
        assert taken[key].help
        if parameter.default is parameter.empty or TABLES.base(name):
            continue
        assert taken[key].default == parameter.default
        assert not taken[key].required
