"""An ONNX graph brought into one form, from which a module can be made.

It takes any number of images with the channels first, and ends at the logits. What is constant in it are tensors, also
the shapes that values are brought to. No name of the file goes further: the converter writes the names of nodes into
Python source that is then compiled, so that every node is named anew first.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from seviz.errors import ModelError
from seviz.foreign import line, shown

STANDARD = ("", "ai.onnx")
"""The domains of ONNX's own operators."""
_MOST_NUMBERS = 1 << 31  # of one value in the graph, for one image
_FEW_AND_MANY = (2, 3)  # images, by which it shows what depends on their number


@dataclass(frozen=True)
class OnnxGraph:
    """A graph that can be made a module.

    Attributes
    ----------
    given
        The model of the file, as onnxruntime runs it; beside its outputs stand those of `prepared`.
    prepared
        The same computation of (batch, channels, positions...) in any number of images.
    sha256
        Of the file.
    input
        The name of the only input of `given`.
    size
        (channels, positions...) of it.
    batch
        Images that `given` takes at once; None for any number.
    channels_last
        Whether `given` takes (batch, positions..., channels).
    outputs
        Names of the outputs of `prepared`, in `given` too.
    assumed
        What was decided in reading it, a sentence each.
    """

    given: Any
    prepared: Any
    sha256: str
    input: str
    size: tuple[int, ...]
    batch: int | None
    channels_last: bool
    outputs: tuple[str, ...]
    assumed: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The input of a graph: its name and axes.

    Attributes
    ----------
    name
        Of the input.
    batch
        Images that the graph takes at once; None for any number.
    size
        (channels, positions...) of one.
    channels_last
        Whether the graph takes (batch, positions..., channels).
    assumed
        What was assumed of them, a sentence each.
    """

    name: str
    batch: int | None
    size: tuple[int, ...]
    channels_last: bool
    assumed: tuple[str, ...]


def prepare(spec: str, model: Any, layout: Layout) -> Any:
    """Bring a graph into the form that a module can be made of.

    Parameters
    ----------
    spec
        For messages.
    model
        With operators of versions that can be read; is changed.
    layout
        Its input.

    Raises
    ------
    ModelError
        If its shapes do not fit each other, or one is too large.
    """
    import onnx

    name = layout.name
    _rename(model.graph)
    _constants_kept(model.graph)
    if layout.channels_last:
        name = "seviz_images"
        first = onnx.helper.make_node("Transpose", [name], [layout.name], "seviz_channels_last", perm=[0, 2, 3, 1])
        model.graph.node.insert(0, first)
    _open_batch(model.graph, layout, name)
    model = _inferred(spec, model)
    _shapes_kept(model, layout)
    return _inferred(spec, model)


def with_outputs(model: Any, names: tuple[str, ...]) -> Any:
    """A copy of a model whose values of these names are outputs, too."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {output.name for output in model.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    return copy


def _rename(graph: Any) -> None:
    """Name every node anew, by plain letters: what it was called, or else what it does, and a number."""
    from torch import fx

    taken = {"initializers", *dir(fx.GraphModule)}
    for node in graph.node:
        node.domain = ""
        plain = re.sub(r"\W+", "_", node.name or node.op_type, flags=re.ASCII).strip("_")[:100] or node.op_type
        plain = re.sub(r"\W+", "_", plain, flags=re.ASCII)
        name, number = plain, 0
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        node.name = name


def _constants_kept(graph: Any) -> None:
    """Make tensors of the graph out of Constant nodes, and out of copies of its tensors."""
    import numpy as np
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    left = []
    for node in graph.node:
        made = None
        if node.op_type == "Constant" and len(node.attribute) == 1:
            (attribute,) = node.attribute
            if attribute.name == "value":
                made = numpy_helper.to_array(attribute.t)
            elif attribute.name in ("value_int", "value_ints"):
                made = np.array(attribute.i if attribute.name == "value_int" else attribute.ints, np.int64)
            elif attribute.name in ("value_float", "value_floats"):
                made = np.array(attribute.f if attribute.name == "value_float" else attribute.floats, np.float32)
        elif node.op_type == "Identity" and node.input[0] in tensors:
            made = numpy_helper.to_array(tensors[node.input[0]])
        if made is None:
            left.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(made, node.output[0]))
            tensors[node.output[0]] = graph.initializer[-1]
    _set(graph.node, left)


