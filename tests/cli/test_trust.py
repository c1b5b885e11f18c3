"""Each door by which a spec out of a file could be executed: shut by itself, open where the person says so."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import seviz
from seviz.cli import app
from seviz.cli.trusting import Trust, trusting
from seviz.compression.directory import Compression, card
from seviz.errors import DataNotFoundError, SevizWarning, TrustError, WeightsError
from seviz.experiments.causal import intervene
from seviz.experiments.reopening import reopen_data, reopen_network
from seviz.figures.album import Album
from seviz.run.manifest import checksum_of
from seviz.run.store import Run
from tests.cli.commands import error_of, run
from tests.network.evil import Evil, make_evil

QUICK = ("--workers", 0, "--device", "cpu")
SMALLER = (*QUICK, "--no-latency", "--no-program", "--no-recalibrate")
OF_RUNS: dict[str, tuple[object, ...]] = {
    "intervene": QUICK,
    "attribute": QUICK,
    "fold": ("-o", "out", *SMALLER),
    "prune": ("-o", "out", "--keep-channels", 0.7, *SMALLER),
    "curve": ("-o", "out", "--criteria", "random", "--fractions", "0.5", "--seeds", 1, *QUICK),
}
OF_NETWORKS: dict[str, tuple[object, ...]] = {
    "blocks": (),
    "check": (),
    "complexity": (),
    "capture": ("data", "-o", "captured", "--compile", "off", *QUICK),
}


def _images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for k in range(5):
            Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / name / f"{k}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evil, Run, Path]:
    """The file, a run of its network, and the same network saved without a block; tests copy what they change."""
    place = tmp_path_factory.mktemp("made")
    evil = make_evil(place / "evil")
    _images(place / "data")
    with pytest.warns(UserWarning, match="near chance|untrained"):
        run = seviz.collect(evil.network(), place / "data", place / "run", workers=0, compile="off")
    saved = evil.saved(place / "saved")
    return evil, run, Path(saved)


@pytest.fixture(autouse=True)
def _elsewhere(made: tuple[Evil, Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(made[1].path.parent / "data")
    made[0].forget()


def changed(run: Run, place: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run whose manifest says something else."""
    shutil.copytree(run.path, place)
    manifest = json.loads((place / "manifest.json").read_text())
    change(manifest)
    del manifest["checksum"]
    (place / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum_of(manifest)}))
    return place


@pytest.mark.parametrize("command", OF_RUNS)
def test_no_command_executes_what_a_run_names(command: str, made: tuple[Evil, Run, Path]) -> None:
    evil, of, saved = made
    said = error_of(command, of.path, *OF_RUNS[command])
    assert said.startswith(f"error: '{of.path}/manifest.json' has model.spec '{evil.spec}', and making that network")
    assert f"executes the Python file '{evil.file}'" in said
    assert f"--trust-code (trust_code=True), or the same spec yourself, --model '{evil.spec}' (model=...)" in said
    nested = changed(of, Path("nested"), lambda manifest: manifest["model"].update(spec=str(saved)))
    assert f"'{saved}/network.json' has base '{evil.spec}'" in error_of(command, nested, *OF_RUNS[command])
    hub = changed(of, Path("hub"), lambda manifest: manifest["model"].update(spec="hf-hub:some/one"))
    assert "fetches a network of someone's" in error_of(command, hub, *OF_RUNS[command])
    assert not evil.ran
    assert not Path("out").exists()


@pytest.mark.parametrize("how", ["--trust-code", "--model"])
@pytest.mark.parametrize("command", OF_RUNS)
def test_what_a_run_names_is_executed_on_the_persons_word(how: str, command: str, made: tuple[Evil, Run, Path]) -> None:
    evil, of, _ = made
    given = [how] if how == "--trust-code" else [how, evil.spec]
    result = run(command, of.path, *given, *OF_RUNS[command])
    assert result.exit_code == 0, result.output
    assert evil.ran
    assert f"model: '{evil.spec}', as '{of.path}/manifest.json' says; it executes the Python file" in result.stderr
    assert f"images: '{of.path.parent / 'data'}', as '{of.path}/manifest.json' says" in result.stderr


