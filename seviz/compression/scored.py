"""Which channels a table of scores is of: those that gates scale, inner ones, or those of residual streams.

The kind travels with the table, as `attrs["kind"]`. A table that somebody else made has none; then its columns and the
number of its channels decide whether it fits.
"""

from typing import Literal

import pandas as pd

from seviz.errors import OptionError

Scored = Literal["gated", "inner", "stream"]

MADE_BY: dict[Scored, str] = {
    "gated": "seviz.importance",
    "inner": "seviz.compression.inner.inner_scores",
    "stream": "seviz.compression.stages.stage_importance",
}
"""The function that makes scores of a kind."""
_CHANNELS: dict[Scored, str] = {
    "gated": "the channels that SE blocks scale",
    "inner": "inner channels, before the convolutions that make these",
    "stream": "the channels of residual streams",
}


def of_kind(scores: pd.DataFrame, kind: Scored) -> pd.DataFrame:
    """A table marked as of a kind."""
    scores.attrs["kind"] = kind
    return scores


def require_kind(scores: pd.DataFrame, kind: Scored) -> None:
    """Check that a table is of a kind, if it says which it is of, or shows it by its columns.

    Raises
    ------
    OptionError
        If it is of another; names the function that makes the right one.
    """
    found = scores.attrs.get("kind")
    if found not in MADE_BY:
        found = "stream" if "stage" in scores and "block" not in scores else kind
    if found != kind:
        raise OptionError(
            f"scores are of kind {found!r}, {_CHANNELS[found]}; expected {kind!r}, {_CHANNELS[kind]}. Make them with"
            f" {MADE_BY[kind]}"
        )
