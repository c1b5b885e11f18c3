from dataclasses import replace
from pathlib import Path

import numpy as np

from seviz.run.store import Run, open_run
from seviz.tables.differences import differences
from tests.made_runs import make_run


def test_differences_of_runs(tmp_path: Path, bundled_run: Run) -> None:
    gates = {"SE_2_1": np.full((4, 3), 0.5), "SE_3_1": np.full((4, 5), 0.5)}
    one = make_run(tmp_path / "one", gates, np.arange(4) % 2)
    assert differences(one, one).empty
    table = differences(one, bundled_run).set_index("what")
    assert table.loc["network"].tolist() == ["tests/made", "seviz/seresnet50-cifar10"]
    assert table.loc["folder of the data", "one"] == "none"
    assert table.loc["SE blocks", "one"] == "2: SE_2_1 (3), SE_3_1 (5)"
    assert table["other"].str.len().max() <= 90
    other = make_run(tmp_path / "other", gates, np.arange(4) % 2)
    manifest = replace(other.manifest, engine=replace(other.manifest.engine, rotate=True))
    (other.path / "manifest.json").write_text(manifest.to_json())
    found = differences(one, open_run(other.path))
    assert found.to_numpy().tolist() == [["engine: rotate", "False", "True"]]
