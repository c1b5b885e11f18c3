"""Every command on every kind of run: it ends in its result, or in one line that says what to do.

`pytest -s tests/cli/test_every_command.py` prints the matrix.
"""

import re
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from seviz.experiments import reopening
from seviz.figures.album import figures
from seviz.network import networks
from tests.cli.commands import run
from tests.cli.kinds_of_run import BLOCK, CAPTURED, KINDS, QUICK

AGAIN = ("--trust-code", *QUICK)
SMALL = (*AGAIN, "--no-latency", "--no-program")

LOAD, SURVEY = cache(reopening.load_with), cache(networks.survey)
NOT_REPORTED = ",".join(name for name, each in figures().items() if not each.caption)

COMMANDS: dict[str, tuple[str, ...]] = {
    "figures": ("figures", "RUN", "-o", "OUT", "--format", "svg", "--against", "ONE", "--only", NOT_REPORTED),
    "report": ("report", "RUN", "-o", "OUT/report.html"),
    "analyse": ("analyse", "RUN"),
    "specificity": ("specificity", "RUN"),
    "specificity by channel": ("specificity", "RUN", "--by", "channel"),
    "specificity by class": ("specificity", "RUN", "--by", "class"),
    "specificity by outcome": ("specificity", "RUN", "--by", "outcome"),
    "specificity, permuted": ("specificity", "RUN", "--permutations", "3"),
    "selectivity": ("selectivity", "RUN"),
    "decoding": ("decoding", "RUN", "--folds", "2"),
    "channels": ("channels", "RUN", BLOCK),
    "similarity": ("similarity", "RUN", BLOCK),
    "agreement": ("agreement", "RUN", "--permutations", "9"),
    "agreement with another": ("agreement", "RUN", "ONE", "--permutations", "9"),
    "confusion": ("confusion", "RUN"),
    "cka": ("cka", "RUN"),
    "cka with another": ("cka", "RUN", "ONE"),
    "saturation": ("saturation", "RUN"),
    "saturation by channel": ("saturation", "RUN", "--by", "channel"),
    "redundancy": ("redundancy", "RUN"),
    "redundant channels": ("redundant-channels", "RUN", BLOCK, "--within-classes"),
    "convergence": ("convergence", "RUN", "--repeats", "2"),
    "convergence by size": ("convergence", "RUN", "--by", "size", "--repeats", "2"),
    "principal components": ("principal-components", "RUN", BLOCK),
    "compare": ("compare", "RUN", "ONE"),
    "compare by class": ("compare", "ONE", "RUN", "--by", "class"),
    "intervene": ("intervene", "RUN", *AGAIN),
    "intervene, other images": ("intervene", "RUN", "--interventions", "constant", "--data", "MORE", *AGAIN),
    "swap": ("intervene", "RUN", "--swap", BLOCK, *AGAIN),
    "attribute": ("attribute", "RUN", *AGAIN),
    "attribute, other images": ("attribute", "RUN", "--by", "image", "--baseline", "mean", "--data", "MORE", *AGAIN),
    "curve": (
        "curve",
        "RUN",
        "-o",
        "OUT",
        "--criteria",
        "gate_mean,taylor",
        "--fractions",
        "0.5",
        "--seeds",
        "1",
        *AGAIN,
    ),
    "fold": ("fold", "RUN", "-o", "OUT", "--max-drop", "1", "--order", "variance", *SMALL),
    "fold, other images": ("fold", "RUN", "-o", "OUT", "--blocks", BLOCK, "--data", "MORE", *SMALL),
    "prune": ("prune", "RUN", "-o", "OUT", "--keep-channels", "0.7", "--kind", "inner", *SMALL),
    "verify": ("verify", "RUN"),
    "merge": ("merge", "RUN", "ANOTHER", "-o", "OUT"),
    "upgrade": ("upgrade", "RUN"),
}
"""RUN is the run; ONE that of a single label, ANOTHER one that is to be merged, MORE a folder of images."""

