import pandas as pd
import pytest

from seviz.report.course import course

NAN = float("nan")


def depth(values: list[float], reach: float = 0.01) -> pd.DataFrame:
    """Blocks of these figures, whose intervals reach so far."""
    return pd.DataFrame(
        {
            "block": [f"SE_2_{k + 1}" for k in range(len(values))],
            "figure": values,
            "low": [value - reach for value in values],
            "high": [value + reach for value in values],
        }
    )


@pytest.mark.parametrize(
    ("values", "reach", "kind"),
    [
        ([0.1, 0.2, 0.3, 0.5], 0.01, "rises"),
        ([0.5, 0.3, 0.2, 0.1], 0.01, "falls"),
        ([0.1, 0.2, 0.3, 0.5], 0.25, "same"),  # intervals of 0.1 and 0.5 overlap
        ([0.30, 0.31, 0.315], 0.0001, "same"),  # so little that it does not matter
        ([0.1, 0.6, 0.1, 0.6, 0.1], 0.01, "wavers"),
        ([0.3, 0.1, 0.2, 0.6, 0.35], 0.06, "wavers"),  # first and last overlap
        ([0.2, 0.1, 0.3, 0.4, 0.9], 0.01, "rises"),  # not at every step
        ([0.4], 0.01, "same"),
        ([0.4, 0.4], 0.0, "same"),
        ([0.1, 0.5], NAN, "rises"),
        ([0.5, NAN, 0.1], NAN, "falls"),
    ],
)
def test_the_kind_is_decided_by_intervals(values: list[float], reach: float, kind: str) -> None:
    found = course(depth(values, reach), "figure")
    assert found is not None
    assert found.kind == kind
    assert found.with_intervals == (reach == reach)


def test_what_is_told_of_the_blocks() -> None:
    found = course(depth([0.2, NAN, 0.1, 0.9, 0.5]), "figure")
    assert found is not None
    assert [at.block for at in (found.first, found.last, found.least, found.greatest)] == [
        *("SE_2_1", "SE_2_5", "SE_2_3", "SE_2_4"),
    ]
    assert (found.greatest.low, found.greatest.high) == pytest.approx((0.89, 0.91))
    assert found.correlation == pytest.approx(0.6)  # ranks 2 1 4 3: 1 - 6 (1 + 1 + 1 + 1) / (4 * 15)


def test_nothing_known_is_no_course() -> None:
    assert course(depth([NAN, NAN]), "figure") is None
    assert course(depth([]), "figure") is None
