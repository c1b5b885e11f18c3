"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from seviz.lists import HOW

Listed = list[str] | None
"""What an option is given as that lists things, for `seviz.lists.split_list`."""

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="a run's directory")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]

Split = Annotated[str | None, typer.Option(help="of the data set, such as train; val or test by default")]
Root = Annotated[Path | None, typer.Option(help="where the images lie, if they were moved")]
Preprocess = Annotated[
    str | None, typer.Option(help="of arrays: none takes them as they are (the default), model as images are")
]
LabelSeparator = Annotated[
    str | None, typer.Option(help="of csv: what stands between several labels, '|' by default; '' for one label")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="a file of what the classes are to be called: a name a line, or CSV with id and name"),
]

Weights = Annotated[str | None, typer.Option(help="where the weights of the run's network are, if they were moved")]
Data = Annotated[str | None, typer.Option(help="other images than those of the run: a folder, imagenet:ROOT, ...")]
RootOfRun = Annotated[Path | None, typer.Option(help="where the run's images lie, if they were moved")]
DataOfChoice = Annotated[
    str | None, typer.Option(help="choose and judge with other images than the run's: a folder, imagenet:ROOT, ...")
]
Blocks = Annotated[Listed, typer.Option(help=f"only these blocks: {HOW}")]
PerClass = Annotated[int | None, typer.Option(min=1, help="only so many images of each class, drawn at random")]
BatchSize = Annotated[int, typer.Option(min=1, help="images a forward pass")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
Workers = Annotated[int | None, typer.Option(help="processes that decode images")]
FigurePath = Annotated[Path | None, typer.Option(help="also draw it, to a file that ends in .png, .pdf or .svg")]

Out = Annotated[Path, typer.Option("-o", "--out", help="the directory of the result; empty, or not there yet")]
Classes = Annotated[Listed, typer.Option(help=f"for images of these classes only, by id or name: {HOW}")]
DrawOfParts = Annotated[int, typer.Option(help="of the draw that parts the images")]
Recalibrate = Annotated[
    bool, typer.Option(help="estimate the BatchNorm statistics anew, on the images that scores come from")
]
Latency = Annotated[bool, typer.Option(help="time the result beside the original")]
Program = Annotated[bool, typer.Option(help="write a torch.export program too")]
Onnx = Annotated[bool, typer.Option("--onnx", help="write ONNX too")]
