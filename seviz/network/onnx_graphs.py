"""An ONNX file as a graph that can be made a module: read within bounds, checked, and brought into one form.

The file may come from a stranger. It is read whole, a regular file of bounded size; tensors in other files only from
its own directory. No name in it goes further: the converter writes the names of nodes into Python source that is then
compiled, so that every node is named anew first.
"""

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seviz.errors import ModelError, OptionError, UnknownModelError
from seviz.extras import needing
from seviz.foreign import line, read_regular, regular, shown
from seviz.network.settings import Settings

LARGEST = (1 << 31) - 1
"""Bytes of a file with the tensors that it keeps elsewhere: no ONNX graph in memory may have more."""
SIDE = 224
"""Pixels of a side, or positions of an axis, where neither the graph nor the person says."""
_MOST_NUMBERS = 1 << 31  # of one value in the graph, for one image
_OLDEST, _NEWEST = 11, 17  # versions of the operators that the converter knows well
_FEW_AND_MANY = (2, 3)  # images, by which it shows what depends on their number
_FEW_CHANNELS = range(1, 5)  # of an image, by which channels last are told
_STANDARD = ("", "ai.onnx")
_OPERATORS_SHOWN = 8


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


def read_graph(spec: str, file: Path, settings: Settings) -> OnnxGraph:
    """Read an ONNX file.

    Parameters
    ----------
    spec
        For messages.
    file
        Of at most 2 GiB, with the tensors that it keeps in other files of its directory.
    settings
        What is said of the network: number of channels and size, where the graph leaves them open.

    Raises
    ------
    UnknownModelError
        If there is no such file.
    ModelError
        If it is not ONNX, damaged, too large, has operators that cannot be read (all are named), or its input is no
        batch of feature maps in float32.
    OptionError
        If the settings are others than the graph's own.
    MissingPackageError
        If onnx or onnx2torch is not installed.
    """
    with needing("onnx", f"model {spec!r}"):
        import onnx
        import onnx2torch  # noqa: F401
    try:
        place = file.resolve(strict=True)
        content = read_regular(place, within=place.parent, largest=LARGEST)
    except FileNotFoundError as error:
        raise UnknownModelError(f"model {spec!r} not found: there is no file {str(file)!r}") from error
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, or a NUL in the path
        raise ModelError(f"model {spec!r} cannot be read: {line(error)}") from error
    try:
        model = onnx.load_model_from_string(content)
        _load_tensors(model, place.parent, LARGEST - len(content))
    except Exception as error:  # whatever protobuf, and then a tensor, stumbles over
        raise ModelError(f"model {spec!r} is no ONNX file that can be read: {line(error)}") from error
    prepared = _readable(spec, model)
    source = _input_of(spec, model.graph)
    layout = _layout(spec, source, model.graph, settings)
    return _prepared(spec, model, prepared, layout, source.name, hashlib.sha256(content).hexdigest())


def _load_tensors(model: Any, directory: Path, most: int) -> None:
    """Read the tensors that lie in other files, all of which must lie in the directory."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor

    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        size = regular(directory / where.get("location", ""), within=directory, largest=LARGEST)
        offset = int(where.get("offset", 0))
        length = int(where.get("length", size - offset))
        if offset < 0 or length < 0 or offset + length > size:
            raise ValueError(
                f"tensor {shown(tensor.name)} is bytes {offset:,} to {offset + length:,} of {where['location']!r},"
                f" which has {size:,}"
            )
        most -= length
        if most < 0:
            raise ValueError(f"its tensors have more than {LARGEST:,} bytes")
        load_external_data_for_tensor(tensor, str(directory))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph, also those in attributes of its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _readable(spec: str, model: Any) -> Any:
    """The model with operators of versions that can be read; raises ModelError naming those that cannot be."""
    import onnx
    from onnx import version_converter

    strange = _unreadable(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        if not strange:
            raise ModelError(f"model {spec!r} is damaged, or no valid ONNX: {line(error)}") from error
    else:
        version = next((each.version for each in model.opset_import if each.domain in _STANDARD), _NEWEST)
        if strange or not _OLDEST <= version <= _NEWEST:
            try:
                other = version_converter.convert_version(model, _NEWEST)
            except Exception:  # of operators that it does not know either
                other = model
            if not (left := _unreadable(other)):
                return other
            strange = left if other is not model else strange
    if strange:
        names = ", ".join(strange[:_OPERATORS_SHOWN]) + (", ..." if len(strange) > _OPERATORS_SHOWN else "")
        raise ModelError(
            f"model {spec!r} has operators that cannot be read: {names}; export the network in float32 and with an"
            f" opset from {_OLDEST} to {_NEWEST}, or hand it over as a torch module: seviz.wrap(module, example)"
        )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _unreadable(model: Any) -> list[str]:
    """The operators that the converter does not know, each with its domain and version."""
    from onnx2torch.node_converters import get_converter

    versions = {each.domain: each.version for each in model.opset_import}
    found = []
    for domain, kind in dict.fromkeys((node.domain, node.op_type) for node in model.graph.node):
        version = versions.get(domain, versions.get("", 0))
        try:
            if domain not in _STANDARD:
                raise NotImplementedError
            if kind != "Constant":
                get_converter(kind, version)
        except NotImplementedError:
            name = shown(f"{domain}.{kind}" if domain not in _STANDARD else kind)[1:-1]
            found.append(f"{name} (version {version})")
    if model.graph.sparse_initializer:
        found.append("sparse tensors")
    return sorted(found)


def _input_of(spec: str, graph: Any) -> Any:
    import onnx

    known = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in known]
    if len(inputs) != 1:
        names = ", ".join(shown(each.name) for each in inputs) or "none"
        raise ModelError(f"model {spec!r} has {len(inputs)} inputs ({names}), expected one: a batch of images")
    (source,) = inputs
    kind = source.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT or not 3 <= len(kind.shape.dim) <= 5:
        name = onnx.TensorProto.DataType.Name(kind.elem_type).lower() if kind.elem_type else "no tensor"
        raise ModelError(
            f"model {spec!r} takes {shown(source.name)}, {name} of {len(kind.shape.dim)} axes; expected a batch in"
            " float32, (batch, channels, positions...) with one to three axes of positions. Export the network so."
        )
    return source


@dataclass(frozen=True)
class _Layout:
    """The axes of the graph's input."""

    batch: int | None
    size: tuple[int, ...]
    channels_last: bool
    assumed: tuple[str, ...]


