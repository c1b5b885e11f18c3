"""What commands open: data sets, with what there is to say of them, and the network of a run."""

from pathlib import Path
from typing import Any

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.cli.reporting import say
from seviz.cli.trusting import Trust
from seviz.experiments import reopening
from seviz.network.networks import Network
from seviz.run.store import Run


def open_data(data: str, **options: Any) -> Dataset:
    """Open a data set as `seviz.capture.datasets.open_dataset` does, and say what there is to know of it."""
    opened = open_dataset(data, **options)
    for note in opened.notes:
        say(f"note: {note}")
    return opened


def network_and_run(run: Path, weights: str | None, trust: Trust) -> tuple[Network, Run]:
    """The network of a run, and the run."""
    opened = seviz.open_run(run)
    return reopening.reopen_network(opened, weights=weights, **trust), opened
