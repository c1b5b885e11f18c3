"""What a person says of a network beside its spec, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

import seviz
from tests.cli.commands import error_of, run

SMALL = "timm/mobilenetv3_small_050"


def test_settings_reach_the_network_and_the_manifest(tmp_path: Path) -> None:
    network = seviz.load(SMALL, weights="none", num_classes=2)
    safetensors.torch.save_file(network.model.state_dict(), tmp_path / "own.safetensors")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(np.full((40, 40, 3), 40 * k, np.uint8)).save(tmp_path / "data" / name / f"{k}.png")
    options = ["--mean", "0.1,0.2,0.3", "--std", "1,1,1", "--img-size", "32", "--class-names", f"{tmp_path}/names.txt"]
    weights = ["--weights", f"{tmp_path}/own.safetensors"]
    result = run("capture", SMALL, f"{tmp_path}/data", "-o", f"{tmp_path}/run", *weights, *options)
    assert result.exit_code == 0, result.stderr
    assert f"assumed: classes: 2, as the weights in {tmp_path}/own.safetensors have (num_classes)" in result.stderr
    assert "accuracy: top-1" in result.stdout
    model = seviz.open_run(tmp_path / "run").manifest.model
    assert model.settings == {
        "num_classes": 2,
        "img_size": [32, 32],
        "mean": [0.1, 0.2, 0.3],
        "std": [1.0, 1.0, 1.0],
        "class_names": ["cat", "dog"],
    }
    assert model.class_names == ("cat", "dog")


def test_blocks_of_a_network_with_further_arguments() -> None:
    result = run(
        "blocks", SMALL, "--in-chans", "1", "--mean", "0.5", "--std", "0.5", "--model-kwargs", "drop_rate=0.1", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--img-size", "big"], "img-size is 'big', expected pixels such as 224, or HEIGHTxWIDTH"),
        (["--mean", "a,b"], "mean is 'a,b', expected a number for each channel, such as 0.5,0.5,0.5"),
        (["--model-kwargs", "bells"], "model-kwargs has 'bells', expected NAME=VALUE"),
        (["--model-kwargs", "bells=1"], f"bells is given, and {SMALL} does not take it"),
    ],
)
def test_settings_that_are_none(options: list[str], message: str) -> None:
    result = run("blocks", SMALL, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_factory_that_fails_is_one_line_and_all_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def make():\n    raise ValueError('no width')\n")
    result = run("blocks", f"{tmp_path}/own.py:make")
    assert result.exit_code == 2
    assert result.stderr.strip().splitlines() == [
        f"error: model '{tmp_path}/own.py:make' raised ValueError: no width ({tmp_path}/own.py, line 2); mend the file,"
        " --traceback shows all"
    ]
    result = run("--traceback", "blocks", f"{tmp_path}/own.py:make")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert "raise ValueError('no width')" in result.stderr


def test_help_says_what_a_factory_is() -> None:
    told = " ".join(run("capture", "--help").stdout.split())
    assert "FILE.py:FACTORY is a function that returns a torch.nn.Module." in told


def test_data_that_is_not_there_is_told_before_weights_are_fetched(tmp_path: Path) -> None:
    told = error_of("capture", "timm/seresnet50", tmp_path / "none", "-o", tmp_path / "run")
    assert "none' does not exist" in told
    assert not (tmp_path / "run").exists()
