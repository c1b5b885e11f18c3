"""Set the channels that a criterion scores lowest to zero, more and more of them: what is left of the accuracy.

Nothing is removed for good. Writes tables, figures and a card to a directory, and prints the means over seeds.
"""

from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.compressing import check_before, write
from seviz.cli.opening import network_and_run, open_data
from seviz.cli.trusting import Trust, trusting
from seviz.compression.criteria import known_criteria
from seviz.compression.defaults import CRITERIA, FRACTIONS
from seviz.compression.recipes import curve_run
from seviz.errors import OptionError
from seviz.lists import HOW, split_list


@trusting
def command(
    run: options.RunPath,
    out: options.Out,
    criteria: Annotated[
        options.Listed,
        typer.Option(
            help=f"{HOW}, or with semicolons where one has commas of its own; of {', '.join(known_criteria())};"
            f" by default {','.join(CRITERIA)}"
        ),
    ] = None,
    fractions: Annotated[
        options.Listed, typer.Option(help=f"shares of the channels: {HOW}; by default {','.join(map(str, FRACTIONS))}")
    ] = None,
    scope: Annotated[str, typer.Option(help="channels compete over global, stage or block")] = "global",
    seeds: Annotated[int, typer.Option(min=1, help="samples of the images that scores come from")] = 3,
    data: options.DataOfChoice = None,
    root: options.RootOfRun = None,
    weights: options.Weights = None,
    seed: options.DrawOfParts = 0,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    workers: options.Workers = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    *,
    trust: Trust,
) -> None:
    wanted = CRITERIA if criteria is None else _criteria(criteria)
    shares = FRACTIONS if fractions is None else _numbers(fractions)
    check_before(out)
    network, opened = network_and_run(run, weights, trust)
    made = curve_run(
        network,
        opened,
        criteria=wanted,
        fractions=shares,
        scope=scope,  # type: ignore[arg-type]
        seeds=seeds,
        data=None if data is None else open_data(data),
        root=root,
        seed=seed,
        batch_size=batch_size,
        device=device,
        workers=workers,
    )
    write(made, out, as_json=as_json, as_csv=as_csv)


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
