import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import seviz
from seviz.cli import main
from seviz.figures.album import figures
from seviz.run.store import Run
from seviz.tables.kept import table_path, tables_of_run
from tests.cli.commands import error_of, run

COMMANDS = ("demo", "blocks", "zoo", "complexity", "capture", "scan", "verify", "merge", "figures", "report")


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"seviz {seviz.__version__}\n")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_blocks_as_json() -> None:
    result = run("blocks", "timm/legacy_seresnet50", "--weights", "none", "--json")
    blocks = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [block["name"] for block in blocks] == [
        *("SE_2_1", "SE_2_2", "SE_2_3", "SE_3_1", "SE_3_2", "SE_3_3", "SE_3_4"),
        *("SE_4_1", "SE_4_2", "SE_4_3", "SE_4_4", "SE_4_5", "SE_4_6", "SE_5_1", "SE_5_2", "SE_5_3"),
    ]
    expected = {
        "name": "SE_2_1",
        "path": "layer1.0.se_module",
        "gate_path": "layer1.0.se_module.sigmoid",
        "channels": 256,
        "squeezed_channels": 16,
        "gate": "sigmoid",
        "stage": 2,
        "block": 1,
    }
    assert expected.items() <= blocks[0].items()
    assert blocks[0]["bounds"] == [0, 1]


def test_blocks_as_a_table() -> None:
    result = run("blocks", "torchvision/mobilenet_v3_small")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 10
    assert lines[1].split() == ["SE_2_1", "16", "8", "hard_sigmoid", "4", "features.1.block.1"]
    regnet = run("blocks", "torchvision/regnet_y_400mf").stdout.splitlines()
    assert regnet[1].endswith(" trunk_output.block1.block1-0.f.se")


def test_zoo_lists_what_the_survey_found() -> None:
    everything = json.loads(run("zoo", "--json").stdout)
    rows = {row["model"]: row for row in everything}
    assert (rows["timm/seresnet50"]["blocks"], rows["timm/seresnet50"]["last"]) == (16, "SE_5_3")
    assert rows["timm/resnet50"]["blocks"] == 0
    assert not [row["model"] for row in everything if "unexplained" in row["disagreement"]]
    listed = run("zoo", "regnety_00")
    names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert names == [row["model"] for row in everything if "regnety_00" in row["model"]]
    assert f"{len(names)} of {len(names)} architectures have SE blocks" in listed.stderr
    assert run("zoo", "resnet18", "--all").stdout.count("\n") > run("zoo", "resnet18").stdout.count("\n")


