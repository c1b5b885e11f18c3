import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
import torch

from seviz.capture.collect import collect
from seviz.capture.workers import _follow, read_in_order
from seviz.errors import WorkerError

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


def test_what_cannot_be_sent_to_spawned_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seviz.run.system.worker_context", lambda: multiprocessing.get_context("spawn"))
    message = r"cannot be sent to worker processes \(.*lambda.*\)\. Give 0 workers; or define it at the top level"
    with pytest.raises(WorkerError, match=message):
        list(read_in_order(lambda index: index, STEPS, workers=2, lost=-1, together=list))


def test_a_script_without_a_guard_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker imports the script, and comes to the same call again."""
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    message = (
        r'imported by one of the worker .*: in a script of your own, begin only under `if __name__ == "__main__":`'
    )
    with pytest.raises(WorkerError, match=message):
        list(read_in_order(squared, STEPS, workers=1, lost=-1, together=list))
    with pytest.raises(WorkerError, match=message):
        collect(None, "", "")  # before anything is looked at, or locked


@pytest.mark.parametrize("full", [False, True])
def test_tensors_come_whole_where_shared_memory_is_full(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared:
        @staticmethod
        def dumps(value: object) -> object:
            if full:
                raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")
            return ForkingPickler.dumps(value)

    monkeypatch.setattr("seviz.capture.workers.ForkingPickler", Shared)
    read = list(read_in_order(torch.tensor, STEPS, workers=2, lost=torch.tensor(-1), together=torch.stack))
    assert [step.tolist() for step in read] == STEPS
    assert {step.is_shared() for step in read} == {not full}


def test_workers_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    with pytest.raises(WorkerError, match=r"could not be started, or .* Give 0 workers; or, in a script"):
        list(read_in_order(squared, STEPS, workers=1, lost=-1, together=list))


def test_a_worker_follows_the_process_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks every second, by number and beginning, and ends when that one has ended."""
    seen = iter([True, True, False])
    asked: list[tuple[int, float]] = []
    slept: list[float] = []

    def alive(pid: int, began: float) -> bool:
        asked.append((pid, began))
        return next(seen)

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("seviz.run.system.alive", alive)
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("os._exit", ended)
    with pytest.raises(SystemExit):
        _follow(7, 3.5)
    assert (asked, slept) == ([(7, 3.5)] * 3, [1, 1])