_NO_GATES = "keeps the gates of no image, only moments of classes; capture again with --keep-gates all"
_UNKEPT = "does not keep the gates of .* Judge the result by other images (--data), or capture again with --keep-gates"
_IN_MEMORY = "were handed over in memory, and cannot be opened again. Capture a run of image files"
_DONORS = "cannot tell of what class a donor is: .* Take a run of images of the network's classes, one of each"
_SEVERAL = "have several classes, expected one of each. Give such images, as other data"
_NO_SPLIT = "there is no split by class. Give other images, of one class each, to judge by (--data)"
_OTHERS = "are not those of .*, so whether it is right cannot be told. Give images of its classes, as other data"
_OUTCOME = "does not say which predictions are right: .* capture a data set with the network's classes"
_NO_CLASS = "have images of no class in common; .* capture both on data with the same ids"
_NO_IMAGE = "keep the gates of no image in common, by path; .* Capture both from the same root"
_UNREAD = "none of the 15 images of data .* can be read; `seviz scan` says why"
_NO_PART = "part 'score' would have no image: .* expected a greater share, or more images"
_NO_MEAN = (
    "all 15 images of the run .* failed, so that .* has no mean over images. Take a run of images that can be read"
)
_DIFFER = (
    "cannot be joined: they differ in {}. Runs to be joined are of one network and captured with the same settings"
)
_TWICE = "cannot be joined: both hold .*, which would count twice. Leave one of them out"

_JUDGING = ("curve", "fold", "prune")
_OF_IMAGES = ("intervene", "swap", "attribute", *_JUDGING)
_ELSEWHERE = ("intervene, other images", "attribute, other images", "fold, other images")
_OF_GATES = (
    *("specificity by outcome", "specificity, permuted", "decoding", "cka", "cka with another", "redundancy"),
    *("redundant channels", "convergence", "convergence by size", "principal components", "intervene"),
)

ERRORS: dict[str, dict[str, str]] = {
    "from memory": {**dict.fromkeys((*_OF_IMAGES, "fold, other images"), _IN_MEMORY), "cka with another": _NO_IMAGE},
    "merged": {"cka with another": _NO_IMAGE, "merge": _TWICE},
    "several labels": {
        **dict.fromkeys(("intervene", "swap"), _DONORS),
        "attribute": _SEVERAL,
        **dict.fromkeys(_JUDGING, _NO_SPLIT),
        "merge": _DIFFER.format("labels"),
    },
    "gates of none": {**dict.fromkeys(_OF_GATES, _NO_GATES), **dict.fromkeys(_JUDGING, _UNKEPT)},
    "gates of some": dict.fromkeys(_JUDGING, _UNKEPT),
    "no accuracy": {
        "specificity by outcome": _OUTCOME,
        "agreement with another": _NO_CLASS,
        "cka with another": _NO_IMAGE,
        **dict.fromkeys(("intervene", "swap"), _DONORS),
        **dict.fromkeys(("attribute", *_JUDGING), _OTHERS),
    },
    "two classes": {**dict.fromkeys(_ELSEWHERE, _OTHERS), "merge": _DIFFER.format("weights")},
    "without squeeze": {"merge": _DIFFER.format("signals")},
    "of a saved network": {"merge": _DIFFER.format("weights, blocks")},
    "failures only": {
        "specificity by outcome": _OUTCOME,
        "agreement with another": _NO_CLASS,
        **dict.fromkeys(("swap", "attribute"), _UNREAD),
        **dict.fromkeys(_JUDGING, _NO_PART),
        **dict.fromkeys(("intervene", *_ELSEWHERE), _NO_MEAN),
    },
}
"""By the kind of run and the command, what must be said where there is no result; `.*` stands for anything."""


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests look at costs nothing: files are not synced, a network is loaded and searched once."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    monkeypatch.setattr("seviz.figures.gallery.GALLERY", 1)
    monkeypatch.setattr(reopening, "load_with", LOAD)
    monkeypatch.setattr(networks, "survey", SURVEY)
    monkeypatch.setattr("typer.testing._get_command", cache(get_command))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("cheap", "unrendered")
