"""Tables of a run: a function a table, declared in the file of its name; those of other packages too."""

from typing import Any

import lazy_loader

from seviz.registry import TABLES

_own, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return TABLES[name].function if name in TABLES and not TABLES.is_own(name) else _own(name)
