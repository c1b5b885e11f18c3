"""`seviz demo`: the whole line on the bundled network and images, offline."""

from pathlib import Path
from typing import Annotated

import typer

from seviz.cli.capture import record, tell
from seviz.cli.figures import draw
from seviz.cli.reporting import reported, say


@reported
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="the run's directory")] = Path("runs/demo"),
) -> None:
    """Capture the bundled network on the bundled images, draw its figures and write its report. Works offline."""
    import seviz
    from seviz.analysis.specificity import specificity
    from seviz.report.page import write_report

    network = seviz.load("seviz/seresnet50-cifar10")
    run = record(network, "bundled", out=out, signals=["excitation", "squeeze", "response"])
    tell(run)
    table = specificity(run).set_index("block")["omega_squared"]
    shares = ", ".join(f"{table[name]:.2f} at {name}" for name in ("SE_2_3", "SE_3_4", "SE_4_6", "SE_5_3"))
    typer.echo(f"share of the gates' variance that lies between classes: {shares}")
    typer.echo(write_report(run, out / "report.html", tell=say))
    draw(run, out / "figures", formats=["png", "pdf"])
