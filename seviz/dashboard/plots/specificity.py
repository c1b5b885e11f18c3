"""Charts of class specificity: by depth, of one run or two, and over the channels of a block."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from seviz.dashboard.plots.charts import HEIGHT, blocks_point
from seviz.figures.depth import profile
from seviz.figures.style import FAINT
from seviz.stats.variance import omega_squared_of_f

BINS = 40
"""Of the histogram."""
DECODED = {
    "accuracy": "all channels",
    "accuracy_equal": "equal width",
    "accuracy_squeeze": "of the squeeze",
    "chance": "chance",
}
"""What is decoded, by the column of `seviz.figures.depth.profile`."""
DEVIATIONS = {"std_between": "between classes", "std_total": "over all images"}
DASHES = [[1, 0], [6, 4], [2, 3], [8, 3, 2, 3]]
"""Of lines, so that one is seen beneath another."""
_APART = 0.16  # between two runs at one block, of the distance between blocks


def places(blocks: Sequence[str], onto: Sequence[str], partners: Mapping[str, str] | None = None) -> list[float]:
    """Where the blocks of one run stand among those of another, whose places are 0, 1, 2, ...

    Each stands where its partner does; without `partners` that is the one of its name, where both have the same names.
    Those without partner stand by depth: the first on the first, the last on the last, and those between at equal
    distances from the next that have a place.
    """
    if partners is None:
        partners = {block: block for block in blocks} if set(blocks) == set(onto) else {}
    at = {k: float(list(onto).index(partners[block])) for k, block in enumerate(blocks) if block in partners}
    known = {len(blocks) - 1: len(onto) - 1.0} | {0: 0.0} | at
    order = sorted(known)
    return [float(place) for place in np.interp(np.arange(len(blocks)), order, [known[k] for k in order])]


def by_depth(
    runs: Mapping[str, pd.DataFrame],
    decoding: Mapping[str, pd.DataFrame | None],
    onto: Sequence[str],
    partners: Mapping[str, Mapping[str, str]] | None = None,
) -> pd.DataFrame:
    """The profiles of runs, one under the other.

    Parameters
    ----------
    runs
        Tables of `seviz.tables.specificity.specificity`, by what the runs are called.
    decoding
        Those of `seviz.tables.decoding.decoding`, where the runs keep them.
    onto
        The blocks of the axis.
    partners
        By run, which block of the axis each of its blocks belongs to; those of runs that are not in it by name.

    Returns
    -------
    pandas.DataFrame
        One row a run and block: those of `seviz.figures.depth.profile`, with std_between, std_total, interval ("over
        images", "over classes" or "none"), and place, where the block is drawn.
    """
    frames = []
    for k, (name, table) in enumerate(runs.items()):
        over_images = table["low"].notna() & table["high"].notna()
        over_classes = table["low_classes"].notna() & table["high_classes"].notna()
        shift = (k - (len(runs) - 1) / 2) * _APART
        frames.append(
            profile(table, decoding=decoding.get(name), run=name).assign(
                std_between=table["std_between"],
                std_total=table["std_total"],
                interval=np.select([over_images, over_classes], ["over images", "over classes"], "none"),
                place=np.array(places(list(table["block"]), onto, (partners or {}).get(name))) + shift,
            )
        )
    return pd.concat(frames, ignore_index=True)


def specificity_profile(table: pd.DataFrame, *, blocks: Sequence[str], selected: str) -> Any:
    """Omega squared of each block with its interval, and what it would be by chance; a click selects a block.

    Parameters
    ----------
    table
        From `by_depth`.
    blocks
        Of the axis.
    selected
        The block that is marked.
    """
    runs = list(dict.fromkeys(table["run"]))
    known = table.dropna(subset="omega_squared")
    low = float(np.nanmin([0.0, *known["omega_squared"]]))
    high = float(np.nanmax([0.05, *known["omega_squared"], *known["omega_chance"]]))
    room = 0.15 * (high - low)  # for intervals, whose ends do not count
    y = alt.Y(
        "omega_squared:Q",
        title="share of variance (ω²)",
        scale=alt.Scale(domain=[low - room, min(high + room, 1.0)], zero=False, nice=False),
    )
    colour = alt.Color("run:N", scale=alt.Scale(domain=runs), title=None, legend=_legend() if len(runs) > 1 else None)
    x = _axis(blocks)
    tells = [
        alt.Tooltip("run:N", title="run"),
        alt.Tooltip("block:N", title="block"),
        alt.Tooltip("omega_squared:Q", title="ω²", format=".4f"),
        alt.Tooltip("low:Q", title="interval from", format=".4f"),
        alt.Tooltip("high:Q", title="to", format=".4f"),
        alt.Tooltip("interval:N", title="interval"),
        alt.Tooltip("omega_chance:Q", title="by chance", format=".4f"),
    ]
    base = alt.Chart(known).encode(x=x, color=colour)
    layers = [
        *_mark(blocks, selected, x),
        base.mark_line(strokeDash=[5, 4], strokeWidth=1.2).encode(y=alt.Y("omega_chance:Q")),
        alt.Chart(known.dropna(subset=["low", "high"]))
        .mark_rule(strokeWidth=3, opacity=0.45, clip=True)
        .encode(x=x, color=colour, y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=y),
        base.mark_point(filled=True, size=60, opacity=1, cursor="pointer")
        .encode(y=y, tooltip=tells)
        .properties(name="points")
        .add_params(blocks_point()),
    ]
    return alt.layer(*layers).properties(height=HEIGHT)


def deviations(table: pd.DataFrame, *, blocks: Sequence[str], selected: str) -> Any:
    """Standard deviation of the gates, between classes and over all images; of two runs between classes."""
    kinds = {"std_between": DEVIATIONS["std_between"]} if _several(table) else DEVIATIONS
    return _series(table, kinds, blocks, selected, "standard deviation")


def decoded(table: pd.DataFrame, *, blocks: Sequence[str], selected: str) -> Any:
    """How often the class is read off the gates of a block; of two runs from all channels."""
    kinds = {column: name for column, name in DECODED.items() if table[column].notna().any()}
    if _several(table):
        kinds = {"accuracy": DECODED["accuracy"]}
    return _series(table, kinds, blocks, selected, "accuracy of decoding")


def chance_bound(images: int, classes: int, share: float = 0.95) -> float:
    """Below which omega squared of so many of the channels lies, in which classes make no difference.

    By the F distribution, for gates that are normal within classes; NaN for fewer than two classes or no more images
    than classes.
    """
    if classes < 2 or images <= classes:
        return float("nan")
    return float(omega_squared_of_f(np.asarray(stats.f.ppf(share, classes - 1, images - classes)), images, classes))


def counts(values: pd.Series) -> pd.DataFrame:
    """How many channels have an omega squared from low to high, in bins of equal width; without NaN."""
    known = values.dropna().to_numpy(np.float64)
    if not len(known):
        return pd.DataFrame({"low": [], "high": [], "channels": []})
    ends = min(0.0, float(known.min())), max(float(known.max()), 0.05)
    number, edges = np.histogram(known, bins=BINS, range=ends)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "channels": number})


def histogram(table: pd.DataFrame, *, bound: float, text: str) -> Any:
    """Channels by their omega squared, and where chance ends.

    Parameters
    ----------
    table
        From `counts`.
    bound
        Where a line is drawn; NaN for none.
    text
        What the line is, under the pointer.
    """
    x = alt.X("low:Q", bin="binned", title="ω² of a channel", scale=alt.Scale(zero=False, nice=False))
    bars = (
        alt.Chart(table)
        .mark_bar(binSpacing=1)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("channels:Q", title="channels", axis=alt.Axis(tickMinStep=1, format="d")),
            tooltip=[
                alt.Tooltip("low:Q", title="ω² from", format=".3f"),
                alt.Tooltip("high:Q", title="to", format=".3f"),
                alt.Tooltip("channels:Q", title="channels"),
            ],
        )
    )
    if not np.isfinite(bound):
        return bars.properties(height=HEIGHT - 80)
    line = (
        alt.Chart(pd.DataFrame({"low": [bound], "what": [text]}))
        .mark_rule(strokeDash=[5, 4], strokeWidth=2, color="#D55E00")
        .encode(x=x, tooltip=[alt.Tooltip("what:N", title=" "), alt.Tooltip("low:Q", title="ω²", format=".4f")])
    )
    return alt.layer(bars, line).properties(height=HEIGHT - 80)


def _series(table: pd.DataFrame, kinds: Mapping[str, str], blocks: Sequence[str], selected: str, title: str) -> Any:
    several = _several(table)
    long = pd.concat(
        [
            table[["run", "block", "place"]].assign(series=table["run"] if several else name, value=table[column])
            for column, name in kinds.items()
        ],
        ignore_index=True,
    ).dropna(subset="value")
    x, order = _axis(blocks), list(dict.fromkeys(table["run"])) if several else list(kinds.values())
    base = alt.Chart(long).encode(
        x=x,
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=True)),
        color=alt.Color("series:N", title=None, scale=alt.Scale(domain=order), legend=_legend()),
    )
    dashes = alt.StrokeDash("series:N", scale=alt.Scale(domain=order, range=DASHES), legend=None)
    tells = [
        alt.Tooltip("run:N", title="run"),
        alt.Tooltip("block:N", title="block"),
        alt.Tooltip("series:N", title="which"),
        alt.Tooltip("value:Q", title=title, format=".4f"),
    ]
    points = base.mark_point(filled=True, size=45, opacity=1).encode(tooltip=tells)
    return alt.layer(*_mark(blocks, selected, x), base.mark_line().encode(strokeDash=dashes), points).properties(
        height=HEIGHT - 20
    )


def _several(table: pd.DataFrame) -> bool:
    return len(set(table["run"])) > 1


def _axis(blocks: Sequence[str]) -> alt.X:
    """Blocks in order of depth, with room for places between them."""
    return alt.X(
        "place:Q",
        title="SE block, in order of depth",
        scale=alt.Scale(domain=[-0.5, len(blocks) - 0.5], nice=False, zero=False),
        axis=alt.Axis(
            values=list(range(len(blocks))),
            labelExpr=f"{json.dumps(list(blocks))}[datum.value]",
            labelAngle=-45,
            labelOverlap=True,
            grid=False,
        ),
    )


def _mark(blocks: Sequence[str], selected: str, x: alt.X) -> list[Any]:
    """The selected block, marked."""
    at = pd.DataFrame({"place": [float(k) for k, block in enumerate(blocks) if block == selected]})
    return [alt.Chart(at).mark_rule(color=FAINT, opacity=0.25, strokeWidth=14).encode(x=x)]


def _legend() -> alt.Legend:
    return alt.Legend(
        orient="top",
        direction="horizontal",
        columns=2,
        labelLimit=160,
        symbolType="stroke",
        symbolOpacity=1,
        symbolStrokeWidth=3,
    )
