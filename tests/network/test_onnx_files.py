"""Networks out of ONNX files, held against onnxruntime."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import text_lines
import torch
from onnx import TensorProto, helper

import seviz
from seviz.errors import MissingPackageError, ModelError, OptionError, UnknownModelError, WeightsError
from seviz.network import onnx_files, onnx_modules
from tests.network.onnx_graphs import CHANNELS, by_onnxruntime, graph, written

pytestmark = pytest.mark.filterwarnings("ignore::seviz.errors.SevizWarning")

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "older operators": {"opset": 9},
    "newer operators": {"opset": 18},
    "newest operators": {"opset": 21, "ir_version": 10},
    "constants": {"constants": True},
    "computed shape": {"computed": True, "constants": True},
    "one image": {"batch": 1},
    "two images": {"batch": 2, "opset": 18},
    "open positions": {"size": (3, "height", "width")},
    "open channels": {"size": ("channels", "height", "width"), "constants": True},
    "channels last": {"channels_last": True},
    "one dimension": {"size": (3, 20)},
    "three dimensions": {"size": (3, 5, 6, 7), "batch": 1},
    "one logit each": {"last": "Sigmoid"},
    "logits": {"last": ""},
}


@pytest.mark.parametrize("form", FORMS)
def test_gates_and_logits_are_those_of_onnxruntime(form: str, tmp_path: Path) -> None:
    options = FORMS[form]
    path = written(tmp_path / "net.onnx", **options)
    network = seviz.load(f"onnx:{path}")
    (block,) = network.blocks.values()
    assert (block.path, block.gate_path, block.gate) == ("Mul", "Mul.HardSigmoid", "hard_sigmoid(0.2, 0.5)")
    assert (block.channels, block.squeezed_channels, block.bounds) == (CHANNELS, 2, (0, 1))
    assert network.trained
    assert network.input_size == tuple(
        224 if isinstance(n, str) else n for n in (3, *options.get("size", (3, 16, 16))[1:])
    )
    images = torch.randn(4, *network.input_size, generator=torch.Generator().manual_seed(3))
    images *= torch.arange(1.0, 5).reshape(4, *(1,) * (images.ndim - 1))  # else the means of all are about the same
    with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
        logits = network.model(images)
    given = images.movedim(1, -1) if options.get("channels_last") else images
    at_once = options.get("batch", 4)
    names = ("gate", "logits" if options.get("last", "x") else "probabilities")
    parts = [by_onnxruntime(path, names, some.contiguous().numpy()) for some in given.split(at_once)]
    expected = [np.concatenate(values) for values in zip(*parts, strict=True)]
    assert expected[0].std(0).max() > 0.1
    np.testing.assert_allclose(gates["SE_2_1"].numpy(), expected[0].reshape(4, CHANNELS), rtol=0, atol=1.5e-6)
    np.testing.assert_allclose(logits.numpy(), expected[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("plain", ["outputs: logits, as they are before the last Softmax of the graph"]),
        ("one logit each", ["outputs: logits, as they are before the last Sigmoid of the graph"]),
        ("logits", []),
        (
            "open channels",
            [
                "input: 3 channels, as the first convolution takes (in_chans)",
                "input: 224 x 224 positions, since the graph takes any number (img_size)",
                "outputs: logits, as they are before the last Softmax of the graph",
            ],
        ),
        (
            "channels last",
            [
                "input: channels last, by its shape (batch, height, width, channels)",
                "outputs: logits, as they are before the last Softmax of the graph",
            ],
        ),
    ],
)
def test_what_was_assumed_is_told(form: str, told: list[str], tmp_path: Path) -> None:
    path = written(tmp_path / "net.onnx", **FORMS[form])
    preprocessing = "preprocessing: ImageNet's, since an ONNX file gives none"
    assert seviz.load(f"onnx:{path}").assumed == (*told, f"{preprocessing} (mean, std)")
    network = seviz.load(f"onnx:{path}", mean=[0.5] * 3)
    assert network.assumed == (*told, f"{preprocessing} (std)")
    assert (network.preprocessing["mean"], network.preprocessing["std"]) == ([0.5] * 3, [0.229, 0.224, 0.225])


def test_settings_fill_what_the_graph_leaves_open(tmp_path: Path) -> None:
    path = written(tmp_path / "net.onnx", **FORMS["open channels"])
    said = {"img_size": (24, 40), "in_chans": 3, "mean": [0.5] * 3, "std": [0.5] * 3, "class_names": ["a", "b", "c"]}
    network = seviz.load(f"onnx:{path}", **said)  # type: ignore[arg-type]
    assert (network.input_size, network.class_names) == ((3, 24, 40), ("a", "b", "c"))
    assert network.assumed == ("outputs: logits, as they are before the last Softmax of the graph",)


def test_settings_that_the_graph_does_not_allow(tmp_path: Path) -> None:
    spec = f"onnx:{written(tmp_path / 'net.onnx')}"
    for settings, message in (
        (
            {"img_size": 32},
            r"img_size is \(32, 32\), and 'onnx:.*' takes images of 16 x 16 \(height x width\); leave it",
        ),
        ({"in_chans": 1}, "in_chans is 1, and the input of 'onnx:.*' has 3; leave it out"),
        ({"num_classes": 2}, "num_classes is given, and onnx:.* is a network that is made already; leave it out"),
        ({"model_kwargs": {"a": 1}}, "model_kwargs is given, and onnx:.* is a network that is made already"),
        ({"class_names": ["a"]}, "class_names has 1 names"),
    ):
        with pytest.raises(OptionError, match=message):
            seviz.load(spec, **settings)  # type: ignore[arg-type]
    with pytest.raises(
        WeightsError, match=r"onnx:.* has its weights in the file, and none can be drawn; leave weights"
    ):
        seviz.load(spec, weights="none")
    model = graph(size=("c", 16, 16))
    model.graph.node[0].input[1] = "elsewhere"
    model.graph.node.insert(0, helper.make_node("Add", ["w", "w"], ["elsewhere"]))
    onnx.save(model, tmp_path / "open.onnx")
    with pytest.raises(OptionError, match=r"'onnx:.*' leaves open how many channels its input has; give in_chans"):
        seviz.load(f"onnx:{tmp_path}/open.onnx")


def test_data_that_are_no_images(tmp_path: Path) -> None:
    network = seviz.load(f"onnx:{written(tmp_path / 'net.onnx', size=(3, 20))}")
    assert (network.input_size, network.preprocessing) == ((3, 20), {"library": "none"})
    with pytest.raises(OptionError, match=r"onnx:.* takes inputs of shape \(3, 20\), and a picture is none"):
        network.preprocess(None)


def test_tensors_beside_the_file(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    onnx.save(graph(), tmp_path / "whole.onnx")
    onnx.save(graph(), place / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    whole, parted = (seviz.load(f"onnx:{path}") for path in (tmp_path / "whole.onnx", place / "net.onnx"))
    assert whole.weights_sha256 == parted.weights_sha256
    data = (place / "net.data").read_bytes()
    (place / "net.data").write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r"no ONNX file that can be read: tensor '\w+' is bytes [\d,]+ to [\d,]+ of"):
        seviz.load(f"onnx:{place}/net.onnx")
    (place / "net.data").unlink()
    (tmp_path / "outside").write_bytes(data)
    (place / "net.data").symlink_to("../outside")
    with pytest.raises(ModelError, match="no ONNX file that can be read: it is a link that leads out of"):
        seviz.load(f"onnx:{place}/net.onnx")
    model = onnx.load(place / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../outside"
    onnx.save(model, place / "up.onnx")
    with pytest.raises(ModelError, match="no ONNX file that can be read: it is a link that leads out of"):
        seviz.load(f"onnx:{place}/up.onnx")


def test_the_same_bytes_for_ever_more_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(graph(), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    monkeypatch.setattr(onnx_files, "LARGEST", (tmp_path / "net.onnx").stat().st_size + 1000)
    with pytest.raises(ModelError, match=r"no ONNX file that can be read: its tensors have more than [\d,]+ bytes"):
        seviz.load(f"onnx:{tmp_path}/net.onnx")
    monkeypatch.setattr(onnx_files, "LARGEST", 100)
    with pytest.raises(ModelError, match=r"cannot be read: it has [\d,]+ bytes, expected at most 100"):
        seviz.load(f"onnx:{tmp_path}/net.onnx")


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a graph")
    for path, kind, message in (
        (tmp_path / "none", UnknownModelError, r"model 'onnx:.*none' not found: there is no file '.*none'"),
        (tmp_path, ModelError, "cannot be read: it is a directory, expected a regular file"),
        (tmp_path / "text", ModelError, "is no ONNX file that can be read: "),
        ("a\0b", ModelError, "cannot be read: embedded null"),
    ):
        with pytest.raises(kind, match=message):
            seviz.load(f"onnx:{path}")


def changed(tmp_path: Path, change: Any, **options: Any) -> str:
    model = graph(**options)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    return f"onnx:{tmp_path}/changed.onnx"


def test_operators_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = {node.op_type: node for node in model.graph.node}
        node["Relu"].op_type, node["HardSigmoid"].op_type = "Hardmax", "Gate"
        node["HardSigmoid"].domain = "some.one"
        del node["HardSigmoid"].attribute[:]
        model.opset_import.append(helper.make_opsetid("some.one", 3))

    message = r"has operators that cannot be read: Hardmax \(version 17\), some.one.Gate \(version 3\); export the net"
    with pytest.raises(ModelError, match=message):
        seviz.load(changed(tmp_path, change))
    spec = changed(tmp_path, lambda model: setattr(model.graph.node[1], "op_type", "Nothing"))
    with pytest.raises(ModelError, match=r"has operators that cannot be read: Nothing \(version 17\); export"):
        seviz.load(spec)


def test_graphs_that_are_damaged(tmp_path: Path) -> None:
    def lost(model: onnx.ModelProto) -> None:
        model.graph.node[2].input[0] = "lost"

    def misshapen(model: onnx.ModelProto) -> None:
        model.graph.initializer[1].dims[:] = [1, CHANNELS * 2, 1, 1]

    with pytest.raises(ModelError, match="is damaged, or no valid ONNX: "):
        seviz.load(changed(tmp_path, lost))
    with pytest.raises(ModelError, match=r"is not run by onnxruntime: |has shapes that do not fit each other: "):
        seviz.load(changed(tmp_path, misshapen))


def test_inputs_of_other_kinds(tmp_path: Path) -> None:
    def second(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))

    def kind(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE

    def flat(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 9]))

    with pytest.raises(ModelError, match=r"has 2 inputs \('images', 'more'\), expected one: a batch of images"):
        seviz.load(changed(tmp_path, second))
    for change, what in ((kind, "double of 4 axes"), (flat, "float of 2 axes")):
        with pytest.raises(ModelError, match=f"takes 'images', {what}; expected a batch in float32"):
            seviz.load(changed(tmp_path, change))


def test_values_that_would_fill_the_memory(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "much"))
        model.graph.node.append(helper.make_node("ConstantOfShape", ["much"], ["huge"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", ["probabilities", "sum"], ["more"]))
        model.graph.output[0].name = "more"

    with pytest.raises(ModelError, match="has a value 'huge' of 1,099,511,627,776 numbers, expected at most"):
        seviz.load(changed(tmp_path, change))


def test_names_of_nodes_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = 'a"), open("ran", "w"), getattr(self, "initializers'
    written(tmp_path / "net.onnx", names=name)
    network = seviz.load("onnx:net.onnx")
    assert not Path("ran").exists()
    assert all(part.isidentifier() for path, _ in network.model.named_modules() if path for part in path.split("."))
    for name in ("forward", "é", "9"):
        assert len(seviz.load(f"onnx:{written(tmp_path / 'other.onnx', names=name)}").blocks) == 1


def test_a_number_of_images_that_cannot_be_changed(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:  # what each image gives depends on the other's
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0], np.int64), "first"))
        model.graph.node.insert(-3, helper.make_node("ReduceSum", ["p", "first"], ["all"], keepdims=1))
        model.graph.node.insert(-3, helper.make_node("Sub", ["p", "all"], ["other"]))
        next(node for node in model.graph.node if node.op_type == "Reshape").input[0] = "other"

    spec = changed(tmp_path, change, batch=2)
    message = (
        "gives other outputs than onnxruntime: on random numbers by .*; its graph is made for 2 images at once: exp"
    )
    with pytest.raises(ModelError, match=message):
        seviz.load(spec)

    def whole(model: onnx.ModelProto) -> None:  # the batch is an axis like any other
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2 * CHANNELS, 1], np.int64), "long"))
        model.graph.node.insert(-3, helper.make_node("Reshape", ["p", "long"], ["column"]))
        model.graph.node.insert(-3, helper.make_node("Reshape", ["column", "shape"], ["again"]))
        next(node for node in model.graph.node if node.output[0] == "flat").input[0] = "again"

    with pytest.raises(
        ModelError, match=r"was converted, and does not run on \(4, 3, 16, 16\) .*; its graph is made for"
    ):
        seviz.load(changed(tmp_path, whole, batch=2))


def test_what_the_converter_gets_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"onnx:{written(tmp_path / 'net.onnx')}"
    monkeypatch.setattr(
        onnx_modules, "group_blocks", lambda module, *_: setattr(module.Mul, "math_op_function", torch.add)
    )
    with pytest.raises(
        ModelError, match=r"gives other outputs than onnxruntime: on random numbers by .* of the largest"
    ):
        seviz.load(spec)

    def fails(*_: object) -> None:
        raise KeyError("what it does not know")

    monkeypatch.setattr(onnx_modules, "group_blocks", fails)
    with pytest.raises(
        ModelError, match=r"cannot be converted \(KeyError: 'what it does not know'\); export the network"
    ):
        seviz.load(spec)


def test_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(
        MissingPackageError, match=r"^model 'onnx:.*' needs onnx, onnx2torch, .*pip install 'seviz\[onnx\]'"
    ):
        seviz.load(f"onnx:{path}")


def test_gates_of_a_network_that_others_trained() -> None:
    classifier = text_lines.classifier()
    network = seviz.load(f"onnx:{classifier}", img_size=(48, 192))
    assert [block.channels for block in network.blocks.values()] == [8, 32, 88, 88, 40, 48, 104, 200, 200]
    assert {block.gate for block in network.blocks.values()} == {"hard_sigmoid(0.2, 0.5)"}
    random = np.random.default_rng(0)
    lines = [text_lines.line(random, ("whiskey", "torch", "oxygen"), turn) for turn in (0, 180) * 4]
    images = torch.from_numpy(
        np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in lines]) / 127.5 - 1
    )
    with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
        network.model(images)
    names = [node.output[0] for node in onnx.load(classifier).graph.node if node.op_type == "HardSigmoid"]
    expected = by_onnxruntime(classifier, names, images.numpy())
    furthest = 0.0
    for name, values in zip(network.blocks, expected, strict=True):
        furthest = max(furthest, float(np.abs(gates[name].numpy() - values[:, :, 0, 0]).max()))
    assert furthest <= 3e-6  # 1.4e-6 was seen; how far it is depends on the processor
