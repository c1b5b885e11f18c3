"""An ONNX file, which may come from a stranger, read within bounds and checked before anything is made of it.

It is read whole, a regular file of bounded size; tensors in other files only from its own directory.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seviz.errors import ModelError, OptionError, UnknownModelError
from seviz.extras import needing
from seviz.foreign import line, read_regular, regular, shown
from seviz.network.onnx_graphs import STANDARD, Layout, OnnxGraph, ending_at_logits, prepare, with_outputs
from seviz.network.settings import Settings

LARGEST = (1 << 31) - 1
"""Bytes of a file with the tensors that it keeps elsewhere: no ONNX graph in memory may have more."""
SIDE = 224
"""Pixels of a side, or positions of an axis, where neither the graph nor the person says."""
_OLDEST, _NEWEST = 11, 17  # versions of the operators that the converter knows well
_FEW_CHANNELS = range(1, 5)  # of an image, by which channels last are told
_OPERATORS_SHOWN = 8


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
        If a package of the extra is not installed.
    """
    with needing("onnx", f"model {spec!r}"):
        import onnx
        import onnx2torch  # noqa: F401
        import onnxruntime  # noqa: F401
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
    _checked(spec, model)
    source = _input_of(spec, model.graph)
    layout = _layout(spec, source, model.graph, settings)
    ending, outputs, assumed = ending_at_logits(model)
    prepared = prepare(spec, _readable(spec, ending), layout)
    given = with_outputs(model, outputs)
    return OnnxGraph(
        given=given,
        prepared=prepared,
        sha256=hashlib.sha256(content).hexdigest(),
        input=source.name,
        size=layout.size,
        batch=layout.batch,
        channels_last=layout.channels_last,
        outputs=outputs,
        assumed=(*layout.assumed, *assumed),
    )


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


def _checked(spec: str, model: Any) -> None:
    """Raise ModelError if operators cannot be read in any version, naming all, or the model is no valid ONNX."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except Exception as error:
        if strange := _unreadable(model):
            raise _strange(spec, strange) from error
        raise ModelError(f"model {spec!r} is damaged, or no valid ONNX: {line(error)}") from error


def _readable(spec: str, model: Any) -> Any:
    """The model with operators of versions that can be read; raises ModelError naming those that cannot be."""
    from onnx import version_converter

    strange = _unreadable(model)
    version = next((each.version for each in model.opset_import if each.domain in STANDARD), _NEWEST)
    if strange or not _OLDEST <= version <= _NEWEST:
        try:
            other = version_converter.convert_version(model, _NEWEST)
        except Exception:  # of operators that it does not know either: some can be read as they are
            other = model
        model, strange = other, _unreadable(other)
    if strange:
        raise _strange(spec, strange)
    return model


def _strange(spec: str, operators: list[str]) -> ModelError:
    names = ", ".join(operators[:_OPERATORS_SHOWN]) + (", ..." if len(operators) > _OPERATORS_SHOWN else "")
    return ModelError(
        f"model {spec!r} has operators that cannot be read: {names}; export the network in float32 and with an opset"
        f" from {_OLDEST} to {_NEWEST}, or hand it over as a torch module: seviz.wrap(module, example)"
    )


def _unreadable(model: Any) -> list[str]:
    """The operators that the converter does not know, each with its domain and version."""
    from onnx2torch.node_converters import get_converter

    versions = {each.domain: each.version for each in model.opset_import}
    found = []
    for domain, kind in dict.fromkeys((node.domain, node.op_type) for node in model.graph.node):
        version = versions.get(domain, versions.get("", 0))
        try:
            if domain not in STANDARD:
                raise NotImplementedError
            if kind != "Constant":
                get_converter(kind, version)
        except NotImplementedError:
            name = shown(f"{domain}.{kind}" if domain not in STANDARD else kind)[1:-1]
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


def _layout(spec: str, source: Any, graph: Any, settings: Settings) -> Layout:
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
    return Layout(source.name, batch, (channels, *sides), last, tuple(assumed))


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
