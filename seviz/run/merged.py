"""The file of a block's moments, checked against the manifest of its run when it is read."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seviz.foreign import as_type, shown
from seviz.moments import Moments
from seviz.run.files import damaged, header_of, read_arrays
from seviz.run.forms import MomentsFacts, form_of_moments
from seviz.run.manifest import Manifest


def read_moments(path: Path, manifest: Manifest, block: str) -> dict[str, NDArray[Any]]:
    """All arrays of a file of moments.

    Parameters
    ----------
    path
        Of the file, in the folder `moments` of its run.
    manifest
        Of the run.
    block
        Whose moments.

    Returns
    -------
    dict of str to numpy.ndarray
        As `Moments.to_arrays` names them, behind "moments/SIGNAL/" and "totals/SIGNAL/".

    Raises
    ------
    DamagedRunError
        If the file is not what was written, is of another block, or holds what are no moments of the run's images.
    """
    arrays, _ = read_arrays(path, within=path.parent.parent, form=form_of_moments(manifest, block))
    moments_facts(path, block)
    images = 2**31 - 1 if manifest.data.images is None else manifest.data.images
    for kind in ("moments", "totals"):
        for signal in manifest.signals:
            try:
                Moments.from_arrays(arrays, f"{kind}/{signal}/").check(images)
            except ValueError as error:
                raise damaged(path, f"{kind}/{signal}: {error}") from error
    return arrays


def moments_facts(path: Path, block: str) -> MomentsFacts:
    """What stands in a file of moments beside them; raises DamagedRunError, also if it is of another block."""
    header = header_of(path, within=path.parent.parent)
    try:
        facts = as_type(header.facts, MomentsFacts)
        if facts.block != block:
            raise ValueError(f"block is {shown(facts.block)}, expected {shown(block)}")
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return facts
