"""Record the gates of every image; the same command continues an interrupted run."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.capture.launch import this_launch
from seviz.capture.specs import in_words
from seviz.cli import options
from seviz.cli.reporting import put, say
from seviz.cli.settings import load, with_settings
from seviz.cli.trusting import Trust, trusting
from seviz.lists import HOW, split_list
from seviz.network.networks import Network
from seviz.network.settings import Settings
from seviz.run.places import check_directory
from seviz.run.store import Run


@trusting
@with_settings
def command(
    model: Annotated[
        str, typer.Argument(help="timm/NAME, torchvision/NAME, hf-hub:OWNER/NAME, onnx:FILE, FILE.py:FACTORY, ...")
    ],
    data: Annotated[
        str,
        typer.Argument(help=in_words()),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="the run's directory")],
    weights: Annotated[str, typer.Option(help="pretrained, none, or a file")] = "pretrained",
    signals: Annotated[
        options.Listed, typer.Option(help=f"of excitation, squeeze, response: {HOW}; excitation by default")
    ] = None,
    keep_gates: Annotated[
        str, typer.Option(help="of which images the gates are kept one by one: auto, all, none, per-class:N")
    ] = "auto",
    classes: Annotated[options.Listed, typer.Option(help=f"only these, by id or English name: {HOW}")] = None,
    per_class: Annotated[int | None, typer.Option(help="only so many images of each class, drawn at random")] = None,
    seed: Annotated[int, typer.Option(help="of that draw")] = 0,
    split: options.Split = None,
    root: options.Root = None,
    preprocess: options.Preprocess = None,
    label_separator: options.LabelSeparator = None,
    class_names: options.ClassNames = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="rotate images as their EXIF orientation says")] = False,
    batch_size: Annotated[int, typer.Option(help="images a forward pass")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32; bf16 or fp16 for all but the SE blocks")] = "fp32",
    compile: Annotated[str, typer.Option(help="auto, on, off")] = "auto",
    workers: Annotated[int | None, typer.Option(help="processes that decode images")] = None,
    max_failures: Annotated[
        float, typer.Option(help="share of images that may fail; of few images one at least may")
    ] = 0.01,
    *,
    settings: Settings,
    trust: Trust,
) -> None:
    if not (out / "manifest.json").exists():
        check_directory(out)
    opened = open_dataset(  # before the network, whose weights may have to be downloaded
        data,
        classes=split_list(classes),
        per_class=per_class,
        seed=seed,
        split=split,
        root=root,
        preprocess=preprocess,  # type: ignore[arg-type]  # another is an OptionError
        label_separator=label_separator,
        class_names=class_names,
    )
    run = record(
        load(model, weights, settings, trust, class_names),
        opened,
        out=out,
        signals=split_list(signals) or ["excitation"],
        keep_gates=keep_gates,
        rotate=rotate,
        batch_size=batch_size,
        device=device,
        precision=precision,
        compile=compile,
        workers=workers,
        max_failures=max_failures,
    )
    if not run.complete:
        say(f"this process has done its chunks of {run.path}; the last one to finish merges them")
        return
    tell(run)
    say(f"figures: seviz figures {out} -o {out / 'figures'}")


def record(network: Network, data: Dataset | str, **options: Any) -> Run:
    """Collect with a progress bar."""
    if this_launch().rank > 0:  # the first of several processes speaks for all
        options |= {"progress": False, "tell": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the run's remarks, which `tell` prints
        return seviz.collect(network, data, **{"tell": say, **options})


def _classes(run: Run) -> int:
    """How many classes have an image, one that failed among them."""
    labels = run.labels
    return len(np.unique(labels)) if labels.ndim == 1 else int(labels.any(0).sum())


def tell(run: Run) -> None:
    """Print what came out on stdout, and what to know of it on stderr."""
    samples, accuracy = run.samples, run.accuracy
    counts = ", ".join(f"{n} {status}" for status, n in samples["status"].value_counts().items())
    put(f"run: {run.path} ({run.manifest.model.spec}, {len(run.blocks)} SE blocks)")
    put(f"images: {len(samples)} ({counts}) of {_classes(run)} classes")
    if accuracy is not None:
        put(f"accuracy: {accuracy}")
    for remark in run.remarks:
        say(f"note: {remark}")
