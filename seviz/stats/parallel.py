"""Work on several items, mostly blocks, side by side.

Most of a table's time goes by in numpy, which lets other threads run meanwhile: two blocks are worked at at once, and
BLAS gets the cores that are left to each. More than two would take more memory than they save time.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Made = TypeVar("Made")
_AT_ONCE = 2
_limit: dict[str, Any] = {"users": 0, "context": None}
_lock = Lock()


def each(make: Callable[[Item], Made], items: Sequence[Item], *, blas_threads: int | None = None) -> list[Made]:
    """What `make` gives for each item, mostly a block, in their order; the first error is raised.

    Without `blas_threads` BLAS gets the cores that are left; products that are many and small are faster with 1.
    """
    return list(one_by_one(make, items, blas_threads=blas_threads))


def one_by_one(
    make: Callable[[Item], Made], items: Sequence[Item], *, blas_threads: int | None = None
) -> Iterator[Made]:
    """As `each`, but each as soon as it and those before it are made."""
    cores = os.cpu_count() or 1
    if len(items) < 2 or cores < 2:
        yield from map(make, items)
        return
    with _blas_threads(blas_threads or max(cores // _AT_ONCE, 1)):
        executor = ThreadPoolExecutor(_AT_ONCE)
        try:
            yield from executor.map(make, items)
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _blas_threads(number: int) -> Iterator[None]:
    """Limit the threads of BLAS; those who do at the same time share the limit, and the last to leave lifts it."""
    with _lock:
        if not _limit["users"]:
            _limit["context"] = _controller().limit(limits=number, user_api="blas")
        _limit["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _limit["users"] -= 1
            if not _limit["users"]:
                _limit["context"].restore_original_limits()


@cache
def _controller() -> Any:
    return ThreadpoolController()
