"""Channels are taken out for good."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression import pruning
from seviz.compression.criteria import Asked, Chosen, criterion_of
from seviz.compression.importance import importance
from seviz.compression.inner import inner_scores
from seviz.compression.masking import Scope, check_disjoint
from seviz.compression.recipes.study import Data, Study, study_of
from seviz.compression.result import Compression
from seviz.compression.sites import Kind
from seviz.compression.splitting import files
from seviz.compression.stages import stage_importance
from seviz.compression.tuning import fine_tune
from seviz.errors import OptionError, PruningError
from seviz.figures.compression import removed_by_block
from seviz.lists import joined_list
from seviz.network.networks import Network
from seviz.network.trust import told
from seviz.options import Budget
from seviz.progress import Steps
from seviz.renamed import renamed
from seviz.run.store import Run


@renamed(channels=pruning.FORMER)
def prune_run(
    network: Network,
    run: Run,
    *,
    flops: float | None = None,
    parameters: float | None = None,
    keep_channels: float | None = None,
    kind: Kind | Literal["auto"] = "auto",
    criterion: Asked = "gate_mean",
    scope: Scope = "global",
    round_to: int = 1,
    max_share: float = 0.9,
    recalibrate: bool = True,
    epochs: int = 0,
    train: Data | None = None,
    learning_rate: float = 0.01,
    classes: Sequence[str] | None = None,
    latency: bool = True,
    data: Data | None = None,
    root: str | Path | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: bool | Steps = True,
    tell: Callable[[str], None] = told,
) -> Compression:
    """Take the channels that are worth least out of a network for good, down to a budget, and measure what that costs.

    Parameters
    ----------
    network, run, latency, data, root, seed, batch_size, device, workers, progress
        As in `fold_run`.
    flops, parameters, keep_channels, scope, round_to, max_share
        As in `seviz.prune`; exactly one of the first three is given.
    kind
        What goes: "gated", "inner", "branch" or "stream"; "auto" takes gated where it fits, else inner.
    criterion
        What a channel is worth, a name or a function, as in `seviz.importance`; of inner channels as in
        `seviz.inner_scores`.
    recalibrate
        Estimate BatchNorm statistics anew, on the images that scores come from.
    epochs, train
        Fine-tune so many epochs on these images, none of which judges the result; both are given or neither.
    learning_rate
        Of fine-tuning, at its highest.
    classes
        Only images of these classes judge the result, and `gate_mean` is over them; by id or name.
    tell
        Told, a sentence each, which kind did not fit and how fine-tuning gets on.

    Returns
    -------
    Compression
        With the smaller network and tables `results`, `classes`, `removed`.

    Raises
    ------
    OptionError
        If an option is out of its range, the run is of another network, or images to train with are among those that
        judge.
    PruningError
        If the budget cannot be met, or nothing can be pruned.
    MissingPackageError
        If Torch-Pruning is not installed.
    UnknownClassError, MissingSignalError, EmptyDataError, DataNotFoundError, NoSEBlocksError
        As in `fold_run` and `seviz.importance`.

    Examples
    --------
    >>> made = seviz.prune_run(network, run, flops=0.9, latency=False, workers=0, progress=False)
    >>> made.kind
    'prune'
    """
    budget = Budget(flops=flops, parameters=parameters, keep_channels=keep_channels)
    chosen = criterion_of(criterion)
    if (epochs > 0) != (train is not None):
        raise OptionError("epochs and train go together: so many epochs on those images")
    if kind != "auto" and kind not in get_args(Kind):
        raise OptionError(f"kind is {kind!r}, expected auto or one of {', '.join(get_args(Kind))}")
    study = study_of(network, run, classes, data, root, seed, batch_size, device, workers, progress)
    images = open_dataset(train) if isinstance(train, str | Path) else train
    if images is not None:
        check_disjoint(files(images), files(study.split.final))
    if classes and chosen.name == "gate_mean":  # over their images
        chosen = criterion_of(f"gate_class:{joined_list(classes)}")
    kinds: tuple[Kind, ...] = ("gated", "inner") if kind == "auto" else (kind,)
    for each in kinds:
        try:
            scores = _scores(study, each, chosen)
            smaller = pruning.prune_with_record(
                network, scores, budget, kind=each, scope=scope, round_to=round_to, max_share=max_share
            ).network
        except PruningError as error:
            if each == kinds[-1]:
                raise
            tell(f"note: not of kind {each!r}: {error}")
        else:
            kind = each
            break
    networks = {"original": network, "pruned": smaller}
    if recalibrate:
        networks["pruned, recalibrated"] = smaller = study.recalibrated(smaller)
    if images is not None:
        smaller = _tuned(smaller, images, epochs, learning_rate, device, workers, tell)
        networks["pruned, fine-tuned"] = smaller
    table, measured = study.measured(networks, latency=latency)
    removed = pruning.pruning_table(network, smaller)
    return Compression(
        kind="prune",
        title=f"{network.spec} pruned: {budget}",
        made=(
            f"Channels of kind {kind!r} were taken out for good, those with the least {chosen.name} first: {budget}.",
            *network.remarks,
        ),
        settings={
            "run": run.path,
            "network": network.spec,
            "kind": kind,
            "criterion": chosen.name,
            budget.quantity: budget.share,
            "scope": scope,
            "round_to": round_to,
            "max_share": max_share,
            "recalibrated": recalibrate,
            "epochs of fine-tuning": epochs,
            "fine-tuned with": "nothing" if images is None else images.spec,
            "classes": list(classes) if classes else "all",
        },
        split=study.split.record,
        tables={
            "results": ("Original and result", table),
            "classes": ("By class", measured.by_class()),
            "removed": ("What was removed, by block", removed),
        },
        figures={"removed": removed_by_block(removed)} if len(removed) else {},
        network=smaller,
    )


def _scores(study: Study, kind: Kind, criterion: Chosen) -> pd.DataFrame:
    network, parts = study.network, study.split
    with study.steps(f"score by {criterion.name}") as step:
        make = inner_scores if kind == "inner" else importance
        scores = make(network, parts.run, criterion, data=parts.score, progress=step, **study.unrotated)
        return stage_importance(network, scores) if kind == "stream" else scores


def _tuned(
    network: Network,
    images: Dataset,
    epochs: int,
    learning_rate: float,
    device: str,
    workers: int | None,
    tell: Callable[[str], None],
) -> Network:
    return fine_tune(
        network,
        images,
        epochs=epochs,
        learning_rate=learning_rate,
        device=device,
        workers=workers,
        progress=lambda epoch: tell(
            f"fine-tuning, epoch {epoch.number} of {epoch.epochs}: loss {epoch.loss:.3f}, {epoch.accuracy:.1%} right"
        ),
    )