def test_every_command(kind: str, kinds: Path, tmp_path: Path) -> None:
    one = tmp_path / "run"
    shutil.copytree(kinds / "runs" / kind, one)
    places = {"RUN": one, "ONE": kinds / "runs" / "single label", "ANOTHER": kinds / "runs" / "another"}
    wrong = []
    for name, command in COMMANDS.items():
        out = tmp_path / name / "out"
        places |= {"MORE": kinds / "else", "OUT": out, "OUT/report.html": out / "report.html"}
        before = _files(one)
        result = run(*(places.get(word, word) for word in command))
        said = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        outcome = said[0] if said else f"{len(result.stdout.splitlines())} lines, {len(_files(out))} files"
        sys.stdout.write(f"{kind:18} | {name:23} | {result.exit_code} | {outcome}\n")
        wrong += [f"{name}: {what}" for what in _complaints(result, said, ERRORS.get(kind, {}).get(name))]
        if said and (out.parent.exists() or _files(one) != before):
            wrong.append(f"{name}: left {[*_files(out.parent), *_files(one) - before]}")
        if not said and "-o" in command and not _files(out) and "left out: all images" not in result.stderr:
            wrong.append(f"{name}: wrote nothing")
    assert not wrong, "\n".join(wrong)


def _complaints(result: Any, said: list[str], expected: str | None) -> list[str]:
    """What is other than expected."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return [f"{type(result.exception).__name__}: {result.exception}"]
    if expected is None:
        return said or ([f"exit code {result.exit_code}"] if result.exit_code else [])
    pattern = re.escape(expected).replace(r"\.\*", ".*")
    right = result.exit_code == 2 and len(said) == 1 and not result.stdout and re.search(pattern, said[0])
    return [] if right else [f"exit code {result.exit_code}, {said}, {result.stdout!r}, expected {expected!r}"]


def _files(directory: Path) -> set[str]:
    """What is there but kept tables, which may stay when a later table cannot be had."""
    there = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return {path for path in there if not path.startswith("tables/")}


@pytest.mark.parametrize(
    ("kind", "images"),
    [
        ("single label", "15 (15 ok) of 3 classes"),
        ("several labels", "15 (15 ok) of 3 classes"),
        ("two classes", "10 (10 ok) of 2 classes"),
        ("with failures", "15 (8 failed, 7 ok) of 3 classes"),
        ("failures only", "15 (15 failed) of 3 classes"),
        ("merged", "30 (30 ok) of 3 classes"),
        ("of a saved network", "15 (15 ok) of 3 classes"),
    ],
)
def test_the_end_of_a_capture(kind: str, images: str, kinds: Path) -> None:
    lines = (kinds / "runs" / f"{kind}.txt").read_text().splitlines()
    blocks = 1 if kind == "of a saved network" else 2
    assert re.fullmatch(rf"run: .*{kind} \(.*, {blocks} SE blocks\)", lines[0])
    assert lines[1] == f"images: {images}"
    told = kind != "failures only"
    assert [line.partition(":")[0] for line in lines[2:]] == ["accuracy"] * told


def test_all_kinds_are_captured() -> None:
    assert {*ERRORS} <= {*KINDS}
    assert {name for errors in ERRORS.values() for name in errors} <= {*COMMANDS}
    assert len(CAPTURED) + 1 == len(KINDS)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("capture", "MODEL", "DATA", "-o", "OUT"), 2, "error: no SE block in Sequential: no feature map is scaled .*"),
        (("blocks", "MODEL"), 2, "error: no SE block in Sequential: no feature map is scaled .*"),
        (("check", "MODEL"), 1, "no SE block was found"),
        (("complexity", "MODEL"), 0, ".* has no SE block"),
    ],
)
def test_a_network_without_blocks(command: tuple[str, ...], code: int, said: str, kinds: Path, tmp_path: Path) -> None:
    places = {"MODEL": f"{kinds / 'small.py'}:plain", "DATA": kinds / "data", "OUT": tmp_path / "out"}
    result = run(*(places.get(word, word) for word in command))
    assert result.exit_code == code, result.output
    assert any(re.fullmatch(said, line) for line in result.stderr.splitlines()), result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["blocks", "check", "complexity"])
def test_a_saved_network(command: str, kinds: Path) -> None:
    result = run(command, kinds / "saved", "--trust-code")
    assert result.exit_code == 0, result.output
    assert BLOCK in result.stdout or "SE stage 3" in result.stdout