def _layout(spec: str, source: Any, graph: Any, settings: Settings) -> _Layout:
    """What the axes of the input are, by the graph and by what is said."""
    batch, *rest = (
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
        for axis in source.type.tensor_type.shape.dim
    )
    last = len(rest) == 3 and rest[0] not in _FEW_CHANNELS and rest[-1] in _FEW_CHANNELS
    channels, *positions = [rest[-1], *rest[:-1]] if last else rest
    assumed = ["input: channels last, by its shape (batch, height, width, channels)"] if last else []
    if channels is None:
        channels = settings.in_chans or _first_convolution(source.name, graph)
        if channels is None:
            raise OptionError(f"model {spec!r} leaves open how many channels its input has; give in_chans")
        if settings.in_chans is None:
            plural = "s" if channels > 1 else ""
            assumed.append(f"input: {channels} channel{plural}, as the first convolution takes (in_chans)")
    elif settings.in_chans not in (None, channels):
        raise OptionError(f"in_chans is {settings.in_chans}, and the input of {spec!r} has {channels}; leave it out")
    if settings.img_size is not None and len(positions) == 2:
        for given, own in zip(settings.img_size, positions, strict=True):
            if own not in (None, given):
                size = " x ".join("any" if side is None else str(side) for side in positions)
                raise OptionError(
                    f"img_size is {settings.img_size}, and {spec!r} takes images of {size} (height x width); leave it"
                    " out, or give that"
                )
        positions = list(settings.img_size)
    sides = [SIDE if side is None else side for side in positions]
    if None in positions:
        words = " x ".join(map(str, sides))
        assumed.append(f"input: {words} positions, since the graph takes any number (img_size)")
    return _Layout(batch, (channels, *sides), last, tuple(assumed))


def _first_convolution(name: str, graph: Any) -> int | None:
    """Channels that the convolution of the input takes."""
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            weights[node.output[0]] = node.attribute[0].t.dims
        if node.op_type == "Conv" and node.input[0] == name and node.input[1] in weights:
            groups = next((each.i for each in node.attribute if each.name == "group"), 1)
            return int(weights[node.input[1]][1]) * groups
    return None


def _prepared(spec: str, model: Any, prepared: Any, layout: _Layout, name: str, sha256: str) -> OnnxGraph:
    import onnx

    graph = prepared.graph
    _rename(graph)
    _constants_kept(graph)
    outputs, assumed = _logits(graph)
    if layout.channels_last:
        first = onnx.helper.make_node("Transpose", ["seviz_images"], [name], "seviz_channels_last", perm=[0, 2, 3, 1])
        graph.node.insert(0, first)
    _open_batch(graph, layout, "seviz_images" if layout.channels_last else name)
    prepared = _inferred(spec, prepared)
    _shapes_kept(prepared, layout)
    prepared = _inferred(spec, prepared)
    given = onnx.ModelProto()
    given.CopyFrom(model)
    there = {each.name for each in given.graph.output}
    given.graph.output.extend(onnx.ValueInfoProto(name=each) for each in outputs if each not in there)
    return OnnxGraph(
        given=given,
        prepared=prepared,
        sha256=sha256,
        input=name,
        size=layout.size,
        batch=layout.batch,
        channels_last=layout.channels_last,
        outputs=outputs,
        assumed=(*layout.assumed, *assumed),
    )


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


def _logits(graph: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let the graph end before a last Softmax or Sigmoid; gives its outputs, and what was decided."""
    import onnx

    made_by = {output: node for node in graph.node for output in node.output}
    (first, *others) = (each.name for each in graph.output)
    name = first
    while name in made_by and made_by[name].op_type == "Identity":
        name = made_by[name].input[0]
    kind = made_by[name].op_type if name in made_by else ""
    if others or kind not in ("Softmax", "Sigmoid"):
        return (first, *others), ()
    name = made_by[name].input[0]
    _set(graph.output, [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)])
    _drop_unused(graph)
    return (name,), (f"outputs: logits, as they are before the last {kind} of the graph",)


def _open_batch(graph: Any, layout: _Layout, name: str) -> None:
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
        if shape.ndim == 1 and len(shape) and shape[0] == layout.batch:
            shape[0] = 0 if -1 in shape else -1
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


def _shapes_kept(model: Any, layout: _Layout) -> None:
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


def _shapes(model: Any, names: list[str], layout: _Layout) -> list[list[Any]]:
    """The values of shapes, computed by onnxruntime for few and for more images; none where it does not run."""
    import numpy as np
    import onnx
    import onnxruntime

    if not names:
        return [[], []]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    _set(probed.graph.output, [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
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
