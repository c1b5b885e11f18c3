from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import seviz
from seviz.compression.curves import masking_curve
from seviz.compression.inner import inner_scores
from seviz.compression.masking import lowest
from seviz.compression.scored import MADE_BY, of_kind
from seviz.compression.stages import stage_importance
from seviz.errors import OptionError
from seviz.network.networks import Network

KINDS = {
    "gated": "the channels that SE blocks scale",
    "inner": "inner channels, .*",
    "stream": "the channels of resid.*",
}


def scores(kind: str, network: Network) -> pd.DataFrame:
    table = seviz.importance(network, None, "l2")
    if kind == "gated":
        return table
    return inner_scores(network, None, "l2") if kind == "inner" else stage_importance(network, table)


@pytest.mark.parametrize("made", KINDS)
def test_scores_carry_their_kind_and_the_wrong_one_is_named(made: str, tiny_network: Network) -> None:
    table = scores(made, tiny_network)
    assert table.attrs["kind"] == made
    takers: list[tuple[str, Callable[[pd.DataFrame], Any]]] = [
        ("gated", lambda t: lowest(t, 0.5)),
        ("gated", lambda t: seviz.mask(tiny_network, t, keep=0.5).__enter__()),
        ("gated", lambda t: masking_curve(tiny_network, [], {"l2": t}, fractions=[0.5])),
        ("gated", lambda t: stage_importance(tiny_network, t)),
        ("gated", lambda t: seviz.prune(tiny_network, t, kind="gated", keep_channels=0.5)),
        ("gated", lambda t: seviz.prune(tiny_network, t, kind="branch", keep_channels=0.5)),
        ("inner", lambda t: seviz.prune(tiny_network, t, kind="inner", keep_channels=0.5)),
        ("stream", lambda t: seviz.prune(tiny_network, t, kind="stream", keep_channels=0.5)),
    ]
    for wanted, take in takers:
        if wanted == made:
            continue
        message = (
            f"scores are of kind '{made}', {KINDS[made]}; expected '{wanted}', {KINDS[wanted]}. Make them with"
            f" {MADE_BY[wanted]}"  # type: ignore[index]
        )
        for given in (table, table[table["score"] >= 0].assign(score=table["score"] * 2)):  # what is derived keeps it
            with pytest.raises(OptionError, match=message):
                take(given)


def test_the_functions_that_are_named_make_what_is_said() -> None:
    for function in MADE_BY.values():
        module, _, name = function.rpartition(".")
        assert callable(getattr(__import__(module, fromlist=[name]), name))


def test_tables_that_say_nothing_are_taken_as_they_are(tiny_network: Network) -> None:
    table = scores("gated", tiny_network)
    expected = {block: rows.tolist() for block, rows in lowest(table, 0.5).items()}
    table.attrs.clear()
    assert {block: rows.tolist() for block, rows in lowest(table, 0.5).items()} == expected
    with pytest.raises(OptionError, match=r"scores are of kind 'stream', .* expected 'gated'"):
        lowest(pd.DataFrame({"stage": [2], "channel": [0], "score": [1.0]}), 0.5)
    inner = of_kind(scores("inner", tiny_network), "gated")
    inner.attrs.clear()
    message = (
        r"scores have 8 channels of SE_3_1, which has 12: they are of another network, or of another kind of channels\."
        r" Make them with seviz\.importance"
    )
    with pytest.raises(OptionError, match=message):
        seviz.prune(tiny_network, inner[inner["block"] == "SE_3_1"], kind="gated", keep_channels=0.5)
