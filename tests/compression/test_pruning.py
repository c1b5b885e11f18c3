"""Pruned networks are compared with the same network whose channels are silenced instead of removed."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import seviz
from seviz.compression.budget import fewest
from seviz.compression.coupling import Graph
from seviz.compression.inner import inner_scores
from seviz.compression.pruning import prune, prune_with_record, pruning_table
from seviz.compression.rounds import prune_in_steps
from seviz.compression.sites import Kind, blank_image, producers_of
from seviz.compression.stages import stage_importance
from seviz.errors import MissingPackageError, NoSEBlocksError, OptionError, PruningError
from seviz.network.complexity import complexity_of
from seviz.network.networks import Network
from seviz.network.spread import Spread
from seviz.options import Budget

# Each with what only it shows of which channels go together.
CASES: dict[str, tuple[str, Kind]] = {
    "basic block, before its last convolution": ("timm/legacy_seresnet18", "inner"),
    "basic block, its branch": ("timm/legacy_seresnet18", "branch"),
    "basic block, its stream": ("timm/legacy_seresnet18", "stream"),
    "bottleneck, its branch": ("seviz/seresnet50-cifar10", "branch"),
    "grouped convolutions": ("timm/legacy_seresnext26_32x4d", "inner"),
    "grouped convolutions, a deep stem, pooled shortcuts": ("timm/seresnext26d_32x4d", "stream"),
    "groups of one width, what the gate scales": ("timm/regnety_002", "gated"),
    "groups of one width, what it is made from": ("timm/regnety_002", "inner"),
    "depthwise convolutions": ("timm/efficientnet_b0", "gated"),
    "hard sigmoid, blocks without a gate": ("timm/mobilenetv3_small_100", "gated"),
    "concatenation with what is computed from it": ("timm/ghostnet_100", "gated"),
    "padding as in TensorFlow, fused blocks": ("timm/tf_efficientnetv2_b0", "gated"),
    "torchvision's blocks": ("torchvision/mobilenet_v3_small", "gated"),
    "inserted blocks, their branch": ("torchvision/resnet18+se", "branch"),
    "inserted blocks, before the last convolution": ("torchvision/resnet18+se", "inner"),
}


@cache
def loaded(spec: str) -> Network:
    """A network for small images whose BatchNorms have statistics of their own."""
    network = seviz.load(spec, weights="none")
    generator = torch.Generator().manual_seed(0)
    for module in network.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            with torch.no_grad():
                for tensor, least in ((module.weight, 0.5), (module.running_var, 0.5), (module.running_mean, -0.5)):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + least)
                module.bias.copy_(torch.rand(module.bias.shape, generator=generator) - 0.3)
    side = min(64, network.input_size[1])
    return replace(network, input_size=(3, side, side))


def images(network: Network) -> torch.Tensor:
    return torch.randn(2, *network.input_size, generator=torch.Generator().manual_seed(1))


def output(network: Network) -> torch.Tensor:
    with torch.no_grad():
        return network.model(images(network))


def assert_same(one: Network, other: Network) -> None:
    """In double precision, so that the order of sums does not count."""
    with torch.no_grad():
        found, expected = (copy.deepcopy(network.model).double()(images(one).double()) for network in (one, other))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def layers_before(network: Network) -> dict[str, str]:
    """Of each block the convolution whose outputs the one before the block takes."""
    graph = Graph(network.model, blank_image(network))
    found = {name: [graph.maker(piece.convolution) for piece in made] for name, made in producers_of(network).items()}
    return {name: paths[0] for name, paths in found.items() if paths and paths[0]}


def random_scores(network: Network, kind: Kind, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    blocks = network.blocks
    whose: list[tuple[dict[str, Any], int]]
    if kind == "stream":
        stages = {block.stage: block.channels for block in blocks.values()}
        whose = [({"stage": stage}, channels) for stage, channels in stages.items()]
    elif kind == "inner":
        layers = layers_before(network)
        whose = [
            ({"block": name, "layer": path}, network.model.get_submodule(path).out_channels)
            for name, path in layers.items()
        ]
    else:
        whose = [({"block": name, "layer": block.path}, block.channels) for name, block in blocks.items()]
    return pd.concat(
        [pd.DataFrame({**who, "channel": np.arange(n), "score": random.random(n)}) for who, n in whose],
        ignore_index=True,
    )


def gone_of(scores: pd.DataFrame, kept: pd.DataFrame, keys: list[str]) -> dict[Any, list[int]]:
    both = scores.merge(kept, on=[*keys, "channel"], how="left", indicator=True)
    removed = both[both["_merge"] == "left_only"]
    return {key[-1]: rows["channel"].tolist() for key, rows in removed.groupby(keys)}


def silence(module: nn.Module, channels: list[int]) -> None:
    with torch.no_grad():
        module.weight[channels] = 0
        if module.bias is not None:
            module.bias[channels] = 0


@pytest.mark.parametrize("case", CASES)
def test_a_pruned_network_runs_and_costs_what_was_announced(case: str) -> None:
    spec, kind = CASES[case]
    network = loaded(spec)
    before, whole = output(network), sum(p.numel() for p in network.model.parameters())
    scores = random_scores(network, kind)
    pruned = prune_with_record(network, scores, Budget(parameters=0.85), kind=kind)

    assert torch.equal(before, output(network))
    after = complexity_of(pruned.network.model, network.input_size, blocks={}).with_se
    assert after.parameters == pruned.parameters == sum(p.numel() for p in pruned.network.model.parameters())
    assert after.multiply_adds == pruned.multiply_adds
    assert 0.83 * whole < pruned.parameters <= 0.85 * whole
    assert list(pruned.network.blocks) == list(network.blocks)

    logits = pruned.network.model(images(network))
    assert logits.shape == before.shape
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in pruned.network.model.parameters())


@pytest.mark.parametrize("spec", ["timm/mobilenetv3_small_100", "timm/ghostnet_100", "timm/regnety_002"])
def test_gated_channels_leave_no_trace(spec: str) -> None:
    """As if the BatchNorm gave zero where a channel went, and whatever comes after took none of it."""
    network = loaded(spec)
    scores = random_scores(network, "gated")
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.7))
    silent = replace(network, model=copy.deepcopy(network.model))
    for block, channels in gone_of(scores, pruned.kept, ["block"]).items():
        for piece in producers_of(network)[block]:
            inside = [c - piece.start for c in channels if piece.start <= c < piece.stop]
            silence(silent.model.get_submodule(piece.norm), inside)
    assert_same(pruned.network, silent)
    share = len(pruned.kept) / len(scores)
    assert share == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("spec", ["timm/legacy_seresnet18", "timm/legacy_seresnext26_32x4d"])
def test_inner_channels_leave_no_trace(spec: str) -> None:
    network = loaded(spec)
    scores = random_scores(network, "inner")
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.75), kind="inner")
    silent = replace(network, model=copy.deepcopy(network.model))
    for layer, channels in gone_of(scores, pruned.kept, ["block", "layer"]).items():
        silence(silent.model.get_submodule(layer.replace("conv", "bn")), channels)
    assert_same(pruned.network, silent)


@pytest.mark.parametrize("spec", ["timm/legacy_seresnet18", "seviz/seresnet50-cifar10"])
def test_a_narrowed_branch_is_the_one_whose_gates_lost_inputs_and_outputs(spec: str) -> None:
    network = loaded(spec)
    scores = random_scores(network, "branch")
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.6), kind="branch")
    silent = replace(network, model=copy.deepcopy(network.model))
    gone = gone_of(scores, pruned.kept, ["block"])
    for block, channels in gone.items():
        (piece,) = producers_of(network)[block]
        silence(silent.model.get_submodule(piece.norm), channels)
    assert_same(pruned.network, silent)
    for name, block in network.blocks.items():
        wrapped = pruned.network.model.get_submodule(block.path)
        assert isinstance(wrapped.spread, Spread)
        assert sorted({*range(block.channels)} - {*wrapped.spread.kept.tolist()}) == gone[name]
        assert pruned.network.blocks[name].channels == len(wrapped.spread.kept)


def test_a_branch_is_narrowed_twice() -> None:
    network = loaded("timm/legacy_seresnet18")
    first = prune_with_record(network, random_scores(network, "branch"), Budget(keep_channels=0.7), kind="branch")
    second = prune_with_record(
        first.network, random_scores(first.network, "branch", seed=1), Budget(keep_channels=0.7), kind="branch"
    )
    silent = replace(network, model=copy.deepcopy(network.model))
    both = first.kept.rename(columns={"now": "then"}).merge(
        second.kept.rename(columns={"channel": "then"}), on=["block", "then"]
    )
    for block, channels in gone_of(random_scores(network, "branch"), both, ["block"]).items():
        (piece,) = producers_of(network)[block]
        silence(silent.model.get_submodule(piece.norm), channels)
    assert_same(second.network, silent)
    assert sum(isinstance(module, Spread) for module in second.network.model.modules()) == 8


def test_the_lowest_scores_go_first() -> None:
    network = loaded("timm/mobilenetv3_small_100")
    scores = random_scores(network, "gated")
    for scope in ("global", "stage", "block"):
        kept = prune_with_record(network, scores, Budget(keep_channels=0.6), scope=scope).kept  # type: ignore[arg-type]
        both = scores.merge(kept, on=["block", "channel"], how="left")
        both["relative"] = both["score"] / both.groupby("block")["score"].transform("mean")
        stays = both["now"].notna()
        pool = {"global": [0] * len(both), "stage": both["block"].str[:4], "block": both["block"]}[scope]
        for _, rows in both.assign(stays=stays).groupby(pool):
            assert rows.loc[~rows["stays"], "relative"].max() <= rows.loc[rows["stays"], "relative"].min()
            if scope != "global":
                assert rows["stays"].mean() == pytest.approx(0.6, abs=0.05)


def test_it_is_what_torch_pruning_removes_by_itself() -> None:
    """Its own pruner, given the same scores as its `Importance`, takes the same channels."""
    import torch_pruning as tp

    network = loaded("timm/mobilenetv3_small_100")
    scores = random_scores(network, "gated")
    by_block = {name: rows["score"].to_numpy(copy=True) for name, rows in scores.groupby("block")}
    model = copy.deepcopy(network.model)
    producer = {model.get_submodule(made[0].convolution): name for name, made in producers_of(network).items()}

    class Given(tp.importance.Importance):
        def __call__(self, group: Any) -> torch.Tensor | None:
            for dependency, _ in group:
                if (name := producer.get(dependency.target.module)) is not None:
                    return torch.from_numpy(by_block[name])
            return None

    pruner = tp.pruner.BasePruner(
        model, (blank_image(network),), Given(), pruning_ratio=0.25, ignored_layers=[model.classifier]
    )
    pruner.step()
    ours = prune_with_record(network, scores, Budget(keep_channels=0.75), scope="block")
    # Its pruner rounds up in each layer, ours over all.
    assert ours.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.01)
    for module, name in producer.items():
        assert module.out_channels == pytest.approx((ours.kept["block"] == name).sum(), abs=1)


@pytest.mark.parametrize("quantity", ["flops", "parameters"])
def test_a_budget_is_kept_and_used(quantity: Any) -> None:
    network = loaded("timm/regnety_002")
    before = complexity_of(network.model, network.input_size, blocks={}).with_se
    pruned = prune_with_record(network, random_scores(network, "gated"), Budget(**{quantity: 0.75}))
    share = {
        "flops": pruned.multiply_adds / before.multiply_adds,
        "parameters": pruned.parameters / before.parameters,
    }[quantity]
    assert 0.735 < share <= 0.75


def test_widths_are_rounded() -> None:
    network = loaded("timm/efficientnet_b0")
    scores = random_scores(network, "gated")
    pruned = prune(network, scores, keep_channels=0.6, round_to=8)
    widths = {name: block.channels for name, block in network.blocks.items()}
    left = {name: block.channels for name, block in pruned.blocks.items()}
    assert all(left[name] % 8 == 0 or left[name] == widths[name] for name in left)
    assert sum(left.values()) <= 0.6 * sum(widths.values())


def test_groups_lose_as_many_channels_each() -> None:
    network = loaded("timm/legacy_seresnext26_32x4d")
    scores = random_scores(network, "inner")
    kept = prune_with_record(network, scores, Budget(keep_channels=0.75), kind="inner").kept
    for layer, rows in kept.groupby("layer"):
        convolution = network.model.get_submodule(layer)
        width = convolution.out_channels // convolution.groups
        assert len(set(np.bincount(rows["channel"] // width, minlength=convolution.groups).tolist())) == 1


def test_no_layer_loses_more_than_its_share() -> None:
    network = loaded("timm/legacy_seresnet18")
    scores = random_scores(network, "inner")
    scores.loc[scores["block"] != "SE_2_1", "score"] += 1000  # so that nearly half of SE_2_1 would go first
    kept = prune_with_record(network, scores, Budget(keep_channels=0.9), kind="inner", max_share=0.25).kept
    assert (kept["block"] == "SE_2_1").sum() == 48


def test_frozen_layers_stay_frozen() -> None:
    network = replace(loaded("timm/mobilenetv3_small_100"))
    model = copy.deepcopy(network.model)
    model.conv_stem.requires_grad_(False)
    model.blocks[0].requires_grad_(False)
    pruned = prune(replace(network, model=model), random_scores(network, "gated"), keep_channels=0.7)
    for (name, old), (_, new) in zip(model.named_parameters(), pruned.model.named_parameters(), strict=True):
        assert old.requires_grad == new.requires_grad, name


def test_the_table_tells_what_was_removed() -> None:
    network = loaded("timm/legacy_seresnet18")
    scores = random_scores(network, "branch")
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.6), kind="branch")
    table = pruning_table(network, pruned.network).set_index("block")
    assert list(table.index) == list(network.blocks)
    assert table["channels_before"].tolist() == [64, 64, 128, 128, 256, 256, 512, 512]
    assert table["channels_after"].to_dict() == pruned.kept["block"].value_counts().to_dict()
    assert table["inner_before"].equals(table["inner_after"].rename("inner_before"))
    inner = prune_with_record(network, random_scores(network, "inner"), Budget(keep_channels=0.6), kind="inner")
    table = pruning_table(network, inner.network).set_index("block")
    assert table["inner_after"].to_dict() == inner.kept["block"].value_counts().to_dict()
    assert table["stage"].tolist() == [2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("spec", ["timm/legacy_seresnext26_32x4d", "timm/regnety_002", "timm/legacy_seresnet18"])
def test_inner_scores_follow_the_formula(spec: str, tmp_path: Path) -> None:
    network = loaded(spec)
    pictures = images(network)
    with pytest.warns(UserWarning, match="weights of the SE blocks are untrained"):
        run = seviz.collect(network, [(pictures, torch.zeros(2).long())], tmp_path / "run", compile="off", device="cpu")
    with seviz.capture_gates(network.model, network.blocks) as gates:
        output(network)
    table = inner_scores(network, run)
    assert list(table.columns) == ["block", "layer", "channel", "score"]
    name = list(network.blocks)[1]
    rows = table[table["block"] == name]
    (piece,) = producers_of(network)[name]
    convolution, norm = network.model.get_submodule(piece.convolution), network.model.get_submodule(piece.norm)
    outputs, inputs = convolution.out_channels // convolution.groups, convolution.in_channels // convolution.groups
    mean = gates[name].double().mean(0)
    for j in (0, 5, len(rows) - 1):
        expected = 0.0
        for c in range(convolution.out_channels):
            if c // outputs == j // inputs:
                factor = norm.weight[c].item() / (norm.running_var[c].item() + norm.eps) ** 0.5
                kernel = convolution.weight[c, j % inputs].detach().double().numpy()
                expected += mean[c].item() * abs(factor) * np.sqrt((kernel**2).sum())
        assert rows["score"].iloc[j] == pytest.approx(expected, rel=1e-4)
    assert all(network.model.get_submodule(layer).out_channels == len(rows) for layer in rows["layer"].unique())
    with pytest.raises(OptionError, match="is of another network"):
        inner_scores(loaded("timm/mobilenetv3_small_100"), run)


def test_steps_measure_anew_and_keep_track() -> None:
    network = loaded("timm/legacy_seresnet18")
    before = complexity_of(network.model, network.input_size, blocks={}).with_se
    calls: list[Network] = []

    def score(net: Network) -> pd.DataFrame:
        """The size of the outputs of each first convolution, and after the first step the other way round."""
        calls.append(net)
        sign = 1 if len(calls) == 1 else -1
        tables = [
            pd.DataFrame({"block": block, "layer": path, "channel": np.arange(len(w)), "score": 99 + sign * w})
            for block, path in layers_before(net).items()
            for w in [net.model.get_submodule(path).weight.detach().flatten(1).norm(dim=1).double().numpy()]
        ]
        return pd.concat(tables, ignore_index=True)

    rounds = prune_in_steps(network, score, steps=2, kind="inner", parameters=0.64)
    assert calls == [network, *rounds.networks]
    sizes = [sum(p.numel() for p in net.model.parameters()) / before.parameters for net in rounds.networks]
    assert sizes == pytest.approx([0.8, 0.64], rel=0.01)
    one, two = (rounds.agreement[rounds.agreement["step"] == step] for step in (1, 2))
    np.testing.assert_allclose(one["spearman"], -1)
    np.testing.assert_allclose(two["spearman"], 1)
    for step, net in enumerate(rounds.networks, 1):
        for layer, rows in rounds.kept[rounds.kept["step"] == step].groupby("layer"):
            old, new = network.model.get_submodule(layer).weight, net.model.get_submodule(layer).weight
            assert rows["now"].tolist() == list(range(len(new)))
            assert torch.equal(old[rows["channel"].tolist()], new)


def test_agreement_of_scores_that_are_all_equal_is_unknown() -> None:
    network = loaded("timm/legacy_seresnet18")
    rounds = prune_in_steps(
        network, lambda net: random_scores(net, "inner").assign(score=1.0), steps=1, kind="inner", keep_channels=0.8
    )
    assert rounds.agreement["spearman"].isna().all()
    with pytest.raises(OptionError, match="steps is 0, expected at least 1"):
        prune_in_steps(network, lambda net: random_scores(net, "inner"), steps=0, keep_channels=0.8)


def test_a_budget_that_cannot_be_met_says_what_can() -> None:
    network = loaded("timm/legacy_seresnet18")
    scores = random_scores(network, "inner")
    with pytest.raises(
        PruningError, match=r"parameters cannot come down to 1\.0% of the .* before: .* remain"
    ) as error:
        prune(network, scores, kind="inner", parameters=0.01)
    least = float(str(error.value).split("% remain")[0].split()[-1]) / 100
    assert prune(network, scores, kind="inner", parameters=least + 0.001) is not None


def test_the_stream_is_no_gated_channel() -> None:
    network = loaded("timm/legacy_seresnet18")
    with pytest.raises(PruningError, match="summed with others, as in a residual stream; use kind inner, branch or"):
        prune(network, random_scores(network, "gated"), kind="gated", keep_channels=0.8)
    efficient = loaded("timm/efficientnet_b0")
    with pytest.raises(PruningError, match="of stage 2 are no residual stream; use kind gated"):
        prune(
            efficient,
            random_scores(efficient, "gated").query("block == 'SE_2_1'").assign(stage=2).query("channel < 32"),
            kind="stream",
            keep_channels=0.8,
        )


def test_channels_that_are_summed_are_no_inner_channels() -> None:
    network = loaded("timm/legacy_seresnet18")
    table = pd.DataFrame({"block": "SE_2_1", "layer": "layer1.0.conv2", "channel": np.arange(64), "score": 1.0})
    with pytest.raises(PruningError, match=r"outputs of 'layer1\.0\.conv2' are summed with others; use kind branch"):
        prune(network, table, kind="inner", keep_channels=0.8)


def test_what_goes_by_default_is_what_the_scores_are_of() -> None:
    network = loaded("timm/legacy_seresnet18")  # its gated channels are summed with others
    gated, inner = seviz.importance(network, criterion="l2"), seviz.inner_scores(network, criterion="l2")
    for scores, kind in (
        (gated, "branch"),
        (inner, "inner"),
        (stage_importance(network, gated), "stream"),
        (random_scores(network, "gated"), "branch"),  # a table that says nothing
    ):
        assert prune_with_record(network, scores, Budget(keep_channels=0.8)).kind == kind
    mobile = loaded("timm/mobilenetv3_small_100")
    assert (
        prune_with_record(mobile, seviz.importance(mobile, criterion="l2"), Budget(keep_channels=0.8)).kind == "gated"
    )


def test_scores_of_the_bundled_network_prune_it() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    scores = seviz.importance(network, criterion="l2")
    before = complexity_of(network.model, network.input_size, blocks={}).with_se.multiply_adds
    smaller = seviz.prune(network, scores, flops=0.9)
    left = complexity_of(smaller.model, smaller.input_size, blocks={}).with_se.multiply_adds / before
    assert 0.89 < left <= 0.9
    with pytest.raises(PruningError, match=r"cannot come down to 50\.0% .*; by the inner channels, which seviz"):
        seviz.prune(network, scores, flops=0.5)
    half = seviz.prune(network, seviz.inner_scores(network, criterion="l2"), flops=0.5)
    assert complexity_of(half.model, half.input_size, blocks={}).with_se.multiply_adds <= 0.5 * before


def test_a_budget_of_all_removes_nothing() -> None:
    network = loaded("timm/mobilenetv3_small_100")
    scores = seviz.importance(network, criterion="l2")
    for budget in (Budget(flops=1), Budget(parameters=1.0), Budget(keep_channels=1.0)):
        whole = prune_with_record(network, scores, budget)
        assert len(whole.kept) == len(scores)
        assert_same(whole.network, network)


def test_what_slides_over_channels_is_refused() -> None:
    network = loaded("timm/ecaresnet26t")
    with pytest.raises(PruningError, match="slides over channels, as in ECA"):
        prune(network, random_scores(network, "gated"), keep_channels=0.8)


def test_what_the_network_returns_stays(tiny_network: Network) -> None:
    model = nn.Sequential(*tiny_network.model.stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = replace(tiny_network, model=model.eval())
    with pytest.raises(PruningError, match="what the network returns"):
        prune(network, random_scores(network, "gated").query("block == 'SE_4_1'"), kind="gated", keep_channels=0.8)


def test_a_block_that_is_no_module_of_its_own_has_no_branch_to_narrow() -> None:
    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.excite = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            u = self.convolution(x)
            return u * torch.sigmoid(self.excite(u.mean((2, 3))))[:, :, None, None]

    base = loaded("timm/legacy_seresnet18")
    model = nn.Sequential(Unit(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
    network = replace(base, model=model, input_size=(3, 16, 16))
    with pytest.raises(PruningError, match="is no module of its own, from feature map to feature map"):
        prune(network, random_scores(network, "branch"), kind="branch", keep_channels=0.8)
    assert prune(network, random_scores(network, "gated"), keep_channels=0.5).model[3].in_features == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the budget is none, expected exactly one of flops, parameters and keep_channels"),
        ({"flops": 0.5, "keep_channels": 0.5}, r"the budget is flops 0\.5 and keep_channels 0\.5, expected exactly"),
        ({"flops": 1.1}, r"flops is 1\.1, expected the share that is kept, above 0 and at most 1"),
        ({"keep_channels": 0.0}, r"keep_channels is 0\.0, expected the share that is kept, above 0 and at most 1"),
        ({"keep_channels": "half"}, "keep_channels is 'half', expected the share that is kept"),
        ({"channels": 0.3}, "prune takes no channels any more; give keep_channels=, .*: 1 less channels"),
        (
            {"keep_channels": 0.5, "kind": "outer"},
            "kind is 'outer', expected one of auto, gated, inner, branch",
        ),
        ({"keep_channels": 0.5, "scope": "layer"}, "scope is 'layer', expected one of global, stage, block"),
        ({"keep_channels": 0.5, "round_to": 0}, "round_to is 0, expected at least 1"),
        ({"keep_channels": 0.5, "max_share": 1.0}, r"max_share is 1\.0, expected a share between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    network = loaded("timm/mobilenetv3_small_100")
    with pytest.raises(OptionError, match=message):
        prune(network, random_scores(network, "gated"), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="score"), "expected block, channel, score for kind 'gated'; score is missing"),
        (lambda t: t.iloc[:0], "scores are empty"),
        (lambda t: t.assign(score=np.nan), "scores hold NaN or infinity"),
        (lambda t: t.iloc[1:], "the channels of SE_2_1 in scores are not 0 to 14, each once"),
        (
            lambda t: t.assign(block="SE_9_9").iloc[:16],
            "scores have the block 'SE_9_9', expected blocks of the network",
        ),
        (lambda t: t.iloc[:15], "scores have 15 channels of SE_2_1, which has 16: they are of another network, or of"),
    ],
)
def test_scores_of_another_form_are_refused(change: Any, message: str) -> None:
    network = loaded("timm/mobilenetv3_small_100")
    with pytest.raises(OptionError, match=message):
        prune(network, change(random_scores(network, "gated")), keep_channels=0.8)


def test_scores_of_other_layers_and_stages_are_refused() -> None:
    network = loaded("timm/legacy_seresnet18")
    table = pd.DataFrame({"block": "SE_2_1", "layer": "layer1.0.bn1", "channel": np.arange(64), "score": 1.0})
    with pytest.raises(OptionError, match=r"scores have the layer 'layer1\.0\.bn1', expected a convolution"):
        prune(network, table, kind="inner", keep_channels=0.8)
    with pytest.raises(OptionError, match=r"scores have the stage 7, expected stages of the network: \[2, 3, 4, 5\]"):
        prune(network, table.assign(stage=7), kind="stream", keep_channels=0.8)


def test_a_network_without_blocks_has_nothing_to_prune(tiny_network: Network) -> None:
    plain = replace(tiny_network, model=nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).eval())
    table = pd.DataFrame({"block": "SE_2_1", "channel": [0, 1], "score": [1.0, 2.0]})
    with pytest.raises(NoSEBlocksError, match="no SE block"):
        prune(plain, table, keep_channels=0.8)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = loaded("timm/mobilenetv3_small_100")
    scores = random_scores(network, "gated")
    monkeypatch.setitem(__import__("sys").modules, "torch_pruning", None)
    with pytest.raises(MissingPackageError, match=r"removing channels needs torch-pruning .* install 'seviz\[prune\]'"):
        prune(network, scores, keep_channels=0.8)


def test_the_fewest_removals_are_found() -> None:
    random = np.random.default_rng(0)
    left = 10_000 - np.concatenate([[0], np.cumsum(random.integers(0, 9, 1000))])
    for share in (0.9, 0.75, 0.65):
        found = fewest(lambda k: int(left[k]), 1000, Budget(flops=share))
        assert left[found] <= share * 10_000
        assert left[found] >= 0.998 * share * 10_000 or left[found - 1] > share * 10_000
