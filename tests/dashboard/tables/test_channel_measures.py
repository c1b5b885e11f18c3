"""What is said of a channel: words and figures from tables whose values are known."""

import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.tables.channel_measures import MEASURES, measures, preferences, signed
from seviz.run.store import Run
from seviz.tables.kept import kept_table


def test_signs() -> None:
    assert [signed(each) for each in (1.26, -0.5, np.inf, -np.inf)] == ["+1.3", "−0.5", "+∞", "−∞"]
    assert signed(-0.876, 2) == "−0.88"


def test_preferences_name_the_extremes_of_d_prime_and_escape_names() -> None:
    table = pd.DataFrame({"name": ["a*b", "c", "d", "e", "f"], "difference": [2.0, np.nan, -3.0, 0.0, -0.1]})
    said = preferences(table)
    assert said.startswith("**Favours** a\\*b (\\+2\\.0). **Avoids** d (−3\\.0), f (−0\\.1).")
    assert "no class" in preferences(table.assign(difference=np.nan))


@pytest.mark.parametrize("channel", [0, 9])
def test_measures_are_the_figures_of_the_tables(channel: int, planted_run: Run) -> None:
    tables = {name: kept_table(planted_run, name) for name in MEASURES}
    found = {each.label: each for each in measures(planted_run, "SE_4_1", channel, tables)}
    gates, labels = planted_run.gates("SE_4_1").astype(float), planted_run.labels

    means = np.array([gates[labels == k].mean(0) for k in range(4)])
    between = 50 * np.square(means - gates.mean(0)).sum(0)
    within = sum(np.square(gates[labels == k] - means[k]).sum(0) for k in range(4))
    mse = within / 196
    omega = (between - 3 * mse) / (between + within + mse)
    assert found["Between classes"].figure == f"{omega[channel]:.1%}"
    place = int((omega > omega[channel]).sum()) + 1
    assert f"Rank {place} of 16 in SE_4_1" in found["Between classes"].says

    greatest = means[:, channel].max()
    others = (means[:, channel].sum() - greatest) / 3
    assert found["Selectivity index"].figure == f"{(greatest - others) / (greatest + others):.2f}"
    assert planted_run.classes.names[int(means[:, channel].argmax())] in found["d′ of the best class"].says
    assert found["Mean gate"].figure == f"{gates[:, channel].mean():.3f}"
    near = ((gates[:, channel] < 0.05) | (gates[:, channel] > 0.95)).mean()
    assert found["Near 0 or 1"].figure == f"{near:.1%}"


def test_only_what_is_there_is_said(planted_run: Run) -> None:
    assert not list(measures(planted_run, "SE_4_1", 0, {}))
    some = {"selectivity": kept_table(planted_run, "selectivity")}
    assert [each.label for each in measures(planted_run, "SE_4_1", 0, some)] == [
        "d′ of the best class",
        "Selectivity index",
        "Information",
    ]


def test_a_constant_channel_has_no_share(planted_run: Run) -> None:
    table = kept_table(planted_run, "specificity_by_channel")
    table.loc[table["channel"] == 0, ["omega_squared", "low", "high"]] = np.nan
    found = list(measures(planted_run, "SE_2_1", 0, {"specificity_by_channel": table}))
    assert [each.figure for each in found] == ["none"]


def test_a_channel_that_varies_between_a_class_and_the_rest_only_is_said_to(planted_run: Run) -> None:
    table = kept_table(planted_run, "selectivity").assign(d_prime=np.nan, best_class_name="a*b")
    found = next(iter(measures(planted_run, "SE_2_1", 0, {"selectivity": table})))
    assert (found.label, found.figure) == ("d′ of the best class", "∞")
    assert "It varies neither within a\\*b nor over all other images" in found.says
    unknown = measures(planted_run, "SE_2_1", 0, {"selectivity": table.assign(best_class="")})
    assert "d′ of the best class" not in {each.label for each in unknown}
