"""Worker processes that read images, in order; one that dies costs the image that killed it, and no other."""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

from seviz.errors import WorkerError

Item = TypeVar("Item")
Step = TypeVar("Step")

KILLED = "the process that decoded it was killed, perhaps for want of memory"


def read_in_order(
    read: Callable[[int], Item],
    steps: Sequence[Sequence[int]],
    *,
    workers: int,
    lost: Item,
    together: Callable[[list[Item]], Step],
) -> Iterator[Step]:
    """Read images step by step; workers read ahead.

    Parameters
    ----------
    read
        Reads the image of an index.
    steps
        Indices of images that belong together.
    workers
        Processes that read; 0 for this one. If one is killed, the images that were being read are read again one by
        one, to find the one that kills it.
    lost
        What stands for that one.
    together
        Makes one thing of the images of a step, in the process that read them.

    Yields
    ------
    Step
        What `together` made of each step, in order.

    Raises
    ------
    WorkerError
        If the processes cannot be started.
    """
    if workers == 0:
        for step in steps:
            yield together([read(index) for index in step])
        return
    waiting = deque(steps)
    while waiting:
        running = deque[tuple[Sequence[int], Future[Any]]]()
        try:
            with _pool(read, together, workers) as pool:
                while waiting or running:
                    while waiting and len(running) <= workers:
                        future = pool.submit(_work, waiting[0])  # may find the pool broken: then the step still waits
                        running.append((waiting.popleft(), future))
                    result = running[0][1].result()
                    running.popleft()
                    yield result
        except BrokenProcessPool:  # and nothing tells which step it was
            for step, _ in running:
                yield together(list(_one_by_one(read, step, lost)))


def _one_by_one(read: Callable[[int], Item], step: Sequence[int], lost: Item) -> Iterator[Item]:
    waiting = deque(step)
    while waiting:
        try:
            with _pool(read, _only, 1) as pool:
                while waiting:
                    item = pool.submit(_work, [waiting[0]]).result()
                    waiting.popleft()
                    yield item
        except BrokenProcessPool:
            waiting.popleft()
            yield lost


def _only(items: list[Item]) -> Item:
    return items[0]


@contextmanager
def _pool(
    read: Callable[[int], Any], together: Callable[[list[Any]], Any], workers: int
) -> Iterator[ProcessPoolExecutor]:
    """Processes that know how to read. Forked on Linux, so that they begin at once and nothing need be pickled."""
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, _begin, (read, together, os.getpid())) as pool:
        try:
            pool.submit(_work, ()).result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "the processes that decode images could not be started, or were killed at once. Give 0 workers; or, in"
                " a script of your own, call this only if __name__ is '__main__'."
            ) from error
        yield pool


_given: tuple[Callable[[int], Any], Callable[[list[Any]], Any]] | None = None
"""In a worker, how it reads."""


def _begin(read: Callable[[int], Any], together: Callable[[list[Any]], Any], parent: int) -> None:
    global _given
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for this one tells of an interruption
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _given = read, together


def _follow(parent: int) -> None:
    """End when the parent has ended: killed, it could not say so."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(step: Sequence[int]) -> Any:
    assert _given is not None
    read, together = _given
    return together([read(index) for index in step]) if step else None
