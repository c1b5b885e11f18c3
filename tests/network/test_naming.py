"""Names of SE blocks through folding, pruning, saving and loading, and across runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import seviz
from seviz.cli import app
from seviz.compression.folding import fold, fold_to, remove
from seviz.compression.pruning import prune
from seviz.errors import NoSEBlocksError, SavedNetworkError
from seviz.experiments.evaluation import evaluate
from seviz.experiments.measure import side_by_side
from seviz.network.blocks import SEBlock
from seviz.network.naming import moved_path, names_of, with_names
from seviz.network.networks import Network
from seviz.network.spread import Spread
from seviz.options import Reading
from seviz.run.store import Run
from seviz.tables.compare import compare
from seviz.tables.compare_by_class import compare_by_class
from tests.network.staged_network import FACTORY

PATHS = {"SE_2_1": "0.se", "SE_2_2": "1.se", "SE_2_3": "2.se", "SE_3_1": "3.se"}
LEFT = {name: path for name, path in PATHS.items() if name != "SE_2_2"}


def found(name: str, path: str, product: int = 0) -> SEBlock:
    stage, block = (int(part) for part in name.split("_")[1:])
    return SEBlock(
        name=name,
        path=path,
        gate_path=None,
        channels=8,
        squeezed_channels=2,
        gate="sigmoid",
        stage=stage,
        block=block,
        stride=4,
        product=product,
    )


def paths(network: Network) -> dict[str, str]:
    assert all(block.name == name for name, block in network.blocks.items())
    assert all(name == f"SE_{block.stage}_{block.block}" for name, block in network.blocks.items())
    return {name: block.path for name, block in network.blocks.items()}


@pytest.fixture
def staged(tmp_path: Path) -> Network:
    (tmp_path / "staged.py").write_text(FACTORY)
    return seviz.load(f"{tmp_path / 'staged.py'}:make")


def capture(network: Network, out: Path) -> Run:
    images = torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    batches = [(images + torch.arange(24)[:, None, None, None] % 3, torch.arange(24) % 3)]
    with pytest.warns(UserWarning, match="near chance"):
        return seviz.collect(network, batches, out, compile="off")


def test_kept_names_are_given_again_and_new_blocks_get_free_ones() -> None:
    names = {("a", 0): "SE_2_1", ("b", 0): "SE_2_2", ("c", 0): "SE_2_3", ("c", 1): "SE_3_1"}
    blocks = {
        block.name: block
        for block in (found("SE_2_1", "a"), found("SE_2_2", "c"), found("SE_2_3", "new"), found("SE_3_1", "c", 1))
    }
    named = with_names(blocks, names)
    assert {name: (block.path, block.product) for name, block in named.items()} == {
        "SE_2_1": ("a", 0),
        "SE_2_3": ("c", 0),
        "SE_2_4": ("new", 0),  # SE_2_2 was b's, and stays taken
        "SE_3_1": ("c", 1),
    }
    assert [(block.stage, block.block) for block in named.values()] == [(2, 1), (2, 3), (2, 4), (3, 1)]
    assert [block.name for block in named.values()] == list(named)
    assert with_names(blocks, None) == blocks
    assert names_of(named) == {("a", 0): "SE_2_1", ("c", 0): "SE_2_3", ("new", 0): "SE_2_4", ("c", 1): "SE_3_1"}


def test_new_blocks_count_stages_as_the_kept_names_do() -> None:
    """Without its first stage a network counts from another offset."""
    blocks = {"SE_2_1": found("SE_2_1", "kept"), "SE_3_1": found("SE_3_1", "new")}
    named = with_names(blocks, {("gone", 0): "SE_2_1", ("kept", 0): "SE_3_1"})
    assert {name: block.path for name, block in named.items()} == {"SE_3_1": "kept", "SE_4_1": "new"}


def test_a_path_goes_on_through_modules_that_were_wrapped() -> None:
    def plain() -> nn.Module:
        return nn.ModuleDict({"a": nn.ModuleDict({"se": nn.Conv2d(2, 2, 1)}), "b": nn.Identity()})

    wrapped = plain()
    wrapped.set_submodule("a.se", nn.Sequential())
    inner = wrapped.get_submodule("a.se")
    inner.add_module("block", nn.Conv2d(2, 2, 1))
    inner.add_module("spread", Spread([0, 1], 3))
    assert moved_path("a.se", plain(), wrapped) == "a.se.block"
    assert moved_path("a.se.fc", plain(), wrapped) == "a.se.block.fc"
    assert moved_path("a.se.block", wrapped, wrapped) == "a.se.block"
    assert [moved_path(path, plain(), wrapped) for path in ("", "a", "b", "none.such")] == ["", "a", "b", "none.such"]


def test_names_are_found_once_and_kept(staged: Network, tmp_path: Path) -> None:
    assert paths(staged) == PATHS
    folded = fold_to(staged, {"SE_2_2": 0.5})
    assert paths(folded) == LEFT
    assert paths(remove(folded, ["SE_2_1"])) == {name: LEFT[name] for name in ("SE_2_3", "SE_3_1")}
    save, again = tmp_path / "saved", tmp_path / "again"
    seviz.save(folded, save)
    assert json.loads((save / "network.json").read_text())["names"] == [
        {"name": name, "path": path, "product": 0} for name, path in LEFT.items()
    ]
    loaded = seviz.load(str(save), trust_code=True)
    assert paths(loaded) == LEFT
    listed = CliRunner().invoke(app, ["blocks", str(save), "--json", "--trust-code"])
    assert {block["name"]: block["path"] for block in json.loads(listed.stdout)} == LEFT
    counted = CliRunner().invoke(app, ["complexity", str(save), "--json", "--trust-code"])
    assert list(json.loads(counted.stdout)[0]["blocks"]) == list(LEFT)
    once_more = remove(loaded, ["SE_2_1"])
    assert list(once_more.blocks) == ["SE_2_3", "SE_3_1"]
    seviz.save(once_more, again)
    assert paths(seviz.load(str(again), trust_code=True)) == {name: LEFT[name] for name in ("SE_2_3", "SE_3_1")}
    assert staged.changed(nn.Identity(), modules=False).names == {(path, 0): name for name, path in PATHS.items()}


def test_names_go_through_narrowed_branches(tmp_path: Path) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    whole = {name: block.path for name, block in network.blocks.items()}
    folded = fold_to(network, {"SE_2_2": 0.5})
    random = np.random.default_rng(0)
    scores = pd.concat(
        [
            pd.DataFrame({"block": name, "channel": range(block.channels), "score": random.random(block.channels)})
            for name, block in folded.blocks.items()
            if name in ("SE_2_3", "SE_4_1")
        ]
    )
    pruned = prune(folded, scores, kind="branch", keep_channels=0.6)
    expected = {name: path for name, path in whole.items() if name != "SE_2_2"}
    expected |= {name: f"{expected[name]}.block" for name in ("SE_2_3", "SE_4_1")}
    assert paths(pruned) == expected
    left = pruned.blocks["SE_2_3"].channels
    again = pd.DataFrame({"block": "SE_2_3", "channel": range(left), "score": random.random(left)})
    twice = prune(pruned, again, kind="branch", keep_channels=0.6)
    assert paths(twice) == expected
    seviz.save(twice, tmp_path / "pruned")
    assert paths(seviz.load(str(tmp_path / "pruned"))) == expected


def test_a_run_before_folding_and_one_after_are_paired_module_by_module(staged: Network, tmp_path: Path) -> None:
    """SE_2_2 is all but constant: without it the gates of the others are the same."""
    before = capture(staged, tmp_path / "before")
    after = capture(fold(staged, before, ["SE_2_2"]), tmp_path / "after")
    assert after.blocks == tuple(LEFT)
    table = compare(before, after)
    assert list(zip(table["block"], table["other_block"], strict=True)) == [(name, name) for name in LEFT]
    assert table["paired_by"].tolist() == ["path"] * 3
    assert table["difference"].abs().max() < 1e-4
    assert (table["correlation_of_means"] > 0.9999).all()
    remark = f"Without counterpart in {str(after.path)!r}: SE_2_2 of {str(before.path)!r}."
    assert remark in table.attrs["remarks"]
    assert compare_by_class(before, after)["difference"].abs().max() < 1e-4
    by_place = compare(before, after, match="position").set_index("block")
    assert by_place["paired_by"].tolist() == ["position"] * 3
    assert abs(by_place["difference"]["SE_2_2"]) > 0.01  # as of another module

    changed = after.manifest.model.changed
    assert changed is not None
    assert (changed.base, changed.what) == (staged.spec, "1 module taken out (1.se), other weights")
    assert changed.changes == {"removed": ["1.se"], "spread": {}, "widths": {}, "shapes": {}}
    assert before.manifest.model.changed is None
    assert seviz.open_run(after.path).manifest == after.manifest


def test_a_saved_network_without_names_is_read_as_before(staged: Network, tmp_path: Path) -> None:
    seviz.save(fold_to(staged, {"SE_2_2": 0.5}), tmp_path / "saved")
    file = tmp_path / "saved" / "network.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in record.items() if key != "names"}))
    assert list(seviz.load(str(tmp_path / "saved"), trust_code=True).blocks) == ["SE_2_1", "SE_2_2", "SE_3_1"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([("SE_2_1", "no.such", 0)], r"names has SE_2_1 at 'no\.such', and there is no such module in this Sequential"),
        ([("SE_2_1", "0.se", 0), ("SE_2_1", "2.se", 0)], r"names\[1\] repeats the name 'SE_2_1'"),
        ([("SE_2_1", "0.se", 0), ("SE_2_2", "0.se", 0)], r"names\[1\] repeats .*, or the place '0\.se', 0"),
        ([("first", "0.se", 0)], r"names\[0\]\.name is 'first', expected SE_stage_block, such as SE_2_1"),
        ([("SE_2_1", "0.se", -1)], r"names\[0\]\.product is -1, expected int >= 0"),
        ([("SE_2_1", 3, 0)], r"names\[0\]\.path is 3, expected str"),
        ({"SE_2_1": "0.se"}, "names is an object of 1 fields, expected array"),
    ],
)
def test_damaged_names_say_so(names: object, message: str, staged: Network, tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    entries = (
        [{"name": name, "path": path, "product": product} for name, path, product in names]
        if isinstance(names, list)
        else names
    )
    seviz.save(staged, tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "names": entries}))
    with pytest.raises(SavedNetworkError, match=rf"network\.json' is damaged: {message}"):
        seviz.load(str(tmp_path), trust_code=True)


def test_a_network_without_blocks_has_an_empty_mapping(staged: Network) -> None:
    plain = replace(staged, model=nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(768, 3)).eval())
    assert plain.blocks == {}
    with pytest.raises(NoSEBlocksError, match=r"no SE block in Sequential.*Networks with SE blocks are"):
        plain.require_blocks()
    assert staged.require_blocks() is staged.blocks


WITHOUT: dict[str, Callable[[Network, pd.DataFrame, Run], object]] = {
    "fold": lambda network, scores, run: fold(network, run),
    "fold_to": lambda network, scores, run: fold_to(network, {"SE_2_1": 0.5}),
    "foldable": lambda network, scores, run: seviz.foldable(network),
    "remove": lambda network, scores, run: remove(network),
    "importance": lambda network, scores, run: seviz.importance(network, None, "random"),
    "prune": lambda network, scores, run: prune(network, scores, keep_channels=0.8),
    "mask": lambda network, scores, run: seviz.mask(network, scores, keep=0.5).__enter__(),
}


def test_what_needs_blocks_says_that_there_are_none(staged: Network, tiny_run: Run) -> None:
    plain = replace(staged, model=nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(768, 3)).eval())
    scores = pd.DataFrame({"block": "SE_2_1", "channel": [0, 1], "score": [1.0, 2.0]})
    for needs in WITHOUT.values():
        with pytest.raises(NoSEBlocksError, match="no SE block in Sequential"):
            needs(plain, scores, tiny_run)


def test_what_needs_no_blocks_goes_on_without(staged: Network) -> None:
    """The network takes every image for the class of its greatest bias."""
    plain = replace(staged, model=nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).eval())
    with torch.no_grad():
        plain.model[1].weight.zero_()
        plain.model[1].bias.copy_(torch.tensor([0.0, 2.0, 1.0]))
    batches = [(torch.randn(4, 3, 16, 16), torch.tensor([1, 1, 0, 2]))]
    assert evaluate(plain, data=batches, device="cpu").predicted.tolist() == [1, 1, 1, 1]
    with torch.no_grad(), seviz.capture_gates(plain.model, plain.blocks) as gates:
        plain.model(batches[0][0])
    assert dict(gates) == {}
    assert side_by_side({"one": plain, "two": plain}, batches, Reading(device="cpu"))["blocks"].tolist() == [0, 0]
