"""`seviz curve`: accuracy against the share of channels masked, by several criteria."""

from typing import TYPE_CHECKING, Annotated

import typer

from seviz.cli.compressing import (
    BatchSize,
    Csv,
    Data,
    Device,
    Json,
    Out,
    Root,
    RunPath,
    Seed,
    Setting,
    Weights,
    Workers,
    check_before,
    setting,
    write,
)
from seviz.cli.printing import with_remarks
from seviz.cli.reporting import Listed, progress, reported, split_list
from seviz.cli.trusting import Trust, trusting
from seviz.errors import OptionError
from seviz.lists import HOW

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = "gate_mean,gate_variance,gate_between,random,l1,l2,bn_gamma,taylor,activation_mean,apoz"
FRACTIONS = "0.1,0.2,0.3,0.4,0.5,0.6,0.8"


@reported
@trusting
def curve(
    run: RunPath,
    out: Out,
    criteria: Annotated[
        Listed,
        typer.Option(
            help=f"{HOW}, or with semicolons where one has commas of its own; also gate_effective, gate_class:cat, ...;"
            f" by default {CRITERIA}"
        ),
    ] = None,
    fractions: Annotated[Listed, typer.Option(help=f"shares of the channels: {HOW}; by default {FRACTIONS}")] = None,
    scope: Annotated[str, typer.Option(help="channels compete over global, stage or block")] = "global",
    seeds: Annotated[int, typer.Option(min=1, help="samples of the images that scores come from")] = 3,
    data: Data = None,
    root: Root = None,
    weights: Weights = None,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = None,
    as_json: Json = False,
    as_csv: Csv = False,
    *,
    trust: Trust,
) -> None:
    """Set the channels that a criterion scores lowest to zero, more and more of them: what is left of the accuracy.

    Nothing is removed for good. Writes tables, figures and a card to a directory, and prints the means over seeds.
    """
    from seviz.compression.curves import masking_curve
    from seviz.compression.directory import Compression
    from seviz.figures.masking import damage_by_class, masking_curves

    wanted = _criteria([CRITERIA] if criteria is None else criteria)
    shares = _numbers([FRACTIONS] if fractions is None else fractions)
    check_before(out)
    made = setting(
        run,
        data=data,
        root=root,
        weights=weights,
        seed=seed,
        batch_size=batch_size,
        device=device,
        workers=workers,
        trust=trust,
    )
    scores = _scores(made, wanted, range(seed, seed + seeds))
    with progress("mask") as step:
        curves = masking_curve(
            made.network,
            made.split.final,
            scores,
            fractions=shares,
            scope=scope,  # type: ignore[arg-type]
            progress=step,
            **made.reading,
        )
    mean = with_remarks(curves.mean(), made.network.remarks)
    by_class = curves.by_class()
    compression = Compression(
        title=f"{made.network.spec}: accuracy with channels masked",
        made=(
            "The channels that each criterion scores lowest were set to zero where their SE block scales them. Seeds"
            " draw the images that scores come from; criteria of weights alone have one seed.",
            *made.network.remarks,
        ),
        settings={
            "run": run,
            "network": made.network.spec,
            "criteria": "; ".join(wanted),
            "fractions": fractions,
            "scope": scope,
            "seeds": seeds,
        },
        split=made.split.record,
        tables={
            "mean": ("Accuracy, mean over seeds", mean),
            "curves": ("Accuracy by seed", curves.table()),
            "by_class": ("By class", by_class),
        },
        figures={"mean": masking_curves(mean, chance=1 / len(curves.classes)), "by_class": damage_by_class(by_class)},
    )
    write(compression, out, mean, as_json=as_json, as_csv=as_csv)


def _criteria(given: list[str]) -> list[str]:
    """The criteria; one may have commas of its own, as in "gate_class:cat,dog", and then semicolons part them."""
    wanted: list[str] = []
    for value in given:
        own = not value.startswith("@") and (";" in value or ":" in value)
        wanted += [part.strip() for part in value.split(";") if part.strip()] if own else split_list([value]) or []
    return wanted


def _numbers(given: list[str]) -> list[float]:
    try:
        return [float(part) for part in split_list(given) or []]
    except ValueError as error:
        raise OptionError(
            f"fractions is {','.join(given)!r}, expected numbers with commas, such as 0.1,0.3,0.5"
        ) from error


def _scores(made: Setting, criteria: list[str], seeds: range) -> "dict[str | tuple[str, int], pd.DataFrame]":
    """The scores of each criterion, for each seed where they depend on one."""
    import seviz
    from seviz.compression.importance import CRITERIA as known
    from seviz.compression.splitting import scoring_samples

    samples = scoring_samples(made.split, list(seeds))
    reading = {name: value for name, value in made.reading.items() if name != "rotate"}
    scores: dict[str | tuple[str, int], pd.DataFrame] = {}
    for criterion in criteria:
        kind = known.get(criterion.partition(":")[0])
        fixed = kind is not None and kind.needs == "nothing" and criterion != "random"
        for seed in list(seeds)[:1] if fixed else seeds:
            part, images = samples[seed]
            named = f"random:{seed}" if criterion == "random" else criterion
            with progress(f"{criterion}, seed {seed}") as step:
                table = seviz.importance(made.network, part, named, data=images, progress=step, **reading)
            scores[criterion, seed] = table
    return scores
