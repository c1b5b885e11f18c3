"""seviz: see what the Squeeze-and-Excitation blocks of a network do, class by class and block by block."""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seviz.capture.collect import collect as collect
    from seviz.compression.folding import fold as fold
    from seviz.compression.folding import foldable as foldable
    from seviz.compression.folding import remove as remove
    from seviz.compression.importance import importance as importance
    from seviz.compression.inner import inner_scores as inner_scores
    from seviz.compression.listing import results as results
    from seviz.compression.masking import mask as mask
    from seviz.compression.pruning import prune as prune
    from seviz.compression.recipes import curve_run as curve_run
    from seviz.compression.recipes import fold_run as fold_run
    from seviz.compression.recipes import prune_run as prune_run
    from seviz.compression.result import Compression as Compression
    from seviz.errors import SevizError as SevizError
    from seviz.experiments.attribution import attribute as attribute
    from seviz.experiments.causal import intervene as intervene
    from seviz.experiments.evaluation import evaluate as evaluate
    from seviz.network.blocks import SEBlock as SEBlock
    from seviz.network.blocks import find_se_blocks as find_se_blocks
    from seviz.network.gates import capture_gates as capture_gates
    from seviz.network.gates import force_gates as force_gates
    from seviz.network.insertion import insert_se as insert_se
    from seviz.network.models import load as load
    from seviz.network.networks import Network as Network
    from seviz.network.saving import save as save
    from seviz.network.wrapping import wrap as wrap
    from seviz.run.store import Run as Run
    from seviz.run.store import open_run as open_run
    from seviz.tables.agreement import agreement as agreement
    from seviz.tables.channels import channels as channels
    from seviz.tables.cka import cka as cka
    from seviz.tables.compare import compare as compare
    from seviz.tables.confusion import confusion as confusion
    from seviz.tables.convergence import convergence as convergence
    from seviz.tables.decoding import decoding as decoding
    from seviz.tables.redundancy import redundancy as redundancy
    from seviz.tables.saturation import saturation as saturation
    from seviz.tables.selectivity import selectivity as selectivity
    from seviz.tables.similarity import similarity as similarity
    from seviz.tables.specificity import specificity as specificity

_HOMES = {
    "Compression": "seviz.compression.result",
    "Network": "seviz.network.networks",
    "Run": "seviz.run.store",
    "SEBlock": "seviz.network.blocks",
    "SevizError": "seviz.errors",
    "agreement": "seviz.tables.agreement",
    "attribute": "seviz.experiments.attribution",
    "capture_gates": "seviz.network.gates",
    "channels": "seviz.tables.channels",
    "cka": "seviz.tables.cka",
    "collect": "seviz.capture.collect",
    "compare": "seviz.tables.compare",
    "confusion": "seviz.tables.confusion",
    "convergence": "seviz.tables.convergence",
    "curve_run": "seviz.compression.recipes",
    "decoding": "seviz.tables.decoding",
    "evaluate": "seviz.experiments.evaluation",
    "find_se_blocks": "seviz.network.blocks",
    "fold": "seviz.compression.folding",
    "fold_run": "seviz.compression.recipes",
    "foldable": "seviz.compression.folding",
    "force_gates": "seviz.network.gates",
    "importance": "seviz.compression.importance",
    "inner_scores": "seviz.compression.inner",
    "insert_se": "seviz.network.insertion",
    "intervene": "seviz.experiments.causal",
    "load": "seviz.network.models",
    "mask": "seviz.compression.masking",
    "open_run": "seviz.run.store",
    "prune": "seviz.compression.pruning",
    "prune_run": "seviz.compression.recipes",
    "redundancy": "seviz.tables.redundancy",
    "remove": "seviz.compression.folding",
    "results": "seviz.compression.listing",
    "saturation": "seviz.tables.saturation",
    "save": "seviz.network.saving",
    "selectivity": "seviz.tables.selectivity",
    "similarity": "seviz.tables.similarity",
    "specificity": "seviz.tables.specificity",
    "wrap": "seviz.network.wrapping",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    # torch, timm and pandas are imported when first needed, so that `seviz --help` answers at once.
    if name == "__version__":
        return metadata.version("seviz")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'seviz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
