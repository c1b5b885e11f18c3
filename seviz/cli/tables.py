"""`seviz specificity`, `seviz decoding`, ...: each table of a run as a command; `seviz analyse`: all of them, kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.printing import print_table
from seviz.cli.reporting import Listed, put, reported, say, split_list
from seviz.errors import OptionError
from seviz.lists import HOW

if TYPE_CHECKING:
    import pandas as pd

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="a run's directory")]
OtherPath = Annotated[Path | None, typer.Argument(metavar="[OTHER]", help="another run to compare it with")]
Block = Annotated[str, typer.Argument(metavar="BLOCK", help="a block, such as SE_5_1")]
Blocks = Annotated[Listed, typer.Option(help=f"only these blocks: {HOW}")]
Signal = Annotated[str, typer.Option(help="excitation, squeeze or response")]
Seed = Annotated[int, typer.Option(help="of what is drawn at random")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]


@reported
def analyse(
    run: RunPath,
    only: Annotated[Listed, typer.Option(help=f"only these tables: {HOW}")] = None,
) -> None:
    """Compute all tables of a run and keep them in its directory, where report and dashboard read them."""
    import seviz
    from seviz.tables.kept import analyse

    for done in analyse(seviz.open_run(run), only=split_list(only)):
        what = " of ".join(filter(None, (done.name, done.block)))
        if done.reason:
            say(f"{what} is left out: {done.reason}")
        else:
            put(f"{what}: {f'{done.seconds:.1f} s' if done.seconds else 'kept before'}")


@reported
def specificity(
    run: RunPath,
    by: Annotated[str, typer.Option(help="block, channel, class or outcome (right and wrong predictions)")] = "block",
    blocks: Blocks = None,
    against_rest: Annotated[str | None, typer.Option(help="by channel: this class against all others")] = None,
    permutations: Annotated[int, typer.Option(min=0, help="by block: how often labels are dealt out anew")] = 0,
    over_images: Annotated[
        bool | None,
        typer.Option("--over-images/--from-moments", help="by block or class: intervals over images, or none"),
    ] = None,
    signal: Signal = "excitation",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How class-specific each block is: the share of the gates' variance that lies between classes."""
    options: dict[str, dict[str, Any]] = {
        "block": {"over_images": over_images is not False, "permutations": permutations, "seed": seed},
        "channel": {"blocks": split_list(blocks), "against_rest": against_rest},
        "class": {"over_images": over_images, "blocks": split_list(blocks), "seed": seed},
        "outcome": {},
    }
    _known("by", by, options)
    _only("block", by, permutations=permutations)
    _only("channel", by, against_rest=against_rest)
    name = "specificity" if by == "block" else f"specificity_by_{by}"
    table = _table(run, name, signal=signal, **options[by])
    if blocks and by in ("block", "outcome"):
        table = _rows_of(table, split_list(blocks) or [])
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def selectivity(
    run: RunPath,
    blocks: Blocks = None,
    k: Annotated[int, typer.Option(min=1, help="of precision at k")] = 10,
    signal: Signal = "excitation",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How much each channel prefers a single class: selectivity index, d', mutual information, precision at k."""
    table = _table(run, "selectivity", blocks=split_list(blocks), k=k, signal=signal)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def decoding(
    run: RunPath,
    decoders: Annotated[Listed, typer.Option(help=f"of centroid, logistic, discriminant: {HOW}")] = None,
    folds: Annotated[int, typer.Option(min=2, help="of the cross-validation")] = 5,
    components: Annotated[int, typer.Option(min=1, help="of the equal width")] = 64,
    per_class: Annotated[int | None, typer.Option(help="images of each class at most")] = None,
    classes: Annotated[int, typer.Option(min=2, help="classes at most")] = 1000,
    signal: Signal = "excitation",
    against: Annotated[str, typer.Option(help="the signal decoded beside it, or none")] = "squeeze",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How well the class is read off the gates of each block alone, cross-validated, against chance."""
    table = _table(
        run,
        "decoding",
        decoders=split_list(decoders),
        folds=folds,
        components=components,
        per_class=per_class,
        classes=classes,
        signal=signal,
        against=None if against == "none" else against,
        seed=seed,
    )
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def channels(
    run: RunPath,
    block: Block,
    number: Annotated[int, typer.Option(min=1, help="classes and images of each kind")] = 5,
    only: Annotated[Listed, typer.Option(help=f"only these channels, from 0: {HOW}")] = None,
    signal: Signal = "excitation",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Which classes each channel favours and avoids, and which images excite it most and least."""
    print_table(
        _table(run, "channels", block=block, number=number, only=_numbers("only", only), signal=signal),
        as_json=as_json,
        as_csv=as_csv,
    )


@reported
def similarity(
    run: RunPath,
    block: Block,
    metric: Annotated[str, typer.Option(help="correlation or cosine")] = "correlation",
    centred: Annotated[bool, typer.Option("--centred", help="take the mean over classes off first")] = False,
    signal: Signal = "excitation",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How unlike each other the gates of classes are in a block, class by class."""
    table = _table(run, "similarity", block=block, metric=metric, centred=centred, signal=signal)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def agreement(
    run: RunPath,
    other: OtherPath = None,
    metric: Annotated[str, typer.Option(help="correlation or cosine")] = "correlation",
    centred: Annotated[bool, typer.Option("--centred", help="take the mean over classes off first")] = False,
    hierarchy: Annotated[
        str | None, typer.Option(help="a CSV of class and superclass, 'cifar10', or 'wordnet' (needs nltk's corpus)")
    ] = None,
    permutations: Annotated[int, typer.Option(min=0, help="of Mantel's test")] = 999,
    signal: Signal = "excitation",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How far blocks agree on which classes are alike: with each other, the predictions, a hierarchy, another run."""
    table = _table(
        run,
        "agreement",
        other=other,
        metric=metric,
        centred=centred,
        hierarchy=hierarchy,
        permutations=permutations,
        signal=signal,
        seed=seed,
    )
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def confusion(run: RunPath, as_json: Json = False, as_csv: Csv = False) -> None:
    """What the network takes the images of each class for."""
    print_table(_table(run, "confusion"), as_json=as_json, as_csv=as_csv)


@reported
def cka(
    run: RunPath,
    other: OtherPath = None,
    images: Annotated[int, typer.Option(min=4, help="at most")] = 2000,
    signal: Signal = "excitation",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How alike the gates of blocks are, image by image, within a run or between two: linear CKA."""
    table = _table(run, "cka", other=other, images=images, signal=signal, seed=seed)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def saturation(
    run: RunPath,
    by: Annotated[str, typer.Option(help="block or channel")] = "block",
    signal: Signal = "excitation",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Which blocks are always on or off, near the identity, or near a constant, as the paper finds of SE_5_2."""
    _known("by", by, ("block", "channel"))
    name = "saturation" if by == "block" else "saturation_by_channel"
    print_table(_table(run, name, signal=signal), as_json=as_json, as_csv=as_csv)


@reported
def redundancy(
    run: RunPath,
    block: Annotated[str | None, typer.Argument(metavar="[BLOCK]", help="its channels, rather than all blocks")] = None,
    within_classes: Annotated[
        bool, typer.Option("--within-classes", help="take what classes explain off first")
    ] = False,
    threshold: Annotated[float, typer.Option(help="correlation from which channels are redundant")] = 0.9,
    signal: Signal = "excitation",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How much the gates of each block move together, and the effective number of independent ones."""
    which: dict[str, Any] = {} if block is None else {"block": block}
    table = _table(
        run,
        "redundancy" if block is None else "redundant_channels",
        **which,
        within_classes=within_classes,
        threshold=threshold,
        signal=signal,
        seed=seed,
    )
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def convergence(
    run: RunPath,
    by_size: Annotated[bool, typer.Option("--by-size", help="the curves, rather than the verdict")] = False,
    sizes: Annotated[Listed, typer.Option(help=f"images per class: {HOW}")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="pairs of samples")] = 10,
    signal: Signal = "excitation",
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Whether the run has images enough for the order of its channels and the figures of its blocks to be stable."""
    name = "convergence_by_size" if by_size else "convergence"
    table = _table(run, name, sizes=_numbers("sizes", sizes), repeats=repeats, signal=signal, seed=seed)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def components(
    run: RunPath,
    block: Block,
    number: Annotated[int, typer.Option(min=1, help="of principal components")] = 2,
    umap: Annotated[bool, typer.Option("--umap", help="by UMAP instead, if umap-learn is installed")] = False,
    signal: Signal = "excitation",
    seed: Annotated[int, typer.Option(help="of UMAP")] = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Each image by the principal components of a block's gates, for a plot."""
    import seviz
    from seviz.tables.neighbour_map import neighbour_map

    if umap:
        table = neighbour_map(seviz.open_run(run), block, signal=signal, seed=seed)
    else:
        table = _table(run, "principal_components", block=block, components=number, signal=signal)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
def compare(
    one: Annotated[Path, typer.Argument(help="a run's directory")],
    other: Annotated[Path, typer.Argument(help="another: other weights, other images, another network")],
    by: Annotated[str, typer.Option(help="block or class")] = "block",
    match: Annotated[
        str, typer.Option(help="blocks by module path and, where paths differ, by name; by name; or by position")
    ] = "path",
    signal: Signal = "excitation",
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How two runs differ, block by block, with an alarm where gates have collapsed to a constant."""
    import seviz
    from seviz.run.pairing import MATCHES
    from seviz.tables.compare import compare
    from seviz.tables.compare_by_class import compare_by_class

    _known("by", by, ("block", "class"))
    _known("match", match, MATCHES)
    function = compare if by == "block" else compare_by_class
    table = function(
        seviz.open_run(one),
        seviz.open_run(other),
        match=match,  # type: ignore[arg-type]
        signal=signal,
    )
    print_table(table, as_json=as_json, as_csv=as_csv)


def _table(path: Path, name: str, *, other: Path | None = None, **options: Any) -> "pd.DataFrame":
    """A table of a run: the one that is kept, or computed."""
    import seviz
    from seviz.tables.kept import table_of

    run = seviz.open_run(path)
    if other is not None:
        options["other"] = seviz.open_run(other)
    return table_of(run, name, **options)


def _rows_of(table: "pd.DataFrame", blocks: list[str]) -> "pd.DataFrame":
    unknown = [block for block in blocks if block not in set(table["block"])]
    if unknown:
        raise OptionError(f"no block {unknown[0]!r}; there are {', '.join(table['block'].unique())}")
    return table[table["block"].isin(blocks)]


def _known(option: str, value: str, known: Any) -> None:
    if value not in known:
        raise OptionError(f"{option} is {value!r}, expected one of {', '.join(known)}")


def _only(where: str, by: str, **given: Any) -> None:
    for name, value in given.items():
        if value and by != where:
            raise OptionError(f"--{name.replace('_', '-')} is for --by {where}, not for --by {by}")


def _numbers(option: str, value: Listed) -> list[int] | None:
    parts = split_list(value)
    if parts is None:
        return None
    if not all(part.isdecimal() for part in parts):
        raise OptionError(f"{option} is {','.join(value or ())!r}, expected whole numbers with commas between them")
    return [int(part) for part in parts]