@pytest.mark.parametrize("command", OF_NETWORKS)
def test_no_command_executes_what_a_saved_network_names(command: str, made: tuple[Evil, Run, Path]) -> None:
    evil, _, saved = made
    options = OF_NETWORKS[command]
    assert f"'{saved}/network.json' has base '{evil.spec}'" in error_of(command, saved, *options)
    assert not evil.ran
    result = run(command, saved, *options, "--trust-code")
    assert result.exit_code in (0, 1), result.output
    assert not result.stderr.startswith("error")
    assert evil.ran
    shutil.rmtree("captured", ignore_errors=True)
    evil.forget()
    assert run(command, saved, *options, "--model", evil.spec).exit_code == result.exit_code
    assert evil.ran
    assert "is no directory of a saved network" in error_of(command, "timm/x", *options, "--model", evil.spec)


def test_every_command_with_weights_of_a_run_or_network_has_both_ways() -> None:
    """So that a command which is added later is not forgotten."""
    import typer.main

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {each for p in command.params for each in p.opts} for name, command in commands.items()}
    opening = {name for name, given in options.items() if "--weights" in given} | {"complexity"}
    assert opening == {*OF_RUNS, *OF_NETWORKS}
    assert {name for name, given in options.items() if {"--trust-code", "--model"} <= given} == opening
    assert {name for name, given in options.items() if "--trust-code" in given} == {*opening, "dashboard"}


def test_the_options_are_one_argument() -> None:
    given: list[Trust] = []

    @trusting
    def command(path: str, *, trust: Trust) -> None:
        given.append(trust)

    command("x")
    command("x", trust_code=True, given_model="y")
    assert given == [{"trust_code": False, "model": None}, {"trust_code": True, "model": "y"}]


def test_a_network_is_saved_with_a_card_that_says_what_it_takes(made: tuple[Evil, Run, Path]) -> None:
    evil, _, saved = made
    network = seviz.load(str(saved), trust_code=True)
    text = card(
        Compression(kind="fold", title="x", made=(), settings={}, split={}, tables={}, network=network), [], Path("out")
    )
    assert f"That takes `trust_code=True`, since making the network executes the Python file '{evil.file}'." in text


def test_in_a_notebook(made: tuple[Evil, Run, Path]) -> None:
    evil, of, _ = made
    with pytest.raises(TrustError, match=r"has model\.spec"):
        reopen_network(of)
    assert not evil.ran
    told: list[str] = []
    assert reopen_network(of, trust_code=True, tell=told.append).remarks == ()
    assert len(told) == 1
    evil.forget()
    reopen_network(of, model=evil.spec)
    assert evil.ran


def test_another_model_must_have_the_weights_of_the_run(made: tuple[Evil, Run, Path], tmp_path: Path) -> None:
    evil, of, saved = made
    mine = tmp_path / "mine.py"
    mine.write_text(evil.plain)
    with pytest.raises(WeightsError, match=r"mine.py:factory with weights 'none' is not the network of the run"):
        reopen_network(changed_weights(of), model=f"{mine}:factory")
    with pytest.warns(SevizWarning, match="mine.py' was changed since"):
        assert reopen_network(of, model=f"{mine}:factory").spec == f"{mine}:factory"
    assert not evil.ran
    with pytest.raises(TrustError, match=re.escape(f"'{saved}/network.json' has base")):
        reopen_network(of, model=str(saved))
    assert not evil.ran


def changed_weights(of: Run) -> Run:
    def change(manifest: dict[str, Any]) -> None:
        manifest["model"].update(weights_sha256="0" * 64, factory_sha256=None)

    return Run(changed(of, Path("other"), change))


def test_a_changed_file_is_said_before_it_is_executed_and_with_the_result(
    made: tuple[Evil, Run, Path], tmp_path: Path
) -> None:
    evil = make_evil(tmp_path / "again")
    of = seviz.open_run(changed(made[1], Path("run"), lambda manifest: manifest["model"].update(spec=evil.spec)))
    evil.file.write_text(f"import sys\nsys.stderr.write('executed\\n')\n{evil.plain}")
    result = run("intervene", of.path, "--trust-code", "--json", *QUICK)
    assert result.exit_code == 0, result.output
    said = f"note: The Python file '{evil.file}' was changed since '{of.path}/manifest.json' was written (SHA-256 "
    lines = [line[: len(said)] for line in result.stderr.splitlines()]
    assert lines.index(said) < lines.index("executed")
    assert lines.count(said) == 2  # before, and with the table
    assert isinstance(json.loads(result.stdout), list)
    with pytest.warns(SevizWarning, match="was changed since"):
        network = reopen_network(of, trust_code=True)
    assert (
        intervene(network, of, data=reopen_data(of), workers=0).by_block().attrs["remarks"].count(network.remarks[0])
        == 1
    )
    folded = run("fold", of.path, "-o", "out", "--trust-code", *SMALLER[:-1])
    assert folded.exit_code == 0, folded.output
    assert network.remarks[0] in Path("out", "README.md").read_text()
    with pytest.raises(TrustError, match=r"out/network.json' has base"):
        seviz.load("out")


