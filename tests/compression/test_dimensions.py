"""Networks over one, two and three position axes, in both layouts: masked, folded, pruned, counted, run and exported.

What comes out is compared with the same network whose modules were changed by hand.
"""

import copy
import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import seviz
from seviz.capture.engines import running
from seviz.compression.checking import check
from seviz.compression.export import export_onnx, export_program
from seviz.compression.folding import fold_to, foldable, remove
from seviz.compression.importance import importance
from seviz.compression.inner import inner_scores
from seviz.compression.pruning import prune_with_record, pruning_table
from seviz.compression.recalibration import recalibrate
from seviz.compression.sites import Kind
from seviz.compression.stages import stage_importance
from seviz.compression.tuning import Recipe, _augmented, fine_tune
from seviz.experiments.latency import latency
from seviz.network.changes import Changes, apply_changes, changes_between
from seviz.network.complexity import complexity_of
from seviz.network.networks import Network
from seviz.options import Budget
from seviz.run.manifest import EngineRecord
from tests import dimensions
from tests.dimensions import BATCHNORM, CASES, CHANNELS, CLASSES, CONVOLUTION, SIDES, ConvSE, Layout, LinearSE

each_case = pytest.mark.parametrize(("d", "layout"), CASES, ids=[f"{d}-{layout}" for d, layout in CASES])


@cache
def wrapped(d: int, layout: Layout) -> Network:
    """The network of a case; nobody changes it."""
    names = [f"class {k}" for k in range(CLASSES)]
    return seviz.wrap(dimensions.network(d, layout), dimensions.inputs(d, layout), class_names=names)


