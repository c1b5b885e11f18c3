"""Which channels a table of scores is of: those that gates scale, inner ones, or those of residual streams.

The kind travels with the table, as `attrs["kind"]`. A table that somebody else made has none; then its columns and the
number of its channels decide whether it fits.
"""

from typing import Literal

import numpy as np
import pandas as pd

from seviz.compression.criteria import IN_WORDS
from seviz.errors import OptionError

Scored = Literal["gated", "inner", "stream"]

MADE_BY: dict[Scored, str] = {
    "gated": "seviz.importance",
    "inner": "seviz.inner_scores",
    "stream": "seviz.compression.stages.stage_importance",
}
"""The function that makes scores of a kind."""


def of_kind(scores: pd.DataFrame, kind: Scored) -> pd.DataFrame:
    """A table marked as of a kind."""
    scores.attrs["kind"] = kind
    return scores


def kind_of(scores: pd.DataFrame, default: Scored = "gated") -> Scored:
    """The kind that a table says it is of, or shows by its columns; else the default."""
    said = scores.attrs.get("kind")
    shown: Scored = "stream" if "stage" in scores and "block" not in scores else default
    return next((kind for kind in MADE_BY if kind == said), shown)


def require_kind(scores: pd.DataFrame, kind: Scored) -> None:
    """Check that a table is of a kind, if it says which it is of, or shows it by its columns.

    Raises
    ------
    OptionError
        If it is of another; names the function that makes the right one.
    """
    if (found := kind_of(scores, kind)) != kind:
        raise OptionError(
            f"scores are of kind {found!r}, {IN_WORDS[found]}; expected {kind!r}, {IN_WORDS[kind]}. Make them with"
            f" {MADE_BY[kind]}"
        )


def scores_by_block(scores: pd.DataFrame) -> dict[str, pd.Series]:
    """The scores of a table from `importance`, by block, with the channel as index.

    Parameters
    ----------
    scores
        Columns: block, channel, score. Blocks and channels may be some only.

    Raises
    ------
    OptionError
        If the table is of another kind of channels, a column is missing, it is empty, a channel stands there twice,
        or a score is not finite.
    """
    require_kind(scores, "gated")
    missing = [column for column in ("block", "channel", "score") if column not in scores]
    if missing:
        raise OptionError(f"scores has no column {missing[0]!r}; expected a table from importance")
    if scores.empty:
        raise OptionError("scores has no rows, expected one for each channel")
    if scores.duplicated(["block", "channel"]).any():
        block, channel = scores.loc[scores.duplicated(["block", "channel"]), ["block", "channel"]].iloc[0]
        raise OptionError(f"scores has channel {channel} of {block} twice; expected a table of one criterion")
    bad = scores[~np.isfinite(scores["score"].to_numpy(np.float64))]
    if len(bad):
        raise OptionError(
            f"scores has {bad['score'].iloc[0]} for channel {bad['channel'].iloc[0]} of {bad['block'].iloc[0]},"
            " expected finite numbers"
        )
    return {
        str(block): rows.set_index("channel")["score"].sort_index()
        for block, rows in scores.groupby("block", sort=False)
    }


def over_mean(score: pd.Series) -> pd.Series:
    """Scores of a block over the mean of their absolute values, so that blocks can be compared; 0 where all are 0."""
    size = float(score.abs().mean())
    return score / size if size > 0 else score * 0.0
