"""How the caches of pages tell paths and texts apart: by their bytes, since a name need not be UTF-8."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BY_BYTES: dict[str | type[Any], Callable[[Any], Any]] = {
    type(Path()): os.fsencode,
    str: lambda text: text.encode("utf-8", "surrogatepass"),
}
"""The `hash_funcs` of `st.cache_data` and `st.cache_resource` whose functions take such."""
