"""What all recipes begin with: the images of the run parted, and how they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression.belonging import check_run
from seviz.compression.recalibration import recalibrate
from seviz.compression.splitting import Split, split
from seviz.experiments.measure import Measurement, measure
from seviz.experiments.reopening import reopen_data
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.progress import Progress, Steps, steps_of
from seviz.run.store import Run

Data = Dataset | str | Path


@dataclass(frozen=True, kw_only=True)
class Study:
    """A network, its run with the images parted, and how these are read."""

    network: Network
    run: Run
    split: Split
    classes: tuple[str, ...] | None
    reading: Reading
    steps: Steps

    @property
    def unrotated(self) -> dict[str, Any]:
        """How images are read, for what rotates them as the run says."""
        return {
            name: value for name, value in self.reading.options.items() if name in ("batch_size", "device", "workers")
        }

    def told(self, step: Progress) -> Reading:
        """How images are read, and to whom progress is told."""
        return replace(self.reading, progress=step)

    def recalibrated(self, network: Network) -> Network:
        """With BatchNorm statistics estimated anew, on the images that scores come from."""
        with self.steps("recalibrate") as step:
            return recalibrate(network, self.split.score, progress=step, **self.unrotated)

    def measured(self, networks: dict[str, Network], *, latency: bool) -> tuple[pd.DataFrame, Measurement]:
        """The networks side by side, and all that was measured."""
        with self.steps("measure") as step:
            measured = measure(networks, self.split.final, self.told(step), classes=self.classes)
        return self.remarked(measured.side_by_side(latency=latency)), measured

    def remarked(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with what there is to say of the network before its own remarks."""
        table.attrs["remarks"] = [*self.network.remarks, *table.attrs.get("remarks", [])]
        return table


def study_of(
    network: Network,
    run: Run,
    classes: Sequence[str] | None,
    data: Data | None,
    root: str | Path | None,
    seed: int,
    batch_size: int,
    device: str,
    workers: int | None,
    progress: bool | Steps,
) -> Study:
    """Part the images of a run for a recipe; parameters and errors are those of `fold_run`."""
    check_run(network, run)
    images = reopen_data(run, root=root)
    other = open_dataset(data) if isinstance(data, str | Path) else data
    rotate = run.manifest.engine.rotate
    return Study(
        network=network,
        run=run,
        split=split(run, images, other=other, seed=seed),
        classes=None if classes is None else tuple(classes),
        reading=Reading(batch_size=batch_size, device=device, rotate=rotate, workers=workers),
        steps=steps_of(progress),
    )
