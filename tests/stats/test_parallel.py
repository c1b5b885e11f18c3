import os
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from seviz.stats.parallel import each, one_by_one
from tests.made_runs import make_run


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("cores", [1, 2])
def test_results_come_in_the_order_of_the_blocks(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert each(str.upper, ["a", "b", "c"]) == ["A", "B", "C"]
    assert each(str.upper, []) == []


def test_two_are_worked_at_at_once_and_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before, both = blas_threads(), Barrier(2)

    def meet(_: int) -> set[int]:
        both.wait(timeout=60)
        return blas_threads()

    assert each(meet, [0, 1]) == [{1}, {1}]
    assert blas_threads() == before


def test_results_are_there_as_soon_as_they_can_be_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before, third = blas_threads(), Event()

    def make(item: int) -> int:
        assert item < 2 or third.wait(timeout=60)
        return item

    made = one_by_one(make, [0, 1, 2])
    assert [next(made), next(made)] == [0, 1]
    third.set()
    assert list(made) == [2]
    assert blas_threads() == before


def test_who_stops_early_gives_the_cores_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = blas_threads()
    made = one_by_one(str, [0, 1, 2])
    assert (next(made), blas_threads()) == ("0", {1})
    made.close()
    assert blas_threads() == before


def test_the_first_error_is_raised_and_the_cores_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = blas_threads()
    with pytest.raises(ValueError, match="invalid literal"):
        each(int, ["1", "none", "2"])
    assert blas_threads() == before


def test_what_is_shared_is_made_once_for_each_run(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, {"SE_2_1": np.full((2, 1), 0.5)}, np.arange(2)) for name in ("one", "other")]
    made: list[int] = []
    for run in (*runs, *runs):
        assert run.shared("key", lambda: made.append(1) or len(made)) == 1 + runs.index(run)
    assert len(made) == 2
