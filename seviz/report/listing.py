"""The tables of a report: which, with which columns, and how many rows of them."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from seviz.report.contents import Contents
from seviz.report.headlines import decoded
from seviz.report.markup import Column, table
from seviz.run.store import Run

ROWS = 25
"""Of channels, and of classes, that are shown at most."""
FILES = 100
"""Of images with something to know that are shown at most."""

_BLOCKS = (
    Column("block", "block"),
    Column("channels", "channels", "count"),
    Column("omega_squared", "ω²", "share"),
    Column("low,high", "95 % interval", "share"),
    Column("std_between", "sd between", "figure"),
    Column("std_total", "sd in all", "figure"),
    Column("gates", "read off gates", "share"),
    Column("squeeze", "off squeeze", "share"),
    Column("near_zero", "near 0", "share"),
    Column("near_one", "near 1", "share"),
    Column("flag", "flag"),
    Column("participation_ratio", "independent", "figure"),
    Column("wanted", "images wanted", "count"),
)
_CHANNELS = (
    Column("block", "block"),
    Column("channel", "channel", "count"),
    Column("omega_squared", "ω²", "share"),
    Column("low,high", "95 % interval", "share"),
    Column("std_between", "sd between", "figure"),
    Column("std_within", "sd within", "figure"),
    Column("best_class_name", "favoured class", "name"),
    Column("d_prime", "d′", "figure"),
)
_CLASSES = (
    Column("class_name", "class", "name"),
    Column("images", "images", "count"),
    Column("omega_squared", "ω²", "share"),
    Column("low,high", "95 % interval", "share"),
    Column("difference", "difference", "figure"),
    Column("std_within", "sd within", "figure"),
)
_FILES = (
    Column("path", "image"),
    Column("class", "class", "name"),
    Column("status", "status"),
    Column("reason", "reason"),
)


def tables(run: Run, contents: Contents) -> Iterator[str]:
    """The tables of a run, as HTML."""
    yield table(
        by_block(contents),
        _BLOCKS,
        name="blocks",
        title="SE blocks in order of depth",
        caption="ω²: share of the gates' variance between classes, bias-corrected; sd: standard deviation of the gates,"
        " between classes and over all images, root mean square over channels; read off: how often a linear decoder"
        " tells the class by gates or squeeze of the block, cross-validated; near 0 and near 1: shares of the gates;"
        " flag: what stands out; independent: effective number of independent gates; images wanted: of each class, for"
        " stable figures. What is not known is a dash.",
    )
    channels = favoured(contents)
    if len(channels):
        yield table(
            channels,
            _CHANNELS,
            name="channels",
            title=f"The {len(channels)} most class-specific channels",
            caption="Of all blocks, by ω² of the channel's gate. A large share can be of little: look at the standard"
            " deviations between and within classes too. d′: how far the class it favours stands out from all others,"
            " in standard deviations.",
        )
    block, classes = outstanding(contents)
    if len(classes):
        yield table(
            classes,
            _CLASSES,
            name="classes",
            title=f"The {len(classes)} classes that stand out most in {block}",
            caption="In the block with the greatest share of variance between classes, each class against all other"
            " images. A rare class has a small share ω². Difference of the means, and standard deviation within the"
            " class and within the rest: root mean square over channels.",
        )
    noted = run.samples[(run.samples["status"] != "ok") | (run.samples["reason"] != "")]
    if len(noted):
        yield table(
            noted.sort_values("status", key=lambda status: status != "failed", kind="stable").head(FILES),
            _FILES,
            name="images",
            title=f"{len(noted):,} images that failed, were coerced, or have something to know of",
            caption=f"The first {FILES}; `run.samples` has all." if len(noted) > FILES else "Failed ones first.",
        )


def by_block(contents: Contents) -> pd.DataFrame:
    """What the tables say of each block, side by side; without the columns of tables that cannot be had."""
    blocks = contents.tables["specificity"].set_index("block")
    if "saturation" in contents.tables:
        blocks = blocks.join(contents.tables["saturation"].set_index("block")[["near_zero", "near_one", "flag"]])
    if "decoding" in contents.tables:
        for name, signal in (("gates", "excitation"), ("squeeze", "squeeze")):
            accuracy = decoded(contents.tables["decoding"], signal).set_index("block")["accuracy"]
            if accuracy.notna().any():
                blocks[name] = accuracy
    if "redundancy" in contents.tables:
        blocks = blocks.join(contents.tables["redundancy"].set_index("block")["participation_ratio"])
    if "convergence" in contents.tables:
        blocks = blocks.join(contents.tables["convergence"].set_index("block")["wanted"])
    return blocks.reset_index()


def favoured(contents: Contents) -> pd.DataFrame:
    """The most class-specific channels, and the class that each favours."""
    channels = _most(contents.tables["specificity_by_channel"], "omega_squared")
    best = contents.tables["selectivity"][["block", "channel", "best_class_name", "d_prime"]]
    return channels.merge(best, on=["block", "channel"], how="left")


def outstanding(contents: Contents) -> tuple[str, pd.DataFrame]:
    """The most class-specific block, and the classes that stand out there."""
    omega = contents.tables["specificity"].set_index("block")["omega_squared"]
    if omega.isna().all():
        return "", pd.DataFrame()
    block = str(omega.idxmax())
    rows = contents.tables["specificity_by_class"]
    return block, _most(rows[rows["block"] == block], "omega_squared")


def _most(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    known = rows[np.isfinite(rows[column].to_numpy(np.float64))]
    most: pd.DataFrame = known.sort_values(column, ascending=False, kind="stable").head(ROWS)
    return most
