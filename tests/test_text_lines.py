"""A trained network that others made, out of an ONNX file: the whole way from the spec to the report."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import text_lines
from PIL import Image

import seviz
from tests.cli.commands import run as run_command

IMAGES = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text-lines")


@pytest.fixture(scope="module")
def capture(place: Path) -> list[str]:
    """The words of the command that the script prints, after drawing few lines."""
    with pytest.MonkeyPatch.context() as patched:
        printed: list[str] = []
        patched.setattr("sys.argv", ["text_lines.py", "--images", str(IMAGES), "--out", str(place)])
        patched.setattr("builtins.print", printed.append)
        text_lines.main()
    assert printed[0] == f"{2 * IMAGES} lines in {place / 'lines'}. Their gates are recorded by"
    return shlex.split(printed[1])[1:]


def test_lines_are_drawn_the_same_again(capture: list[str], place: Path, tmp_path: Path) -> None:
    text_lines.draw(tmp_path, IMAGES, seed=0)
    files = sorted((place / "lines").rglob("*.png"))
    assert [str(file.relative_to(place / "lines")) for file in files] == [
        str(Path(name, f"{number:05d}.png")) for name in ("0", "180") for number in range(IMAGES)
    ]
    pixels = [np.asarray(Image.open(file)) for file in files]
    for file, image in zip(files, pixels, strict=True):
        assert image.shape == (text_lines.HEIGHT, text_lines.WIDTH, 3)
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / file.relative_to(place / "lines"))))
    assert len({image.tobytes() for image in pixels}) == 2 * IMAGES


def test_the_whole_way(capture: list[str], place: Path) -> None:
    spec, options = capture[1], capture[capture.index("--img-size") :]
    checked = run_command("check", spec, *options)
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.count("yes   yes  yes      yes") == 9  # kept, set, formula, folds
    blocks = run_command("blocks", spec, *options, "--json")
    assert [block["channels"] for block in json.loads(blocks.stdout)] == [8, 32, 88, 88, 40, 48, 104, 200, 200]

    captured = run_command(*capture, "--workers", 0, "--compile", "off")
    assert captured.exit_code == 0, captured.output
    assert "assumed: outputs: logits, as they are before the last Softmax of the graph" in captured.stderr
    run = seviz.open_run(place / "run")
    assert run.classes.names == ("0", "180")
    assert run.accuracy is not None
    assert run.accuracy.top1 > 0.9
    share = seviz.specificity(run).set_index("block")["omega_squared"]
    assert share["SE_3_3"] > 0.3 > 0.05 > share["SE_2_1"]

    figures = run_command("figures", place / "run", "-o", place / "figures", "--only", "excitation,specificity")
    assert figures.exit_code == 0, figures.output
    assert (place / "figures" / "excitation.png").stat().st_size > 10_000
    report = run_command("report", place / "run", "-o", place / "report.html")
    assert report.exit_code == 0, report.output
    assert "ch_ppocr_mobile_v2.0_cls_infer.onnx" in (place / "report.html").read_text(encoding="utf-8")
