from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from seviz.capture.workers import read_in_order

STEPS = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9], [10]]


def squared(index: int) -> int:
    return index * index


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_steps_come_in_order(workers: int) -> None:
    read = list(read_in_order(squared, STEPS, workers=workers, lost=-1, together=list))
    assert read == [[index * index for index in step] for step in STEPS]


@pytest.mark.parametrize("call", range(2, 9))
def test_a_pool_found_broken_when_work_is_handed_over_loses_no_step(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, calls = ProcessPoolExecutor.submit, [0]

    def broken(pool: ProcessPoolExecutor, work: Callable[..., Any], *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:  # the first only asks whether the pool has come up
            raise BrokenProcessPool
        return submit(pool, work, *args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    read = list(read_in_order(squared, STEPS, workers=2, lost=-1, together=list))
    assert [len(step) for step in read] == [len(step) for step in STEPS]
    flat = [item for step in read for item in step]
    assert all(item in (k * k, -1) for k, item in enumerate(flat))
    assert flat.count(-1) <= 1
