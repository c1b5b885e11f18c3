"""What the manifest of a run says of the network and of the data."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from seviz.capture.datasets import Dataset
from seviz.classes import Classes
from seviz.errors import OptionError
from seviz.network.blocks import SEBlock, learned_tensor
from seviz.network.identity import weights_sha256
from seviz.network.networks import Network, logits_of_example
from seviz.network.saving import changes_since_loaded
from seviz.run.manifest import BlockRecord, ChangeRecord, DataRecord, ModelRecord


def model_record(network: Network) -> ModelRecord:
    """What is written down of a network, as it is now: also what was changed in it since it was loaded."""
    changed = changes_since_loaded(network)
    return ModelRecord(
        spec=network.spec,
        weights=network.weights,
        trained=network.trained,
        weights_sha256=weights_sha256(network.model),
        input_size=network.input_size,
        preprocessing=network.preprocessing,
        class_ids=network.classes.ids if network.classes else None,
        class_names=network.classes.names if network.classes else None,
        task=network.task,
        search=tuple(network.survey.remarks()),
        settings=network.settings.given(),
        assumed=network.assumed,
        changed=None
        if changed is None
        else ChangeRecord(
            base=changed.base,
            what=changed.what,
            changes=None if changed.changes is None else changed.changes.to_json(),
            settings=changed.settings,
        ),
        factory_sha256=network.factory_sha256,
        weights_file_sha256=network.weights_file_sha256,
    )


def block_record(model: nn.Module, block: SEBlock) -> BlockRecord:
    """What is written down of a block, with the singular values of its weights."""
    shared = {k: v for k, v in asdict(block).items() if k in BlockRecord.__dataclass_fields__}
    return BlockRecord(**shared, singular_values=_singular_values(model, block))


@torch.no_grad()
def _singular_values(model: nn.Module, block: SEBlock) -> tuple[float, ...]:
    """Of W2·W1, greatest first; none where the matrices between squeeze and gate do not form such a product."""
    if block.computed:
        return ()
    matrices = [learned_tensor(model, name).detach().cpu().double().flatten(1) for name in block.weights]
    widths = [block.channels, *(len(m) for m in matrices)]
    if not matrices or widths[-1] != block.channels:
        return ()
    if any(m.shape[1] != width for m, width in zip(matrices, widths, strict=False)):
        return ()
    if len(matrices) == 2:  # by the small factors of both, never the channels-by-channels product
        right, left = torch.linalg.qr(matrices[0].T).R, torch.linalg.qr(matrices[1]).R
        product = left @ right.T
    else:
        product = torch.linalg.multi_dot(matrices[::-1]) if len(matrices) > 2 else matrices[0]
    return tuple(torch.linalg.svdvals(product).tolist())


def _numbered(network: Network) -> Classes:
    """The classes of a network that has no names for them."""
    count = logits_of_example(network)
    if count is None:
        raise OptionError(
            f"what the labels mean is not known: {network.spec} gives no logits, and has no class names; give"
            " class_names"
        )
    numbers = tuple(str(k) for k in range(count))
    return Classes(numbers, numbers)


def data_record(data: Dataset | Iterable[Any], network: Network, selection: Mapping[str, Any]) -> DataRecord:
    """What is written down of a data set; raises OptionError if labels in memory have no classes to mean."""
    if isinstance(data, Dataset):
        return DataRecord(
            spec=data.spec,
            root=str(data.root.resolve()) if data.root else None,
            class_ids=data.classes.ids,
            class_names=data.classes.names,
            model_classes=data.classes.match(network.classes) if network.classes else None,
            labels="multi" if data.multi else "single",
            images=len(data),
            fingerprint=data.fingerprint(),
            selection=dict(selection),
        )
    classes = network.classes or _numbered(network)
    return DataRecord(
        spec="batches",
        root=None,
        class_ids=classes.ids,
        class_names=classes.names,
        model_classes=tuple(range(len(classes))),
        labels="single",
        images=None,
        fingerprint=None,
    )
