import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import seviz
from seviz.lists import split_list
from seviz.report.origin import PAPER, PAPER_DOI, SOFTWARE, capture_command, described, no_command, report_command
from seviz.report.page import _again
from seviz.run.manifest import ChangeRecord
from seviz.run.store import Run
from tests.made_runs import make_run


def changed(run: Run, **records: dict[str, Any]) -> Run:
    """The run with another manifest."""
    replaced = {name: dataclasses.replace(getattr(run.manifest, name), **record) for name, record in records.items()}
    run.manifest = dataclasses.replace(run.manifest, **replaced)
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    gates = np.random.default_rng(0).random((12, 8))
    return make_run(tmp_path / "my run", {"SE_2_1": gates, "SE_3_1": gates}, np.arange(12) % 3)


def test_the_command_is_quoted_and_holds_what_is_no_default(run: Run) -> None:
    plain = shlex.split(capture_command(run))
    assert plain[:6] == ["seviz", "capture", "tests/made", "made", "-o", str(run.path)]
    assert plain[6:] == ["--keep-gates", "all", "--device", "cpu", "--compile", "off"]
    engine = {"name": "compiled", "precision": "bfloat16", "batch_size": 8, "rotate": True, "device": "cuda"}
    run.manifest = dataclasses.replace(run.manifest, signals=("excitation", "squeeze"), keep_gates="per-class:5")
    command = capture_command(changed(run, model={"weights": "a b.pt"}, data={"spec": "the data; rm"}, engine=engine))
    assert "'the data; rm'" in command
    assert shlex.split(command)[6:] == [
        *("--weights", "a b.pt", "--signals", "excitation,squeeze", "--keep-gates", "per-class:5", "--rotate"),
        *("--batch-size", "8", "--device", "cuda", "--precision", "bf16", "--compile", "on"),
    ]


def test_the_command_says_which_images_were_chosen(run: Run) -> None:
    chosen = {"classes": ["cat", "ship"], "per_class": 50, "seed": 3, "split": "train", "root": "the images"}
    words = shlex.split(capture_command(changed(run, data={"selection": chosen})))
    assert words[8:18] == [
        *("--classes", "cat,ship", "--per-class", "50", "--seed", "3", "--split", "train", "--root", "the images"),
    ]


def test_the_command_is_one_that_seviz_takes(tiny_run: Run) -> None:
    from typer.main import get_command

    from seviz.cli import app

    words = shlex.split(capture_command(tiny_run))[1:]
    capture = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    assert capture.make_context("capture", words[1:]).params["signals"] == ["excitation,squeeze,response"]
    words = shlex.split(report_command(tiny_run))[1:]
    assert get_command(app).commands[words[0]].make_context("report", words[1:])  # type: ignore[attr-defined]


def test_the_command_names_classes_where_others_have_no_images(tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((12, 8))
    labels = np.arange(12) % 2
    some = make_run(tmp_path / "run", {"SE_2_1": gates}, labels, classes=["cat", "ship", "frog"])
    assert "--classes cat,ship" in capture_command(some)
    odd = make_run(tmp_path / "odd", {"SE_2_1": gates}, labels, classes=["@home", "crane, bird", "frog"])
    words = shlex.split(capture_command(odd))
    assert split_list(words[words.index("--classes") + 1]) == ["@home", "crane, bird"]
    several = make_run(tmp_path / "several", {"SE_2_1": gates}, labels[:, None] == np.arange(3))
    assert "--classes" not in capture_command(several)


def test_no_command_for_what_no_command_makes(run: Run) -> None:
    assert capture_command(changed(run, data={"spec": "one + two"})) == ""
    assert capture_command(changed(run, data={"spec": "batches", "fingerprint": None, "images": None})) == ""


def test_a_network_changed_in_python_has_no_command(run: Run) -> None:
    assert no_command(run) == ""
    assert dict(described(run))["Changed in Python"] == ""
    record = ChangeRecord(base="tests/made", what="1 module taken out (1.se), other weights", changes=None)
    of_changed = changed(run, model={"changed": record})
    assert capture_command(of_changed) == ""
    why = no_command(of_changed)
    assert "its network was changed in Python after tests/made was loaded (1 module taken out (1.se), other" in why
    assert "seviz.save(network, DIRECTORY); `seviz capture DIRECTORY DATA` then captures its gates" in why
    assert dict(described(of_changed))["Changed in Python"] == f"{record.what}; made from tests/made"
    page = _again(of_changed)
    assert "its network was changed in Python" in page
    assert "seviz capture tests/made" not in page


def test_why_no_command_makes_a_run(run: Run) -> None:
    assert "it was joined from several runs" in no_command(changed(run, data={"spec": "one + two"}))
    batches = {"spec": "batches", "fingerprint": None, "images": None}
    assert "its images were handed over in memory" in no_command(changed(run, data=batches))


def test_what_was_run_is_told(run: Run) -> None:
    told = dict(described(run))
    assert told["Network"] == "tests/made"
    assert told["Weights"] == "pretrained"
    assert told["Fingerprint of the weights"] == "sha256 " + "0" * 64
    assert told["Images"] == "12 of 3 classes, 12 ok, 0 coerced, 0 failed"
    assert told["Accuracy"] == "top-1 100.0% of 12 images"
    assert told["SE blocks"] == "2, SE_2_1 to SE_3_1; sigmoid; reduction 8"
    assert told["Captured"] == "2026-01-01T00:00:00+00:00"
    untrained = dict(described(changed(run, model={"trained": False, "weights": "none"})))
    assert untrained["Weights"] == "none: the SE blocks are untrained"


def test_citation_says_what_the_citation_file_does() -> None:
    file = Path(seviz.__file__).parents[1] / "CITATION.cff"
    cited = yaml.safe_load(file.read_text())
    assert f"{cited['authors'][0]['name']}. {cited['title']}." == SOFTWARE
    paper = cited["references"][0]
    people = ", ".join(f"{author['given-names']} {author['family-names']}" for author in paper["authors"])
    where = f"{paper['journal']} {paper['volume']}({paper['issue']}), {paper['start']}-{paper['end']}, {paper['year']}"
    assert f"{people}. {paper['title']}. {where}." == PAPER
    assert paper["doi"] == PAPER_DOI