def ending_at_logits(model: Any) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """A copy of a model that ends before a last Softmax or Sigmoid; with its outputs, and what was decided."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    made_by = {output: node for node in graph.node for output in node.output}
    outputs = tuple(each.name for each in graph.output)
    name = outputs[0] if len(outputs) == 1 else ""
    while name in made_by and made_by[name].op_type == "Identity":
        name = made_by[name].input[0]
    kind = made_by[name].op_type if name in made_by else ""
    if kind not in ("Softmax", "Sigmoid"):
        return copy, outputs, ()
    name = made_by[name].input[0]
    _set(graph.output, [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)])
    _drop_unused(graph)
    return copy, (name,), (f"outputs: logits, as they are before the last {kind} of the graph",)


def _open_batch(graph: Any, layout: Layout, name: str) -> None:
    """Let the graph take any number of images, of any size, with the channels first."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    axes = ["batch", layout.size[0], *(f"positions_{k}" for k, _ in enumerate(layout.size[1:]))]
    _set(graph.input, [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)])
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    if layout.batch is None:
        return
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    data = {name}
    for node in graph.node:
        if not data & set(node.input):
            continue
        data.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in tensors or node.input[0] not in data:
            continue
        shape = numpy_helper.to_array(tensors[node.input[1]]).copy()
        if shape.ndim == 1 and len(shape) and shape[0] == layout.batch and 0 not in shape:
            shape[0] = 0 if -1 in shape else -1
            del node.attribute[:]
            node.input[1] = f"seviz_shape_of_{node.name}"
            graph.initializer.append(numpy_helper.from_array(shape.astype(np.int64), node.input[1]))


def _inferred(spec: str, model: Any) -> Any:
    """The model with the shapes of its values, none of which may be larger than any that a network has."""
    import onnx

    del model.graph.value_info[:]
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise ModelError(f"model {spec!r} has shapes that do not fit each other: {line(error)}") from error
    for value in model.graph.value_info:
        numbers = math.prod(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
        if numbers > _MOST_NUMBERS:
            raise ModelError(
                f"model {spec!r} has a value {shown(value.name)} of {numbers:,} numbers, expected at most"
                f" {_MOST_NUMBERS:,}"
            )
    return model


def _shapes_kept(model: Any, layout: Layout) -> None:
    """Make the shapes that values are brought to constants, where only the number of images is left open in them."""
    from onnx import numpy_helper

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    reshapes = [node for node in graph.node if node.op_type == "Reshape"]
    for node in reshapes:
        if node.input[1] in tensors and 0 not in numpy_helper.to_array(tensors[node.input[1]]):
            del node.attribute[:]  # what 0 means does not matter then
    computed = [node for node in reshapes if node.input[1] not in tensors]
    for node, few, many in zip(computed, *_shapes(model, [node.input[1] for node in computed], layout), strict=False):
        shape = few.copy()
        shape[few != many] = -1
        if (shape == -1).sum() <= 1:
            node.input[1] = f"seviz_shape_of_{node.name}"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
    _drop_unused(graph)


def _shapes(model: Any, names: list[str], layout: Layout) -> list[list[Any]]:
    """The values of shapes, computed by onnxruntime for few and for more images; none where it does not run."""
    import numpy as np
    import onnx

    if not names:
        return [[], []]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    _set(probed.graph.output, [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)])
    try:
        session = session_of(probed)
        source = probed.graph.input[0].name
        return [session.run(names, {source: np.zeros((images, *layout.size), np.float32)}) for images in _FEW_AND_MANY]
    except Exception:  # whatever onnxruntime raises: then the shapes stay computed
        return [[], []]


def _drop_unused(graph: Any) -> None:
    needed = {output.name for output in graph.output}
    left = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            left.append(node)
    _set(graph.node, left[::-1])
    _set(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])


def _set(repeated: Any, items: list[Any]) -> None:
    """Let a repeated field hold these, which may be its own."""
    kept = []
    for item in items:
        copy = type(item)()
        copy.CopyFrom(item)
        kept.append(copy)
    del repeated[:]
    repeated.extend(kept)


def session_of(model: Any) -> Any:
    """A model as onnxruntime runs it on the CPU, without messages of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # so that its threads do not wait beside those of torch
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
