"""Bring a run of an older seviz to this one's format, in place."""

from seviz.cli import options
from seviz.cli.reporting import say
from seviz.run.upgrading import upgrade


def command(run: options.RunPath) -> None:
    say(f"{run}: {'upgraded' if upgrade(run) else 'is of this format already; nothing was changed'}")
