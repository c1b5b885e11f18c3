"""How well the class of an image can be read off the gates of one block alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from seviz.errors import MissingSignalError, OptionError
from seviz.registry import table
from seviz.run.manifest import BlockRecord
from seviz.run.store import Run
from seviz.stats.decoders import DECODERS, Labels, decode
from seviz.stats.parallel import each
from seviz.stats.proportions import score
from seviz.stats.scaling import moderate, varies
from seviz.tables.columns import COUNT, KEY, SHARE, every

LOGISTIC_CLASSES = 100
"""Above so many classes a linear discriminant stands in for the logistic regression, which would take hours."""
IMAGES, LOGISTIC_IMAGES = 20_000, 10_000
"""How many images are decoded in all where `per_class` is not given: above so many classes, and up to so many."""


@dataclass(frozen=True)
class Chosen:
    """The images that are decoded.

    Attributes
    ----------
    rows
        Their rows in `run.gates(...)`, (image).
    labels
        Their classes, numbered anew from 0, (image).
    classes
        How many.
    remarks
        What was left out, a sentence each.
    """

    rows: NDArray[np.int64]
    labels: Labels
    classes: int
    remarks: list[str]


def choose(run: Run, *, folds: int, per_class: int | None, classes: int, seed: int) -> Chosen:
    """Draw the images to decode; see `decoding`."""
    images = run.kept
    rows, labels = images["row"].to_numpy(np.int64), run.labels[images.index.to_numpy()]
    remarks = []
    if labels.ndim == 2:
        one = labels.sum(1) == 1
        if not one.all():
            remarks.append(f"{int((~one).sum())} images are left out, which have several classes or none.")
        rows, labels = rows[one], labels[one].argmax(1)
    random = np.random.default_rng(seed)
    count = np.bincount(labels, minlength=len(run.classes))
    taken = np.flatnonzero(count >= folds)
    if few := np.flatnonzero(count < folds).tolist():
        names = ", ".join(run.classes.names[k] for k in few[:5]) + (", ..." if len(few) > 5 else "")
        remarks.append(f"{len(few)} classes are left out, which have fewer than {folds} images: {names}.")
    if len(taken) > classes:
        remarks.append(f"{classes} of {len(taken)} classes were drawn.")
        taken = np.sort(random.choice(taken, classes, replace=False))
    budget = IMAGES if len(taken) > LOGISTIC_CLASSES else LOGISTIC_IMAGES
    most = max(folds, budget // max(len(taken), 1)) if per_class is None else per_class
    if (count[taken] > most).any():
        remarks.append(f"At most {most} images of each class were drawn.")
    drawn = [np.sort(random.permutation(np.flatnonzero(labels == label))[:most]) for label in taken]
    at = np.concatenate([*drawn, np.zeros(0, np.int64)])
    return Chosen(rows[at], np.searchsorted(taken, labels[at]), len(taken), remarks)


@table(
    title="Decoding of the class",
    caption=(
        "Accuracy with which the class of an image is predicted from the gates, or from the squeeze, of "
        "one block alone."
    ),
    needs=(
        "gates",
        "labels",
    ),
    cost="fits",
    columns={
        **every(KEY, "block", "signal", "width", "decoder"),
        **every(COUNT, "stage", "features", "classes", "images"),
        **every(SHARE, "accuracy", "low", "high", "balanced_accuracy", "null", "majority", "uniform"),
    },
)
def decoding(
    run: Run,
    *,
    signal: str = "excitation",
    against: str | None = "squeeze",
    decoders: Sequence[str] | None = None,
    folds: int = 5,
    components: int = 64,
    per_class: int | None = None,
    classes: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    r"""How well the class is read off the gates of each block: the honest form of "class-specific".

    Decoders are trained and tested on disjoint images (stratified folds, the same for all blocks), at each block's own
    width and, since later blocks have more channels, on equally many principal components. Scale and components come
    from the training images of each fold.

    Parameters
    ----------
    run
        A finished run that keeps the gates of images.
    signal
        Signal to decode: excitation, squeeze or response.
    against
        Second signal, decoded from the same images for comparison; by default the squeeze, from which the excitation is
        computed: what the gates tell of the class is a part of what the squeeze tells. None for no second signal; where
        the run does not hold it, it is left out and a remark says so.
    decoders
        Decoders: "centroid" (nearest class mean), "logistic" (multinomial regression), "discriminant" (linear, with
        shrunk covariance); by default the centroid and the logistic regression, which above 100 classes makes way for
        the discriminant.
    folds
        Number of cross-validation folds, at least 2. Classes with fewer images are left out.
    components
        Number of principal components for decoding at equal width.
    per_class
        Greatest number of images of each class, at least `folds`; by default as many as 20,000 images in all allow, or
        10,000 up to 100 classes. The 15,104 gates of an SE-ResNet-50 on 1,000 classes then take about 80 seconds on two
        cores.
    classes
        Greatest number of classes; drawn at random where there are more.
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row a block, signal, width and decoder:

        - block, stage, signal
        - width: "own", or "pca64" for 64 components; features: how many that are
        - decoder
        - accuracy: share of images whose class is found, in [0, 1]
        - low, high: 95 % interval of the accuracy
        - balanced_accuracy: mean over classes of the share that is found; by chance `uniform`
        - null: accuracy if predictions and classes were independent, the mean over all permutations of the classes
        - majority: share of the largest class, which a guess without gates attains
        - uniform: one over the number of classes
        - classes, images: that were decoded

        All that is measured is NaN where fewer than two classes are left, and where values are not finite. Gates that
        are the same for all images are decoded at chance. `attrs["remarks"]` says what was left out or drawn, and
        which of these happened.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If an option is out of its range.

    Notes
    -----
    Where images have several classes only those with exactly one are decoded.

    The interval is Wilson's for a share of independent images. For the mean over the folds of a decoder that one image
    changes little it is asymptotically exact (Bayle et al.); the spread between folds, which share training images,
    would not be. In simulations with 60 to 600 images it covers that mean in 90 to 96 % of cases, least where images
    are few and classes hardly told apart. It does not speak for other draws of the classes.

    The null is :math:`\sum_k p_k q_k`, with the shares p of classes and q of predictions.

    References
    ----------
    Alain, Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes", arXiv 1610.01644, 2016.
    Bayle, Bayle, Janson, Mackey, "Cross-Validation Confidence Intervals for Test Error", arXiv 2007.12671, 2020.

    Examples
    --------
    >>> seviz.decoding(run, decoders=["centroid"])["block"].nunique()
    16
    """
    _check(decoders, folds=folds, components=components, per_class=per_class, classes=classes)
    chosen = choose(run, folds=folds, per_class=per_class, classes=classes, seed=seed)
    labels, remarks = chosen.labels, chosen.remarks
    names = decoders or ("centroid", "logistic" if chosen.classes <= LOGISTIC_CLASSES else "discriminant")
    splits: list[Any] = []
    if chosen.classes > 1:
        splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    else:
        remarks.append(f"Nothing can be decoded: {chosen.classes} classes are left.")

    order = np.argsort(chosen.rows)

    def of_block(block: BlockRecord, name: str) -> tuple[list[dict[str, Any]], list[str]]:
        values = run.sample(block.name, name).gates_at(chosen.rows[order])[np.argsort(order)]
        predicted: dict[tuple[str, str], Labels] = {}
        noted = []
        if not np.isfinite(values).all():
            noted.append(f"{block.name}: the {name} of some images is not finite.")
        elif splits:
            if not varies(values):
                noted.append(f"{block.name}: the {name} is the same for all images.")
            predicted = decode(moderate(values)[0], labels, splits, decoders=names, components=components)
        found = [
            {
                "block": block.name,
                "stage": block.stage,
                "signal": name,
                "width": "own" if width == "own" else f"pca{components}",
                "features": block.channels if width == "own" else min(components, block.channels),
                "decoder": decoder,
                **score(labels, predicted.get((width, decoder))),
                "uniform": 1 / chosen.classes if chosen.classes else np.nan,
                "classes": chosen.classes,
                "images": len(labels),
            }
            for width in ("own", "pca")
            for decoder in names
        ]
        return found, noted

    signals = [signal]
    if against not in (None, signal) and run.blocks:
        try:
            run.moments(run.blocks[0], str(against))
            signals.append(str(against))
        except MissingSignalError as error:
            remarks.append(f"The {against} is left out: {error}")
    wanted = [(block, name) for name in signals for block in run.manifest.blocks]
    widest = sorted(range(len(wanted)), key=lambda k: -wanted[k][0].channels)  # last, one would keep others waiting
    decoded = dict(zip(widest, each(lambda k: of_block(*wanted[k]), widest, blas_threads=1), strict=True))
    rows = []
    for k in range(len(wanted)):
        rows += decoded[k][0]
        remarks += decoded[k][1]
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = remarks
    return table


def _check(decoders: Sequence[str] | None, *, per_class: int | None, **numbers: int) -> None:
    for name in decoders or ():
        if name not in DECODERS:
            raise OptionError(f"decoders has {name!r}, expected some of {', '.join(DECODERS)}")
    for name, least in (("folds", 2), ("components", 1), ("classes", 2)):
        if numbers[name] < least:
            raise OptionError(f"{name} is {numbers[name]}, expected at least {least}")
    if per_class is not None and per_class < numbers["folds"]:
        raise OptionError(f"per_class is {per_class}, expected at least one image for each of {numbers['folds']} folds")
