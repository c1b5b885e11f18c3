import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.plots.channel import gates_by_class


@pytest.mark.parametrize(
    ("bounds", "title"),
    [((0, 1), "gate (0 shut, 1 open)"), ((0, 2), "gate (hard_sigmoid)"), ((-np.inf, np.inf), "gate (hard_sigmoid)")],
)
def test_the_axis_says_shut_and_open_only_of_gates_that_kept_to_it(bounds: tuple[float, float], title: str) -> None:
    numbers = {key: [0.25] for key in ("low", "lower", "middle", "upper", "high", "mean", "std")}
    spread = pd.DataFrame({"name": ["cat"], "images": [3], **numbers})
    chart = gates_by_class(spread, None, ["cat"], 100, "hard_sigmoid", bounds).to_dict()
    assert {layer["encoding"]["x"]["title"] for layer in chart["layer"]} == {title}
