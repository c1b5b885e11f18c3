"""Explore runs in the browser: excitation by class and depth, channels, your own images, smaller networks.

Without a run it shows the demo run, which is made on the first start. It opens no runs but those given.
"""

from pathlib import Path
from typing import Annotated

import typer

from seviz.cli.reporting import say
from seviz.cli.trusting import TrustCode
from seviz.dashboard import serving
from seviz.dashboard.opening import find_runs
from seviz.run.system import become


def command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="runs, and folders of runs; by default ./runs, with the demo run"),
    ] = None,
    host: Annotated[str, typer.Option(help="the address it listens on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="the port it listens on")] = 8501,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="a name that browsers may ask for it by, beside localhost; repeatable")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    places = runs or []
    if places:
        find_runs(places)  # what is not there is told here, not in the browser
    if host not in ("127.0.0.1", "localhost", "::1"):
        say(
            f"note: whoever reaches {host}:{port} can look at these runs, and run jobs on this machine; there is no"
            " password"
        )
    become(serving.command(places, host=host, port=port, allowed=allow_host or [], trust_code=trust_code))
