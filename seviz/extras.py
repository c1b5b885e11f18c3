"""Packages that only some of seviz needs: looked for before the work, and missed in one form of message."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from seviz.errors import MissingPackageError

EXTRAS: Final[dict[str, dict[str, str]]] = {
    "attribution": {"captum": "captum"},
    "coco": {"pycocotools": "pycocotools"},
    "hf": {"datasets": "datasets"},
    "onnx": {
        "onnx": "onnx",
        "onnx2torch": "onnx2torch",
        "onnxruntime": "onnxruntime",
        "onnxscript": "onnxscript",
    },
    "paper": {"pytorchcv": "pytorchcv"},
    "prune": {"torch-pruning": "torch_pruning"},
    "umap": {"umap-learn": "umap"},
    "wordnet": {"nltk": "nltk"},
}
"""By the name of the extra, as `pip install 'seviz[NAME]'` takes it, its packages and what each is imported as."""


def require_extra(extra: str, what: str, *, instead: str = "") -> None:
    """Raise MissingPackageError unless the packages of an extra are installed; nothing is imported.

    Parameters
    ----------
    extra
        One of `EXTRAS`.
    what
        That needs it, as the beginning of a sentence.
    instead
        What does without, as a sentence without its full stop.

    Raises
    ------
    MissingPackageError
        Names the packages, the extra, and the line that installs it.
    """
    missing = [name for name, module in EXTRAS[extra].items() if importlib.util.find_spec(module) is None]
    if missing:
        raise _missing(extra, what, missing, "not installed", instead)


@contextmanager
def needing(extra: str, what: str, *, instead: str = "") -> Iterator[None]:
    """Import packages of an extra within this: what cannot be imported is a MissingPackageError.

    Parameters
    ----------
    extra, what, instead
        As of `require_extra`.

    Raises
    ------
    MissingPackageError
        As of `require_extra`; says why the import failed, as that of a package which is installed and broken may.
    """
    try:
        yield
    except ImportError as error:
        raise _missing(extra, what, list(EXTRAS[extra]), str(error), instead) from error


def _missing(extra: str, what: str, packages: list[str], why: str, instead: str) -> MissingPackageError:
    otherwise = f". {instead}." if instead else ""
    return MissingPackageError(f"{what} needs {', '.join(packages)} ({why}): pip install 'seviz[{extra}]'{otherwise}")
