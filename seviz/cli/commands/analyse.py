"""Compute all tables of a run and keep them in its directory, where report and dashboard read them."""

from typing import Annotated

import typer

import seviz
from seviz.cli import options
from seviz.cli.reporting import put, say
from seviz.lists import HOW, split_list
from seviz.tables.kept import analyse


def command(
    run: options.RunPath,
    only: Annotated[options.Listed, typer.Option(help=f"only these tables: {HOW}")] = None,
) -> None:
    for done in analyse(seviz.open_run(run), only=split_list(only)):
        what = " of ".join(filter(None, (done.name, done.block)))
        if done.reason:
            say(f"{what} is left out: {done.reason}")
        else:
            put(f"{what}: {f'{done.seconds:.1f} s' if done.seconds else 'kept before'}")
