"""Channels are masked, more and more of them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seviz.compression import defaults
from seviz.compression.criteria import Asked, Chosen, criterion_of
from seviz.compression.curves import masking_curve
from seviz.compression.importance import importance
from seviz.compression.masking import Scope
from seviz.compression.recipes.study import Data, Study, study_of
from seviz.compression.result import Compression
from seviz.compression.splitting import scoring_samples
from seviz.errors import OptionError
from seviz.figures.masking import damage_by_class, masking_curves
from seviz.network.networks import Network
from seviz.progress import Steps
from seviz.run.store import Run


def curve_run(
    network: Network,
    run: Run,
    *,
    criteria: Sequence[Asked] = defaults.CRITERIA,
    fractions: Sequence[float] = defaults.FRACTIONS,
    scope: Scope = "global",
    seeds: int = 3,
    data: Data | None = None,
    root: str | Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: bool | Steps = True,
) -> Compression:
    """Set the channels that a criterion scores lowest to zero, more and more of them: what is left of the accuracy.

    Nothing is removed for good.

    Parameters
    ----------
    network, run, data, root, seed, batch_size, device, workers, progress
        As in `fold_run`.
    criteria
        What channels are worth, as in `seviz.importance`: names or functions.
    fractions
        Shares of the channels, in [0, 1].
    scope
        As in `seviz.mask`.
    seeds
        Samples of the images that scores come from, at least 1, numbered from `seed`; criteria of weights alone have
        one.

    Returns
    -------
    Compression
        Without a network; with tables `mean` (over seeds), `curves` (by seed) and `by_class`.

    Raises
    ------
    OptionError
        If an option is out of its range, there is no such criterion, or the run is of another network.
    MissingSignalError, UnknownClassError, EmptyDataError, DataNotFoundError, MissingPackageError, NoSEBlocksError
        As in `fold_run` and `seviz.importance`.

    Examples
    --------
    >>> made = seviz.curve_run(network, run, criteria=["l1"], fractions=[0.2], workers=0, progress=False)
    >>> made.kind
    'curve'
    """
    if seeds < 1:
        raise OptionError(f"seeds is {seeds}, expected at least 1")
    wanted = [criterion_of(each) for each in dict.fromkeys(criteria)]
    if twice := [each.name for k, each in enumerate(wanted) if each.name in {other.name for other in wanted[:k]}]:
        raise OptionError(f"criteria has two functions called {twice[0]!r}, expected different names")
    for each in wanted:
        each.require("gated", run=True, data=True)
    study = study_of(network, run, None, data, root, seed, batch_size, device, workers, progress)
    scores = _scores_by_seed(study, wanted, range(seed, seed + seeds))
    with study.steps("mask") as step:
        curves = masking_curve(
            network, study.split.final, scores, fractions=fractions, scope=scope, reading=study.told(step)
        )
    mean, by_class = study.remarked(curves.mean()), curves.by_class()
    return Compression(
        kind="curve",
        title=f"{network.spec}: accuracy with channels masked",
        made=(
            "The channels that each criterion scores lowest were set to zero where their SE block scales them. Seeds"
            " draw the images that scores come from; criteria of weights alone have one seed.",
            *network.remarks,
        ),
        settings={
            "run": run.path,
            "network": network.spec,
            "criteria": [each.name for each in wanted],
            "fractions": list(fractions),
            "scope": scope,
            "seeds": seeds,
        },
        split=study.split.record,
        tables={
            "mean": ("Accuracy, mean over seeds", mean),
            "curves": ("Accuracy by seed", curves.table()),
            "by_class": ("By class", by_class),
        },
        figures={"mean": masking_curves(mean, chance=1 / len(curves.classes)), "by_class": damage_by_class(by_class)},
    )


def _scores_by_seed(
    study: Study, criteria: Sequence[Chosen], seeds: range
) -> dict[str | tuple[str, int], pd.DataFrame]:
    """The scores of each criterion, for each seed where they depend on one."""
    samples = scoring_samples(study.split, list(seeds))
    scores: dict[str | tuple[str, int], pd.DataFrame] = {}
    for criterion in criteria:
        for seed in seeds[:1] if criterion.alone else seeds:
            part, images = samples[seed]
            with study.steps(f"{criterion.name}, seed {seed}") as step:
                table = importance(
                    study.network, part, criterion.seeded(seed), data=images, progress=step, **study.unrotated
                )
            scores[criterion.name, seed] = table
    return scores
