"""The images that ship with seviz."""

from importlib import resources
from pathlib import Path

from seviz.capture.class_folders import open_folder
from seviz.capture.indexed import Dataset
from seviz.registry import layout


@layout(forms=("bundled",), title="Bundled images", caption="1,000 test images of CIFAR-10")
def bundled(spec: str, where: Path) -> Dataset:
    """Open the bundled images."""
    with resources.as_file(resources.files("seviz.capture") / "bundled") as path:
        return open_folder(spec, path)
