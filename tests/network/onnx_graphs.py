"""Small SE networks as ONNX files, written operator by operator, and what onnxruntime makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHANNELS, CLASSES = 8, 3
SLOPE = 0.2


def graph(
    *,
    batch: int | str = "n",
    size: Sequence[int | str] = (3, 16, 16),
    opset: int = 17,
    constants: bool = False,
    computed: bool = False,
    channels_last: bool = False,
    last: str = "Softmax",
    names: str = "",
    ir_version: int = 8,
) -> onnx.ModelProto:
    """A convolution, an SE block with a hard sigmoid, a pool, a matrix, and `last`.

    Parameters
    ----------
    batch, size
        Of the input: a name leaves it open.
    opset
        From 18 on, the axes of the squeeze are an input.
    constants
        Whether weights are Constant nodes, and one is reached through Identity.
    computed
        Whether the shape before the matrix is computed from that of the values.
    channels_last
        Whether the input is (batch, positions..., channels).
    names
        What the nodes are called, each with more dots than the one before.
    """
    random = np.random.default_rng(0)
    positions = len(size) - 1
    ones = (1,) * positions
    tensors = {
        "w": random.normal(0, 0.4, (CHANNELS, 3, *(3,) * positions)),
        "w1": np.abs(random.normal(0, 0.5, (2, CHANNELS, *ones))),
        "b1": np.array([-0.5, 0.1]),
        "w2": random.normal(0, 1, (CHANNELS, 2, *ones)),
        "matrix": random.normal(0, 1, (CHANNELS, CLASSES)),
    }
    arrays = {name: values.astype(np.float32) for name, values in tensors.items()}
    arrays["shape"] = np.array([batch if isinstance(batch, int) else 0, -1], np.int64)
    axes = list(range(2, 2 + positions))
    nodes = []

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], names + "." * len(nodes) if names else "", **attributes))

    x = "images"
    if channels_last:
        add("Transpose", [x], "first", perm=[0, positions + 1, *range(1, positions + 1)])
        x = "first"
    add("Conv", [x, "w"], "c", pads=[1] * 2 * positions)
    add("Relu", ["c"], "u")
    if opset >= 18:
        arrays["axes"] = np.array(axes, np.int64)
        add("ReduceMean", ["u", "axes"], "z", keepdims=1)
    else:
        add("ReduceMean", ["u"], "z", keepdims=1, axes=axes)
    bias = "b1"
    if constants:
        add("Identity", ["b1"], "b1_again")
        bias = "b1_again"
    add("Conv", ["z", "w1", bias], "a")
    add("Relu", ["a"], "r")
    add("Conv", ["r", "w2"], "g")
    add("HardSigmoid", ["g"], "gate", alpha=SLOPE, beta=0.5)
    add("Mul", ["u", "gate"], "y")
    add("GlobalAveragePool", ["y"], "p")
    shape = "shape"
    if computed:
        arrays |= {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
        arrays["channels"] = np.array([CHANNELS], np.int32)
        add("Shape", ["p"], "s0")
        add("Cast", ["s0"], "s1", to=TensorProto.INT32)
        add("Slice", ["s1", "zero", "one"], "s2")
        add("Concat", ["s2", "channels"], "s3", axis=0)
        add("Cast", ["s3"], "s4", to=TensorProto.INT64)
        shape = "s4"
    add("Reshape", ["p", shape], "flat", **({"allowzero": 1} if opset >= 18 and isinstance(batch, int) else {}))
    add("MatMul", ["flat", "matrix"], "logits" if last else "probabilities")
    if last:
        add(last, ["logits"], "probabilities", **({"axis": 1} if last == "Softmax" else {}))
    made = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    if constants:
        nodes[:0] = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in made]
        made = []
    channels, *rest = size
    order = [batch, *rest, channels] if channels_last else [batch, *size]
    source = helper.make_tensor_value_info("images", TensorProto.FLOAT, order)
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, CLASSES])
    return helper.make_model(
        helper.make_graph(nodes, "net", [source], [result], made),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )


def written(path: Path, **options: Any) -> Path:
    """The file of a graph."""
    onnx.save(graph(**options), path)
    return path


def by_onnxruntime(path: Path, values: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Values of a graph by their names, whether or not they are outputs of it."""
    model = onnx.load(path)
    there = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in values if name not in there)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(list(values), {session.get_inputs()[0].name: images})
    return found
