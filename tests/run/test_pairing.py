import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seviz.run.manifest import BlockRecord
from seviz.run.pairing import Pair, Pairing, pair_blocks, pair_runs
from tests.made_runs import make_run


def block(name: str, path: str, product: int = 0) -> BlockRecord:
    return BlockRecord(
        name=name,
        path=path,
        gate_path=None,
        channels=4,
        squeezed_channels=1,
        gate="sigmoid",
        stage=2,
        block=1,
        stride=4,
        singular_values=(),
        product=product,
    )


def test_by_path_first_and_then_by_name() -> None:
    one = [block("SE_2_1", "a"), block("SE_2_2", "b"), block("SE_2_3", "c"), block("SE_3_1", "d")]
    other = [block("SE_2_1", "a"), block("SE_2_2", "c"), block("SE_2_3", "x"), block("SE_3_1", "d.block")]
    pairing = pair_blocks(one, other)
    assert pairing.pairs == (
        Pair("SE_2_1", "SE_2_1", "path"),
        Pair("SE_2_3", "SE_2_2", "path"),
        Pair("SE_3_1", "SE_3_1", "name"),
    )
    assert (pairing.only_one, pairing.only_other) == (("SE_2_2",), ("SE_2_3",))
    assert (pairing.other_of("SE_2_3"), pairing.other_of("SE_2_2")) == ("SE_2_2", None)
    assert (pairing.one_of("SE_2_2"), pairing.one_of("SE_2_3")) == ("SE_2_3", None)
    assert [pairing.by("SE_2_3", "SE_2_2"), pairing.by("SE_3_1", "SE_3_1"), pairing.by("SE_2_1", "SE_3_1")] == [
        "path",
        "name",
        "",
    ]
    assert pairing.remarks("A", "B") == [
        "The blocks SE_3_1 were paired by name: their modules have other paths in 'B' than in 'A'.",
        "Paired by the path of their module, under two names: SE_2_3 and SE_2_2.",
        "Without counterpart in 'B': SE_2_2 of 'A'.",
        "Without counterpart in 'A': SE_2_3 of 'B'.",
    ]


def test_by_name_alone_and_by_position() -> None:
    one = [block("SE_2_1", "a"), block("SE_2_2", "b")]
    other = [block("SE_2_2", "a"), block("SE_2_3", "b"), block("SE_2_4", "c")]
    assert pair_blocks(one, other, match="name").pairs == (Pair("SE_2_2", "SE_2_2", "name"),)
    placed = pair_blocks(one, other, match="position")
    assert placed.pairs == (Pair("SE_2_1", "SE_2_2", "position"), Pair("SE_2_2", "SE_2_3", "position"))
    assert placed.only_other == ("SE_2_4",)
    assert placed.remarks("A", "B")[0] == "Blocks were paired by their place in the order of depth."
    assert pair_blocks(one, one).remarks("A", "A") == []
    assert pair_blocks([], other) == Pairing((), (), ("SE_2_2", "SE_2_3", "SE_2_4"))
    everyone = [block("SE_2_1", "m.a"), block("SE_2_2", "m.b")]  # nothing is stripped of a path
    assert pair_blocks(one, everyone).remarks("A", "B") == [
        "All blocks were paired by name: their modules have other paths in 'B' than in 'A'."
    ]


def test_several_products_of_a_module() -> None:
    new = [block("SE_2_1", "a", 0), block("SE_2_2", "a", 1)]
    turned = [block("SE_2_1", "a", 1), block("SE_2_2", "a", 0)]
    assert pair_blocks(new, turned).pairs == (Pair("SE_2_1", "SE_2_2", "path"), Pair("SE_2_2", "SE_2_1", "path"))
    old = [block("SE_2_1", "a"), block("SE_2_2", "a")]  # runs of older versions do not tell products apart
    assert [pair.by for pair in pair_blocks(old, new).pairs] == ["path", "path"]


def test_runs_of_renamed_modules(tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((12, 4))
    one = make_run(tmp_path / "one", {"SE_2_1": gates, "SE_3_1": gates}, np.arange(12) % 3)
    other = make_run(tmp_path / "other", {"SE_2_1": gates, "SE_3_1": gates}, np.arange(12) % 3)
    moved = tuple(dataclasses.replace(each, path=f"backbone.{each.path}") for each in other.manifest.blocks)
    other.manifest = dataclasses.replace(other.manifest, blocks=moved)
    assert [pair.by for pair in pair_runs(one, other).pairs] == ["name", "name"]


@pytest.mark.parametrize("match", ["path", "name", "position"])
def test_a_run_and_itself(match: str, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((12, 4))
    run = make_run(tmp_path / "run", {"SE_2_1": gates, "SE_3_1": gates}, np.arange(12) % 3)
    pairing = pair_runs(run, run, match=match)  # type: ignore[arg-type]
    assert pairing.pairs == tuple(Pair(name, name, match) for name in run.blocks)  # type: ignore[arg-type]