def test_the_run_pins_what_made_its_network(made: tuple[Evil, Run, Path]) -> None:
    import hashlib

    evil, of, saved = made
    digest = hashlib.sha256(evil.file.read_bytes()).hexdigest()
    assert of.manifest.model.factory_sha256 == digest
    assert of.manifest.model.weights_file_sha256 is None
    with pytest.warns(UserWarning, match="near chance|untrained"):
        again = seviz.collect(
            seviz.load(str(saved), trust_code=True), "data", "again", workers=0, compile="off"
        ).manifest.model
    assert again.factory_sha256 == digest
    assert again.weights_file_sha256 == hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()
    assert reopen_network(Run(Path("again")), model=evil.spec).spec == str(saved)


def test_weights_that_were_swapped_are_told_before_anything_is_built(made: tuple[Evil, Run, Path]) -> None:
    evil, _, _ = made
    weights = Path("weights.pt").absolute()
    network = evil.network()
    torch.save(network.model.state_dict(), weights)
    with pytest.warns(UserWarning, match="near chance"):
        of = seviz.collect(seviz.load(evil.spec, weights=weights), "data", "run", workers=0, compile="off")
    evil.forget()
    told: list[str] = []
    reopen_network(of, trust_code=True, tell=told.append)
    assert told[1] == f"weights: '{weights}', as 'run/manifest.json' says"
    shutil.copy(weights, "moved.pt")
    torch.save({name: value + 1 for name, value in network.model.state_dict().items()}, weights)
    evil.forget()
    with pytest.raises(
        WeightsError, match=r"weights of the run 'run' are to be in .*weights.pt', which is another file"
    ):
        reopen_network(of, trust_code=True)
    assert not evil.ran
    assert "which is another file now" in run("intervene", "run", "--trust-code", *QUICK).stderr
    assert not evil.ran
    assert reopen_network(of, trust_code=True, weights="moved.pt").weights == "moved.pt"
    with pytest.raises(WeightsError, match="is not the network of the run"):
        reopen_network(of, trust_code=True, weights=weights)
    weights.unlink()
    weights.symlink_to("/dev/zero")
    evil.forget()
    with pytest.raises(WeightsError, match=r"are to be in .*weights.pt', which is no regular file"):
        reopen_network(of, trust_code=True)
    assert not evil.ran


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "C:\\x.png"])
def test_paths_of_samples_stay_below_the_root(path: str, made: tuple[Evil, Run, Path]) -> None:
    of = seviz.open_run(made[1].path)
    of.samples["path"] = [path, *of.samples["path"][1:]]
    for root in (None, Path("data")):
        with pytest.raises(DataNotFoundError, match="path outside the data"):
            reopen_data(of, root=root)


def test_the_images_of_a_gallery_stay_below_the_root(
    made: tuple[Evil, Run, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    of = seviz.open_run(made[1].path)
    of.samples["path"] = ["../secret.png", "a" * 300, *of.samples["path"][2:]]
    drawn = next(iter(Album(run=of, blocks=["SE_2_1"]).draw(["gallery"])))
    texts = {text.get_text() for axes in drawn.figure.axes for text in axes.texts}
    assert any("outside" in text for text in texts)
    assert f"images: '{of.path.parent / 'data'}', as '{of.path}/manifest.json' says" in capsys.readouterr().err


def test_a_run_that_names_a_list_of_images_without_a_root(made: tuple[Evil, Run, Path]) -> None:
    place = changed(made[1], Path("list"), lambda manifest: manifest["data"].update(root=None, spec="csv:/etc/passwd"))
    with pytest.raises(
        DataNotFoundError, match=r"list/manifest.json' has no data.root, and data.spec 'csv:/etc/passwd'"
    ):
        reopen_data(seviz.open_run(place))


def test_tables_and_figures_of_such_a_run_need_no_trust(made: tuple[Evil, Run, Path]) -> None:
    evil, of, _ = made
    assert run("specificity", of.path, "--csv").exit_code == 0
    assert isinstance(pd.read_parquet(of.path / "samples.parquet"), pd.DataFrame)
    assert not evil.ran
