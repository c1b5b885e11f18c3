"""Measuring ways to do one thing against each other: in processes of their own, which take turns.

A process of its own, since what a way does to its process (memory kept, kernels compiled, threads) must not help or
hinder the next; in turns, since a machine is not equally fast at all times. Those whose turn it is not sleep.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median


class Gate:
    """Called by a way whenever it has done the work of a turn: it waits for the next.

    Also imported where neither seviz nor a later Python is at hand.
    """

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever else is printed is no answer
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Tell how long the turn took, and sleep until told to go on; never return if that was the last."""
        print(json.dumps(time.perf_counter() - self._since), file=self._answers, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self._since = time.perf_counter()


def in_turn(
    commands: Mapping[str, Sequence[str | Path]], rounds: int, options: object
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each turn of each way, and seconds until it was ready: its first turn, with all that precedes it.

    Parameters
    ----------
    commands
        By way, the command of a process that calls a `Gate` after each turn, the first time when it is warm.
    rounds
        Turns of each; who begins changes from round to round.
    options
        Handed to each process as JSON, as the last argument.
    """
    processes: dict[str, subprocess.Popen[str]] = {}
    times: dict[str, list[float]] = {way: [] for way in commands}
    ready: dict[str, float] = {}
    try:
        for way, command in commands.items():  # one after the other, so that none disturbs another's compiling
            processes[way] = subprocess.Popen(
                [*map(str, command), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            ready[way] = _answer(way, processes[way])
        ways = list(commands)
        for k in range(rounds):
            first = k % len(ways)
            for way in ways[first:] + ways[:first]:
                print(file=processes[way].stdin, flush=True)
                times[way].append(_answer(way, processes[way]))
    finally:
        for process in processes.values():
            process.communicate()
    return times, ready


def _answer(way: str, process: "subprocess.Popen[str]") -> float:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{way} ended:\n{process.communicate()[1]}")
    return float(json.loads(line))


def ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios, round by round."""
    return median(a / b for a, b in zip(some, others, strict=True))
