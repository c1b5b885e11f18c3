"""A package that adds a table, a figure, a criterion and a layout to seviz, as it lies where packages are installed."""

from pathlib import Path

MODULE = '''"""Channels whose mean gate is highest."""

from pathlib import Path

import numpy as np
import pandas as pd

from seviz.capture.indexed import Dataset
from seviz.classes import Classes
from seviz.registry import Column, layout, table


@table(
    title="Widest block",
    caption="The channels of each block, times a factor.",
    columns={"block": Column(key=True), "width": Column(low=0)},
)
def widths(run, *, factor: int = 1, blocks: "list[str] | None" = None):
    """Channels of each block.

    Parameters
    ----------
    run
        A finished run.
    factor
        Multiplier of the number of channels.
    blocks
        Blocks to count; all by default.
    """
    widths = {block.name: block.channels * factor for block in run.manifest.blocks}
    names = list(widths) if blocks is None else blocks
    made = pd.DataFrame({"block": names, "width": [widths[name] for name in names]})
    made.attrs["remarks"] = []
    return made


@layout(forms=("flat:DIR",), title="Flat folder", caption="files called CLASS-NUMBER.png")
def flat(spec, where):
    paths = sorted(path.name for path in where.glob("*-*.png"))
    ids = sorted({path.split("-")[0] for path in paths})
    labels = np.array([ids.index(path.split("-")[0]) for path in paths], np.int64)
    return Dataset(spec, where, Classes(tuple(ids), tuple(ids)), tuple(paths), labels)


def undeclared(run):
    return pd.DataFrame()


@table(title="Called otherwise")
def called(run):
    return pd.DataFrame()


@table(title="Not for a command")
def callback(run, function: Path.__class__):
    return pd.DataFrame()
'''
ADDED = {"seviz.tables": {"widths": "others_of_seviz:widths"}, "seviz.layouts": {"flat": "others_of_seviz:flat"}}
"""Entry points by group and name."""
BROKEN = {
    "seviz.tables": {
        "absent": "no_such_module:absent",
        "undeclared": "others_of_seviz:undeclared",
        "otherwise": "others_of_seviz:called",
        "specificity": "others_of_seviz:widths",
        "capture": "others_of_seviz:widths",
        "callback": "others_of_seviz:callback",
    },
    "seviz.layouts": {"absent": "no_such_module:absent", "imagenet": "others_of_seviz:flat"},
}
"""Entry points that cannot be used."""


def install(site: Path, entries: dict[str, dict[str, str]], name: str = "others-of-seviz") -> Path:
    """Write the package below a folder that is to be on `sys.path`, and return the folder."""
    information = site / f"{name.replace('-', '_')}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = (
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items()) for group, of in entries.items()
    )
    (information / "entry_points.txt").write_text("\n".join(groups))
    (site / "others_of_seviz.py").write_text(MODULE)
    return site