@cache
def gated(d: int, layout: Layout) -> Network:
    """A network whose SE block scales channels that are summed with no others, between two layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(d)
        first, last = nn.Linear(CHANNELS, 8), nn.Linear(8, 6)
        layers: list[nn.Module] = [first, nn.ReLU(), LinearSE(8, "last"), last]
        if layout == "first":
            conv = CONVOLUTION[d]
            layers = [conv(CHANNELS, 8, 3, stride=2), BATCHNORM[d](8), nn.ReLU(), ConvSE(8, d), conv(8, 6, 3, groups=2)]
        return seviz.wrap(nn.Sequential(*layers).eval(), dimensions.inputs(d, layout))


def doubled(model: nn.Module, d: int, layout: Layout) -> Tensor:
    """What a model gives in double precision, so that the order of sums does not count."""
    with torch.no_grad():
        return copy.deepcopy(model).double()(dimensions.inputs(d, layout, rows=3, seed=4).double())


def assert_same(model: nn.Module, by_hand: nn.Module, d: int, layout: Layout) -> None:
    torch.testing.assert_close(doubled(model, d, layout), doubled(by_hand, d, layout), rtol=1e-9, atol=1e-9)


class Constant(nn.Module):
    """Stands for an SE block whose gate is written in."""

    def __init__(self, gate: np.ndarray[Any, Any], d: int, layout: Layout) -> None:
        super().__init__()
        shape = (-1,) if layout == "last" else (-1, *(1,) * d)
        self.register_buffer("gate", torch.from_numpy(gate).reshape(shape))

    def forward(self, u: Tensor) -> Tensor:
        return u * self.gate


def with_constants(network: Network, gates: Mapping[str, np.ndarray[Any, Any]], d: int, layout: Layout) -> nn.Module:
    model = copy.deepcopy(network.model).double()
    for name, gate in gates.items():
        model.set_submodule(network.blocks[name].path, Constant(gate, d, layout))
    return model


def random_gates(network: Network) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {name: random.uniform(0.1, 1, block.channels) for name, block in network.blocks.items()}


def silenced(network: Network, gone: Mapping[str, list[int]]) -> nn.Module:
    """The network with the outputs of some layers or normalisations at zero."""
    model = copy.deepcopy(network.model)
    with torch.no_grad():
        for path, channels in gone.items():
            module: Any = model.get_submodule(path)
            module.weight[channels] = 0
            module.bias[channels] = 0
    return model


@each_case
def test_masked_gates_are_zero(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    random = np.random.default_rng(1)
    rows = [(name, k, random.random()) for name, block in network.blocks.items() for k in range(block.channels)]
    scores = pd.DataFrame(rows, columns=["block", "channel", "score"])
    x = dimensions.inputs(d, layout)

    hooks = []
    for name, block in network.blocks.items():
        own = scores[scores["block"] == name].sort_values("score")
        kept = torch.ones(block.channels)
        kept[own["channel"].tolist()[: block.channels // 4]] = 0

        def silence(_: nn.Module, given: Any, scaled: Tensor, kept: Tensor = kept) -> Tensor:
            return scaled * (kept if layout == "last" else kept.reshape(-1, *(1,) * d))

        hooks.append(network.model.get_submodule(block.path).register_forward_hook(silence))
    with torch.no_grad():
        expected = network.model(x)
        for hook in hooks:
            hook.remove()
        with seviz.mask(network, scores, keep=0.75, scope="block"):
            found = network.model(x)
        assert not torch.allclose(network.model(x), expected, rtol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@each_case
def test_folded_gates_are_those_written_in(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    table = foldable(network)
    layers = {"first": ["unit1.bn2", "unit2.bn2"], "last": ["unit1.fc2", "unit2.fc2"]}[layout]
    assert table["layers"].tolist() == layers
    assert table["side"].tolist() == ["before", "before"]
    assert table["parameters"].tolist() == [8 * 4 + 4 + 4 * 8 + 8, 16 * 4 + 4 + 4 * 16 + 16]

    gates = random_gates(network)
    folded = fold_to(network, gates)
    assert not any(isinstance(module, LinearSE | ConvSE) for module in folded.model.modules())
    expected = doubled(with_constants(network, gates, d, layout), d, layout)
    torch.testing.assert_close(doubled(folded.model, d, layout), expected, rtol=1e-6, atol=1e-6)

    ones = {name: np.ones(block.channels) for name, block in network.blocks.items()}
    assert_same(remove(network).model, with_constants(network, ones, d, layout), d, layout)


@each_case
def test_gates_go_after_a_block_where_none_can_go_before(d: int, layout: Layout) -> None:
    """Behind a SiLU they go into the next layer, here of two groups where it is a convolution."""
    network = gated(d, layout)
    model = copy.deepcopy(network.model)
    relu = "2" if layout == "first" else "1"
    model.set_submodule(relu, nn.SiLU())
    network = seviz.wrap(model, dimensions.inputs(d, layout))
    gates = {name: gate * 2 - 1 for name, gate in random_gates(network).items()}  # no ReLU in the way of negative ones
    assert foldable(network)[["side", "layers"]].to_numpy().tolist() == [["after", "4" if layout == "first" else "3"]]
    folded = fold_to(network, gates)
    expected = doubled(with_constants(network, gates, d, layout), d, layout)
    torch.testing.assert_close(doubled(folded.model, d, layout), expected, rtol=1e-6, atol=1e-6)


@each_case
@pytest.mark.parametrize("kind", ["inner", "branch"])
def test_pruned_channels_leave_no_trace(d: int, layout: Layout, kind: Kind) -> None:
    network = wrapped(d, layout)
    random = np.random.default_rng(2)
    layer = "conv1" if layout == "first" else "fc1"
    whose: list[tuple[dict[str, str], int]] = [
        ({"block": name, "layer": f"{block.path.partition('.')[0]}.{layer}"}, 8 if kind == "inner" else block.channels)
        for name, block in network.blocks.items()
    ]
    scores = pd.concat(
        [pd.DataFrame({**who, "channel": range(n), "score": random.random(n)}) for who, n in whose], ignore_index=True
    )
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.6), kind=kind)
    made_by = {"first": {"inner": "bn1", "branch": "bn2"}, "last": {"inner": "fc1", "branch": "fc2"}}[layout][kind]
    gone = {}
    for who, n in whose:
        kept = pruned.kept.loc[pruned.kept["block"] == who["block"], "channel"]
        gone[f"{who['layer'].partition('.')[0]}.{made_by}"] = sorted(set(range(n)) - set(kept))
    assert all(gone.values())
    assert_same(pruned.network.model, silenced(network, gone), d, layout)
    assert pruned.parameters == sum(p.numel() for p in pruned.network.model.parameters())
    assert list(pruned.network.blocks) == list(network.blocks)
    table = pruning_table(network, pruned.network)
    left = table["inner_after" if kind == "inner" else "channels_after"]
    assert left.tolist() == [n - len(lost) for (_, n), lost in zip(whose, gone.values(), strict=True)]


@each_case
def test_what_a_block_scales_is_pruned(d: int, layout: Layout) -> None:
    network = gated(d, layout)
    (name,) = network.blocks
    scores = pd.DataFrame({"block": name, "channel": range(8), "score": [5, 1, 8, 2, 7, 6, 3, 4]})
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.75), kind="gated")
    gone = [1, 3] if layout == "last" else [1, 6]  # the last convolution has two groups, and each loses its lowest
    assert sorted(set(range(8)) - set(pruned.kept["channel"])) == gone
    made_by = "0" if layout == "last" else "1"
    assert_same(pruned.network.model, silenced(network, {made_by: gone}), d, layout)


@each_case
def test_a_branch_with_fewer_channels_is_written_down_and_made_again(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    scores = pd.DataFrame({"block": "SE_3_1", "channel": range(16), "score": np.arange(16.0)})
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.5), kind="branch").network
    again = prune_with_record(
        pruned,
        pd.DataFrame({"block": "SE_3_1", "channel": range(8), "score": np.arange(8.0)}),
        Budget(keep_channels=0.5),
        kind="branch",
    ).network
    changes = changes_between(network.model, again.model)
    assert changes.spread == {"unit2.se": ((12, 13, 14, 15), 16)}
    assert changes.last == (("unit2.se",) if layout == "last" else ())
    assert Changes.from_json(changes.to_json()) == changes
    model = dimensions.network(d, layout)
    apply_changes(model, changes)
    model.load_state_dict(again.model.state_dict())
    assert_same(model, again.model, d, layout)


def macs(d: int, layout: Layout) -> tuple[int, int]:
    """Multiply-adds of a network and of its SE blocks, counted by hand."""
    half, quarter = (math.prod(side // stride for side in SIDES[d]) for stride in (2, 4))
    window = 3**d
    stem, head = CHANNELS * 8 * window * half, 16 * CLASSES
    se = 2 * 8 * 4 + 2 * 16 * 4
    if layout == "last":
        return stem + 2 * 8 * 8 * half + (8 * 8 + 8 * 16 + 8 * 16) * quarter + head + se, se
    first, second = 2 * 8 * 8 * window * half, (8 * 8 * window + 8 * 16 * window + 8 * 16) * quarter
    return stem + first + second + head + se, se


@each_case
def test_multiply_adds(d: int, layout: Layout) -> None:
    model = wrapped(d, layout).model
    size = tuple(dimensions.inputs(d, layout).shape[1:])
    found = complexity_of(model, size)
    whole, se = macs(d, layout)
    assert found.input_size == size
    assert found.with_se.multiply_adds == whole
    assert found.se.multiply_adds == se
    assert list(found.blocks) == ["SE_2_1", "SE_3_1"]
    half, quarter = (math.prod(side // stride for side in SIDES[d]) for stride in (2, 4))
    assert [cost.pooled for cost in found.blocks.values()] == [8 * half, 16 * quarter]
    assert [cost.scaled for cost in found.blocks.values()] == [8 * half, 16 * quarter]


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "window"), [("Max", True), ("Avg", True), ("AdaptiveMax", False), ("AdaptiveAvg", False)]
)
def test_pooled_values_are_counted(d: int, kind: str, window: bool) -> None:
    pool = getattr(nn, f"{kind}Pool{d}d")(2)
    found = complexity_of(pool, (3, *SIDES[d]), blocks={})
    read = 3 * math.prod(SIDES[d])  # windows of stride 2 read each value once
    assert found.with_se.pooled == read


def test_what_is_no_size_of_an_input_is_refused() -> None:
    message = (
        r"input_size is \(3,\), expected \(channels, height, width\) such as \(3, 224, 224\), \(channels, length\) or"
        r" \(channels, depth, height, width\)"
    )
    with pytest.raises(seviz.errors.OptionError, match=message):
        complexity_of(nn.Identity(), (3,))
    with pytest.raises(seviz.errors.OptionError, match=message):
        latency({"one": nn.Identity()}, (3,))


@each_case
@pytest.mark.parametrize("name", ["folded", "compiled"])
def test_an_engine_gives_the_same_gates(d: int, layout: Layout, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the compiled engine all but the compiler, which takes half a minute: what it would compile is run."""
    monkeypatch.setattr(torch, "compile", lambda traced, dynamic: traced)
    network = wrapped(d, layout)
    record = EngineRecord(
        name=name, reason="", device="cpu", precision="float32", batch_size=4, threads=1, rotate=False
    )
    x = dimensions.inputs(d, layout, rows=5, seed=3)
    with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
        logits = network.model(x)
    with running(
        network.model, network.blocks, record, signals=("excitation",), input_size=tuple(x.shape[1:])
    ) as forward:
        predictions, values = forward(list(x)).numpy()
    for block in network.blocks:
        np.testing.assert_allclose(values["excitation", block], gates[block].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predictions[:, 0], logits.argmax(1).numpy())


