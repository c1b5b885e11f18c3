"""What tables of two runs share: blocks and classes that belong together, and what makes a comparison unfair."""

import numpy as np
from numpy.typing import NDArray

from seviz.errors import MissingSignalError, OptionError
from seviz.run.pairing import MATCHES, Match, Pairing, pair_runs
from seviz.run.sample import unresolved
from seviz.run.store import Run


def paired(one: Run, other: Run, match: Match, confidence: float) -> Pairing:
    if match not in MATCHES:
        raise OptionError(f"match is {match!r}, expected 'path', 'name' or 'position'")
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1, such as 0.95")
    pairing = pair_runs(one, other, match=match)
    if not pairing.pairs:
        what = "name" if match == "name" else "module path or the name"
        raise MissingSignalError(
            f"no block of {str(one.path)!r} ({', '.join(one.blocks)}) has the {what} of one of {str(other.path)!r}"
            f" ({', '.join(other.blocks)}); match them by position"
        )
    return pairing


def shared_classes(one: Run, other: Run) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The classes, by id, that both runs know: their indices in each."""
    there = {class_id: index for index, class_id in enumerate(other.classes.ids)}
    both = [(index, there[class_id]) for index, class_id in enumerate(one.classes.ids) if class_id in there]
    indices = np.array(both, np.int64).reshape(-1, 2)
    return indices[:, 0], indices[:, 1]


def remarks_on_both(one: Run, other: Run, pairing: Pairing, signal: str, classes: int) -> list[str]:
    """Sentences on channels without resolved values, and on what makes a comparison of two runs unfair."""
    mine, theirs = one.manifest, other.manifest
    blocks = [pair.one for pair in pairing.pairs], [pair.other for pair in pairing.pairs]
    remarks = [
        f"{str(run.path)!r}: {remark}"
        for run, names in zip((one, other), blocks, strict=True)
        for remark in unresolved(run, names, signal)
    ]
    if mine.model.spec != theirs.model.spec:
        remarks.append(
            f"The networks are two ({mine.model.spec}, {theirs.model.spec}): a channel of one has no counterpart in the"
            " other but by its number, which shifts and correlations go by."
        )
    elif mine.model.weights_sha256 != theirs.model.weights_sha256:
        remarks.append("The weights differ: channels correspond only where one network was trained from the other.")
    for run in (one, other):
        if (changed := run.manifest.model.changed) is not None:
            remarks.append(
                f"The network of {str(run.path)!r} was changed in Python after it was loaded: {changed.what}."
            )
        if not run.manifest.model.trained:
            remarks.append(f"The weights of the SE blocks in {str(run.path)!r} are untrained.")
    if mine.model.preprocessing != theirs.model.preprocessing or mine.model.input_size != theirs.model.input_size:
        keys = sorted(
            key
            for key in {*mine.model.preprocessing, *theirs.model.preprocessing}
            if mine.model.preprocessing.get(key) != theirs.model.preprocessing.get(key)
        )
        what = ", ".join(keys) or "the size of the input"
        remarks.append(f"Images were preprocessed differently ({what}): part of the difference may come from that.")
    if mine.engine.rotate != theirs.engine.rotate:
        remarks.append("Only one of the runs rotated images as their EXIF orientation says.")
    if mine.data.labels != theirs.data.labels:
        remarks.append("Images have one class in one run and several in the other: omega squared does not compare.")
    known = len(one.classes), len(other.classes)
    if not classes:
        remarks.append("The runs share no class by its id: there are no shifts, and omega squared is over all classes.")
    elif classes < max(known):
        remarks.append(f"The runs share {classes} classes, of {known[0]} and {known[1]}; the others are left out.")
    widths = [pair.one for pair in pairing.pairs if one.block(pair.one).channels != other.block(pair.other).channels]
    if widths:
        remarks.append(f"Blocks with different numbers of channels have no shifts: {', '.join(widths)}.")
    return remarks + pairing.remarks(str(one.path), str(other.path))
