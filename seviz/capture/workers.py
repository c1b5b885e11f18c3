"""Worker processes that read images, in order; one that dies costs the image that killed it, and no other."""

import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import torch

from seviz.errors import WorkerError
from seviz.run import system

Item = TypeVar("Item")
Step = TypeVar("Step")

KILLED = "the process that decoded it was killed, perhaps for want of memory"

_Reading = tuple[Callable[[int], Any], Callable[[list[Any]], Any]]
"""Reads an image; makes one thing of several."""

_GUARD = 'in a script of your own, begin only under `if __name__ == "__main__":`'


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
        If the processes cannot be started, or what they are to do cannot be sent to them.
    """
    refuse_while_importing()
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


def refuse_while_importing() -> None:
    """Raise WorkerError in a worker that only just imports the script that started it, and so came here again."""
    if system.importing_main():
        raise WorkerError(
            "this script was imported by one of the worker processes that it started, and began the same work again:"
            f" {_GUARD}. Or give 0 workers."
        )


def _only(items: list[Item]) -> Item:
    return items[0]


@contextmanager
def _pool(
    read: Callable[[int], Any], together: Callable[[list[Any]], Any], workers: int
) -> Iterator[ProcessPoolExecutor]:
    """Processes that know how to read."""
    context = system.worker_context()
    work: _Reading | bytes = (read, together)
    if context.get_start_method() != "fork":  # once for all of them; those that are forked know it as it is
        try:
            work = pickle.dumps(work)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise WorkerError(
                f"what reads the images cannot be sent to worker processes ({error}). Give 0 workers; or define it at"
                " the top level of a module that can be imported."
            ) from error
    parent = os.getpid()
    with ProcessPoolExecutor(workers, context, _begin, (work, parent, system.began(parent))) as pool:
        try:
            pool.submit(_work, ()).result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "the processes that decode images could not be started, or were killed at once. Give 0 workers; or,"
                f" {_GUARD}."
            ) from error
        yield pool


_given: _Reading | None = None
"""In a worker, how it reads."""


def _begin(work: _Reading | bytes, parent: int, began: float) -> None:
    global _given
    system.ignore_interrupts()  # the process that waits for this one tells of an interruption
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent, began), daemon=True).start()
    _given = pickle.loads(work) if isinstance(work, bytes) else work


def _follow(parent: int, began: float) -> None:
    """End when the parent has ended: killed, it could not say so."""
    while system.alive(parent, began):
        time.sleep(1)
    os._exit(1)


def _work(step: Sequence[int]) -> Any:  # a _Packed, which unpacks itself on arrival
    assert _given is not None
    read, together = _given
    return _Packed.of(together([read(index) for index in step]) if step else None)


@dataclass(frozen=True)
class _Packed:
    """What a worker hands back: it is unpacked on arrival."""

    content: bytes

    @classmethod
    def of(cls, result: object) -> "_Packed":
        """Tensors lie in shared memory, or, where that is full, in the content."""
        try:
            return cls(bytes(ForkingPickler.dumps(result)))
        except RuntimeError:  # containers often have 64 MiB of it
            return cls(pickle.dumps(result))

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (self.content,)