def test_signals_of_whole_numbers_are_taken_as_those_numbers() -> None:
    network = wrapped(1, "first")
    record = EngineRecord(
        name="folded", reason="", device="cpu", precision="float32", batch_size=4, threads=1, rotate=False
    )
    x = (10 * dimensions.inputs(1, rows=3)).to(torch.int16)
    with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
        network.model(x.float())
    size = tuple(x.shape[1:])
    with running(network.model, network.blocks, record, signals=("excitation",), input_size=size) as forward:
        _, values = forward(list(x)).numpy()
    for block in network.blocks:
        np.testing.assert_allclose(values["excitation", block], gates[block].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("d", [1, 3])
def test_batchnorms_are_folded_into_any_convolution(d: int) -> None:
    from seviz.network.batchnorm import fold_batchnorms

    plain = dimensions.network(d)
    model = copy.deepcopy(plain)
    folded = fold_batchnorms(model, dimensions.inputs(d))
    assert set(folded) == {name for name, module in plain.named_modules() if isinstance(module, BATCHNORM[d])}
    torch.testing.assert_close(doubled(model, d, "first"), doubled(plain, d, "first"), rtol=1e-5, atol=1e-5)


def test_a_batchnorm_is_not_folded_where_the_batch_is_missing() -> None:
    """A signal without a batch goes through a convolution, and a BatchNorm takes its channels for the batch."""
    from seviz.network.batchnorm import fold_batchnorms

    model = nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(14)).eval()
    assert fold_batchnorms(model, torch.zeros(3, 16)) == ()