def test_demo_leaves_a_run_and_its_figures(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    opened = seviz.open_run(tmp_path / "demo")
    assert (len(opened.samples), opened.manifest.signals) == (1000, ("excitation", "squeeze", "response"))
    assert opened.accuracy.top1 >= 0.88
    assert f"accuracy: top-1 {opened.accuracy.top1:.1%}, top-5" in result.stdout
    page = tmp_path / "demo" / "report.html"
    assert str(page) in result.stdout
    assert "rises with depth, from" in page.read_text()
    folder = tmp_path / "demo" / "figures"
    names = {f"{name}.{kind}" for name in figures() if name != "comparison" for kind in ("png", "pdf", "csv")}
    assert {path.name for path in folder.iterdir()} == names
    for name in names:
        assert str(folder / name) in result.stdout
        if name.endswith("png"):
            with Image.open(folder / name) as image:
                assert image.size[0] == 1400
    table = pd.read_csv(folder / "specificity.csv")
    pd.testing.assert_frame_equal(table, seviz.specificity(opened))
    printed = re.search(r"lies between classes: ([\d.]+) at SE_2_3, .*, ([\d.]+) at SE_5_3", result.stdout)
    shares = table.set_index("block")["omega_squared"]
    assert printed.groups() == (f"{shares['SE_2_3']:.2f}", f"{shares['SE_5_3']:.2f}")
    for name in (name for name, table in tables_of_run().items() if not table.of_block):
        assert table_path(opened, name).is_file()
    assert result.stderr.rstrip().endswith(f"dashboard {tmp_path / 'demo'}")


def test_capture_and_figures(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    data = make_folder({"cat": 3, "ship": 2})
    result = run("capture", "seviz/seresnet50-cifar10", data, "-o", tmp_path / "run", "--signals", "excitation,squeeze")
    assert result.exit_code == 0, result.output
    assert "images: 5 (5 ok) of 2 classes" in result.stdout
    assert f"figures: seviz figures {tmp_path / 'run'}" in result.stderr
    opened = seviz.open_run(tmp_path / "run")
    assert opened.manifest.data.model_classes == (3, 8)
    options = "--only excitation,heatmap --channels all --format svg --classes ship,cat --blocks SE_2_1 --width column"
    drawn = run("figures", tmp_path / "run", "-o", tmp_path / "f", *options.split())
    assert drawn.exit_code == 0, drawn.output
    table = pd.read_csv(tmp_path / "f" / "excitation.csv")
    assert (set(table["block"]), table["channel"].nunique()) == ({"SE_2_1"}, 64)
    assert list(table["class"].unique()) == ["ship", "cat", "all classes"]
    names = {f"{name}.{kind}" for name in ("excitation", "heatmap") for kind in ("csv", "svg")}
    assert {path.name for path in (tmp_path / "f").iterdir()} == names


def test_data_of_other_classes_is_no_error(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    result = run("capture", "seviz/seresnet50-cifar10", make_folder({"apple": 2, "pear": 2}), "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "note: The classes of the data are not those of the network (apple, pear against" in result.stderr
    assert "accuracy was left out" in result.stderr
    assert "accuracy" not in result.stdout


def test_untrained_weights_are_said(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    data, out = make_folder({"cat": 2, "ship": 2}), tmp_path / "run"
    result = run("capture", "seviz/seresnet50-cifar10", data, "-o", out, "--weights", "none")
    assert "note: The weights of the SE blocks are untrained" in result.stderr
    run("figures", out, "-o", tmp_path / "f", "--only", "specificity", "--format", "svg")
    assert "untrained SE weights" in (tmp_path / "f" / "specificity.svg").read_text()


def test_wrong_use_is_one_message_and_exit_code_2(
    make_folder: Callable[..., Path], tmp_path: Path, tiny_run: Run
) -> None:
    bundled, out = "seviz/seresnet50-cifar10", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert "model 'timm/seresnet5O' not found" in error_of("blocks", "timm/seresnet5O")
    assert "no SE block in ResNet" in error_of("blocks", "timm/resnet18", "--weights", "none")
    assert "no SE block in ResNet" in error_of("capture", "timm/resnet18", "bundled", "-o", out, "--weights", "none")
    assert "does not exist" in error_of("capture", bundled, tmp_path / "nowhere", "-o", out)
    assert "has no class folders" in error_of("capture", bundled, tmp_path / "empty", "-o", out)
    assert "no class 'pug' in data 'bundled'" in error_of("capture", bundled, "bundled", "-o", out, "--classes", "pug")
    assert "signals has 'gate'" in error_of("capture", bundled, "bundled", "-o", out, "--signals", "gate")
    assert "weights 'x.pt' not found" in error_of("capture", bundled, "bundled", "-o", out, "--weights", "x.pt")
    assert "no run in" in error_of("figures", tmp_path / "nowhere", "-o", out)
    for option, value, message in (
        ("--classes", "pug", "no class 'pug' in the run"),
        ("--blocks", "SE_9_9", "no block 'SE_9_9'"),
        ("--width", "wide", "width is 'wide', expected page or column"),
        ("--channels", "few", "channels is 'few', expected a number, or all"),
        ("--format", "gif", "format is 'gif', expected some of png, pdf, svg"),
    ):
        assert message in error_of("figures", tiny_run.path, "-o", out, option, value)
    assert not out.exists()

    before = {path: path.read_bytes() for path in tiny_run.path.rglob("*") if path.is_file()}
    assert "holds another run (model: " in error_of("capture", bundled, "bundled", "-o", tiny_run.path)
    assert {path: path.read_bytes() for path in tiny_run.path.rglob("*") if path.is_file()} == before


def test_failed_work_is_exit_code_1(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    data = make_folder({"cat": 3})
    for number in (0, 1):
        (data / "cat" / f"00{number}.png").write_bytes(b"")
    command = ("capture", "seviz/seresnet50-cifar10", data, "-o", tmp_path / "run")
    result = run(*command)
    assert result.exit_code == 1
    assert "error: 2 of 3 images failed" in result.stderr
    assert run(*command, "--max-failures", "0.7").exit_code == 0


def test_interruption_tells_how_to_continue(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr("seviz.run.chunks.Chunk.write", interrupt)
    monkeypatch.setattr("sys.argv", ["seviz", "capture", "my data"])
    result = run("capture", "seviz/seresnet50-cifar10", make_folder({"cat": 3}), "-o", tmp_path / "run")
    assert result.exit_code == 130
    assert "interrupted; what is done is kept. To continue: seviz capture 'my data'" in result.stderr


def test_a_console_without_the_characters_prints_escapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As consoles of Windows are, in code page 1252: it has no omega, nor lone surrogates."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr("sys.argv", ["seviz", "specificity", str(tmp_path / "\u03c9 \udcff")])
    with pytest.raises(SystemExit, match="2"):
        main()
    out.write("\u03c9\u00b2")
    out.flush()
    err.flush()
    assert out.buffer.getvalue().strip() == b"\\u03c9\xb2"
    assert b"no run in" in err.buffer.getvalue()


def test_a_program_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as of pythonw
    monkeypatch.setattr("sys.argv", ["seviz", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
