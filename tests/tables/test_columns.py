import numpy as np
import pandas as pd

from seviz.registry import EACH, Table
from seviz.tables.columns import ANY, KEY, POSITIVE, SHARE, beyond


def test_numbers_within_their_range_and_nan_are_no_finding() -> None:
    table = pd.DataFrame({"block": ["a", "b"], "share": [0.0, np.nan], "size": [3, 10**12], "any": [-1e300, 1e300]})
    assert beyond(table, {"block": KEY, "share": SHARE, "size": POSITIVE, "any": ANY, "not there": SHARE}) == []
    assert beyond(table[[]], {}) == beyond(table.head(0), dict.fromkeys(table.columns, SHARE)) == []


def test_what_lies_beyond_is_told() -> None:
    table = pd.DataFrame({"share": [0.5, 1.5], "size": [1.0, np.inf], "new": [1, 2], "flag": [True, False]})
    assert beyond(table, {"share": SHARE, "size": POSITIVE, "flag": SHARE}) == [
        "new is not declared",
        "share lies from 0.5 to 1.5, outside of 0 to 1",
        "size is infinite in 1 rows",
    ]


def test_a_matrix_has_one_range_and_missing_whole_numbers_are_missing() -> None:
    assert beyond(pd.DataFrame(np.eye(3)), {EACH: SHARE}) == []
    assert len(beyond(pd.DataFrame(-np.eye(3)), {EACH: SHARE})) == 3
    assert beyond(pd.DataFrame({"k": pd.array([1, None], "Int64")}), {"k": POSITIVE}) == []


def test_a_key_tells_rows_apart_and_remarks_are_a_list() -> None:
    declared = Table(function=beyond, title="", columns={"block": KEY, "channel": KEY, "share": SHARE})
    table = pd.DataFrame({"block": ["a", "a", "b"], "channel": [0, 1, 0], "share": 0.5})
    assert beyond(table, declared) == ["attrs['remarks'] is no list"]
    table.attrs["remarks"] = []
    assert beyond(table, declared) == beyond(table.set_index("block").head(1), declared) == []
    assert beyond(table.drop(columns="channel"), declared) == ["block has the same values in 1 rows"]
    assert beyond(table[["share"]], declared) == ["no column of the key is there"]