@pytest.mark.parametrize(("d", "layout"), [(1, "first"), (2, "last")])
def test_an_exported_program_gives_the_same(d: int, layout: Layout, tmp_path: Path) -> None:
    network = wrapped(d, layout)
    written = export_program(network, tmp_path / "network.pt2")
    assert written.batch == "dynamic"
    x = dimensions.inputs(d, layout, rows=4, seed=2)
    with torch.no_grad():
        found, expected = torch.export.load(written.path).module()(x), network.model(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_volumes_as_onnx_gives_the_same(tmp_path: Path) -> None:
    import onnxruntime

    network = wrapped(3, "first")
    written = export_onnx(network, tmp_path / "network.onnx")
    assert written.batch == "dynamic"
    x = dimensions.inputs(3, rows=4, seed=2)
    session = onnxruntime.InferenceSession(written.path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network.model(x)
    np.testing.assert_allclose(session.run(None, {"images": x.numpy()})[0], expected, rtol=1e-4, atol=1e-5)


@each_case
def test_each_block_is_checked(d: int, layout: Layout) -> None:
    found = check(wrapped(d, layout))
    assert list(found.blocks) == ["SE_2_1", "SE_3_1"]
    for block in found.blocks.values():
        assert (block.within_bounds, block.kept, block.set, block.formula, block.folds) == (True,) * 5


@each_case
def test_scores_of_inner_channels_and_of_the_stream(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    table = inner_scores(network, criterion="weights")
    names = {"first": ("conv1", "conv2", "bn2"), "last": ("fc1", "fc2", None)}[layout]
    for unit, block in (("unit1", "SE_2_1"), ("unit2", "SE_3_1")):
        own = table[table["block"] == block]
        assert own["layer"].unique().tolist() == [f"{unit}.{names[0]}"]
        weight = network.model.get_parameter(f"{unit}.{names[1]}.weight").detach().double().numpy()
        scale = np.ones(len(weight))
        if names[2] is not None:
            norm: Any = network.model.get_submodule(f"{unit}.{names[2]}")
            scale = np.abs(norm.weight.detach().numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
        sizes = np.sqrt((weight.reshape(*weight.shape[:2], -1) ** 2).sum(2))  # (outputs, inputs)
        np.testing.assert_allclose(own["score"], scale @ sizes, rtol=1e-6)

    scores = importance(network, None, "l1")
    made = network.model.get_parameter(f"unit2.{names[1]}.weight").detach().double().abs()
    np.testing.assert_allclose(scores.loc[scores["block"] == "SE_3_1", "score"], made.flatten(1).sum(1), rtol=1e-6)
    by_stage = stage_importance(network, scores)
    assert by_stage.groupby("stage")["channel"].count().to_dict() == {2: 8, 3: 16}


@each_case
def test_scores_by_what_a_channel_changes(d: int, layout: Layout) -> None:
    """The sum of activation times slope is the slope of the loss by one factor on the channel."""
    network = wrapped(d, layout)
    x, labels = dimensions.inputs(d, layout, rows=3), torch.tensor([0, 1, 2])
    table = inner_scores(network, criterion="taylor", data=[(x, labels)])
    before = "unit1.relu"  # is called behind bn1 or fc1 first
    expected = []
    for k in range(len(x)):
        factor = torch.ones(8, requires_grad=True)
        calls = iter([factor if layout == "last" else factor.reshape(-1, *(1,) * d), torch.tensor(1.0)])
        hook = network.model.get_submodule(before).register_forward_hook(lambda m, a, y, calls=calls: y * next(calls))
        loss = nn.functional.cross_entropy(network.model(x[k : k + 1]), labels[k : k + 1])
        hook.remove()
        expected.append(torch.autograd.grad(loss, factor)[0].abs().numpy())
    found = table.loc[table["block"] == "SE_2_1", "score"].to_numpy()
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("d", [1, 3])
def test_statistics_are_measured_over_all_positions(d: int) -> None:
    network = wrapped(d, "first")
    x = dimensions.inputs(d, rows=6, seed=7)
    again = recalibrate(network, [(x, torch.zeros(6, dtype=torch.long))], device="cpu")
    conv: Any = network.model.get_submodule("stem.0")
    with torch.no_grad():
        seen = conv(x).double().transpose(0, 1).flatten(1)  # (channels, images and positions)
    norm: Any = again.model.get_submodule("stem.1")
    torch.testing.assert_close(norm.running_mean.double(), seen.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), seen.var(1), rtol=1e-5, atol=1e-6)


@each_case
def test_inputs_are_moved_and_mirrored_along_their_positions(d: int, layout: Layout) -> None:
    x = dimensions.inputs(d, layout, rows=12)
    torch.manual_seed(0)
    moved = _augmented(x, Recipe(padding=2, flip=True), layout)
    assert moved.shape == x.shape
    plain, seen = ((each.movedim(-1, 1) if layout == "last" else each).numpy() for each in (x, moved))
    padded = np.pad(plain, [(0, 0), (0, 0), *[(2, 2)] * d], mode="reflect")
    mirrored = []
    for k in range(len(x)):
        crops = {
            (corner, flip): padded[
                (k, slice(None), *(slice(at, at + n) for at, n in zip(corner, SIDES[d], strict=True)))
            ][..., :: -1 if flip else 1]
            for corner in product(range(5), repeat=d)
            for flip in (False, True)
        }
        ((_, flip),) = [key for key, crop in crops.items() if np.array_equal(crop, seen[k])]
        mirrored.append(flip)
    assert len({*mirrored}) == (1 if d == 1 else 2)
    assert d > 1 or not any(mirrored)


@pytest.mark.parametrize(("d", "layout"), [(1, "first"), (3, "first"), (1, "last")])
def test_training_goes_on(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    x, labels = dimensions.inputs(d, layout, rows=8), torch.arange(8) % CLASSES
    with torch.no_grad():
        before = nn.functional.cross_entropy(network.model(x), labels)
    tuned = fine_tune(network, [(x, labels)], epochs=6, batch_size=8, padding=0, flip=False, device="cpu")
    with torch.no_grad():
        assert nn.functional.cross_entropy(tuned.model(x), labels) < before
    assert list(tuned.blocks) == list(network.blocks)


@pytest.mark.parametrize(("d", "layout"), [(1, "first"), (3, "first"), (2, "last")])
def test_latency_is_measured(d: int, layout: Layout) -> None:
    network = wrapped(d, layout)
    table = latency(
        {"one": network}, network.input_size, batch_sizes=(1,), modes=("eager",), rounds=1, seconds=0, device="cpu"
    )
    assert table["network"].tolist() == ["one"]
    assert (table["median_ms"] > 0).all()


class Formed(nn.Module):
    """The same numbers with other axes."""

    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x)


def last(x: Tensor) -> Tensor:
    return x.permute(0, *range(2, x.ndim), 1)


def first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def rows(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], -1, x.shape[-1])


# The layers up to an SE block and behind it, the shape of the input, where gates go, and where channels are made.
FORMS: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...], str, str | None]] = {
    "turned, and back": (
        lambda: [nn.Conv2d(3, 8, 3), Formed(last), LinearSE(8, "last"), Formed(first), nn.Conv2d(8, 4, 1)],
        (3, 9, 8),
        "0",
        "0",
    ),
    "turned back before the layer that takes the gates": (
        lambda: [
            *(nn.Conv2d(3, 8, 3), nn.SiLU(), Formed(last), LinearSE(8, "last"), Formed(first)),
            nn.Conv2d(8, 4, 1),
        ],
        (3, 9, 8),
        "5",
        "0",
    ),
    "tokens of an image": (
        lambda: [nn.Conv2d(3, 8, 3), Formed(tokens), LinearSE(8, "last"), nn.Linear(8, 6)],
        (3, 9, 8),
        "0",
        "0",
    ),
    "positions in a row before the layer that takes the gates": (
        lambda: [nn.Linear(3, 8), nn.SiLU(), LinearSE(8, "last"), Formed(rows), nn.Linear(8, 6)],
        (6, 7, 3),
        "4",
        "0",
    ),
    "a LayerNorm": (
        lambda: [nn.Linear(3, 8), nn.LayerNorm(8), nn.ReLU(), LinearSE(8, "last"), nn.Linear(8, 6)],
        (6, 7, 3),
        "1",
        None,
    ),
    "signals of one channel": (
        lambda: [nn.Conv1d(1, 8, 3), nn.ReLU(), LinearSE(8, "first"), nn.Conv1d(8, 4, 1)],
        (1, 40),
        "0",
        "0",
    ),
    "depthwise over volumes": (
        lambda: [
            *(nn.Conv3d(2, 8, 1), nn.ReLU(), nn.Conv3d(8, 8, 3, groups=8), nn.SiLU(), ConvSE(8, 3)),
            nn.Conv3d(8, 4, 1),
        ],
        (2, 6, 6, 6),
        "5",
        "2",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_channels_are_followed_through_other_axes(name: str) -> None:
    make, size, takes, makes = FORMS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(*make()).eval()
        x = torch.randn(3, *size)
    network = seviz.wrap(model, x)
    ((block, found),) = network.blocks.items()
    assert foldable(network)["layers"].tolist() == [takes]
    gate = np.linspace(0.1, 0.9, 8)
    by_hand = with_constants(network, {block: gate}, len(size) - 1, found.layout).float()
    with torch.no_grad():
        torch.testing.assert_close(fold_to(network, {block: gate}).model(x), by_hand(x), rtol=1e-5, atol=1e-6)

    scores = pd.DataFrame({"block": block, "channel": range(8), "score": [5, 1, 8, 2, 7, 6, 3, 4]})
    if makes is None:
        with pytest.raises(seviz.errors.PruningError, match=f"no layers alone make the feature map of {block}"):
            prune_with_record(network, scores, Budget(keep_channels=0.75))
        return
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.75)).network
    silent = silenced(network, {makes: [1, 3]})
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(x), silent(x), rtol=1e-5, atol=1e-6)


