"""Images in folders, one folder per class."""

from pathlib import Path

from seviz.capture.class_folders import open_folder
from seviz.capture.indexed import Dataset
from seviz.capture.specs import existing
from seviz.registry import layout


@layout(
    forms=("path/to/folder",),
    title="Class folders",
    caption="one folder per class, at any depth: `indoor/church` and `outdoor/church` are two classes; or, where"
    " every folder at the top is called `train`, `val`, `valid`, `validation` or `test`, the class folders of"
    " each split",
)
def folder(spec: str, where: Path, *, split: str | None = None, root: Path | None = None) -> Dataset:
    """Open images in class folders; see `seviz.capture.class_folders.open_folder`."""
    return open_folder(spec, root or existing(spec, where), split=split)
