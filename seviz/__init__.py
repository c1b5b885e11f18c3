"""seviz: see what the Squeeze-and-Excitation blocks of a network do, class by class and block by block."""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seviz.analysis.specificity import specificity as specificity
    from seviz.capture.collect import collect as collect
    from seviz.errors import SevizError as SevizError
    from seviz.network.blocks import SEBlock as SEBlock
    from seviz.network.blocks import find_se_blocks as find_se_blocks
    from seviz.network.gates import capture_gates as capture_gates
    from seviz.network.gates import force_gates as force_gates
    from seviz.network.insertion import insert_se as insert_se
    from seviz.network.models import Network as Network
    from seviz.network.models import load as load
    from seviz.run.store import Run as Run
    from seviz.run.store import open_run as open_run

_HOMES = {
    "Network": "seviz.network.models",
    "Run": "seviz.run.store",
    "SEBlock": "seviz.network.blocks",
    "SevizError": "seviz.errors",
    "capture_gates": "seviz.network.gates",
    "collect": "seviz.capture.collect",
    "find_se_blocks": "seviz.network.blocks",
    "force_gates": "seviz.network.gates",
    "insert_se": "seviz.network.insertion",
    "load": "seviz.network.models",
    "open_run": "seviz.run.store",
    "specificity": "seviz.analysis.specificity",
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