def test_what_flattening_mixes_is_not_pruned() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), LinearSE(8, "last"), nn.Flatten(), nn.Linear(8 * 42, 2)).eval()
    network = seviz.wrap(model, torch.randn(3, 6, 7, 3))
    scores = pd.DataFrame({"block": "SE_2_1", "channel": range(8), "score": range(8)})
    with pytest.raises(seviz.errors.PruningError, match="memory:Sequential does not run with fewer channels"):
        prune_with_record(network, scores, Budget(keep_channels=0.75))


def test_why_a_branch_over_positions_cannot_be_narrowed() -> None:
    """The feature map is a sum, and a block that stands in the forward of the network is no module of its own."""

    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.se = nn.Conv1d(3, 8, 3), nn.Conv1d(3, 8, 3), LinearSE(8, "first")

        def forward(self, x: Tensor) -> Tensor:
            return self.se(self.one(x) + self.other(x)).mean(2)

    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.fc = nn.Linear(3, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            u = self.one(x)
            return (u * torch.sigmoid(self.fc(u.mean(1, keepdim=True)))).mean(1)

    scores = pd.DataFrame({"block": "SE_2_1", "channel": range(8), "score": range(8)})
    for model, size, reason in (
        (Summed(), (2, 3, 32), "not one layer alone makes what SE_2_1 scales"),
        (Loose(), (2, 32, 3), "SE_2_1 is no module of its own, from feature map to feature map"),
    ):
        with pytest.raises(seviz.errors.PruningError, match=reason):
            prune_with_record(
                seviz.wrap(model.eval(), torch.zeros(size)), scores, Budget(keep_channels=0.5), kind="branch"
            )
