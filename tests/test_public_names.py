import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import seviz
from seviz.registry import TABLES

STUB = Path(seviz.__file__).with_suffix(".pyi")
SCRIPT = Path(__file__).parents[1] / "docs" / "typed_script.py"
HOMES = {
    alias.name: f"seviz.{node.module}"
    for node in ast.parse(STUB.read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
WORKFLOWS = {
    *("load", "wrap", "find_se_blocks", "survey", "check", "capture_gates", "force_gates", "collect", "open_run"),
    *("merge", "verify", "analyse", "report", "intervene", "attribute", "evaluate", "complexity", "importance"),
    *("inner_scores", "mask", "fold", "remove", "foldable", "prune", "recalibrate", "fine_tune", "fold_run"),
    *("prune_run", "curve_run", "results", "save", "insert_se"),
}
CLASSES = {"Compression", "Network", "Run", "SEBlock", "SevizError"}


def test_public_names_are_those_of_the_stub() -> None:
    assert set(seviz.__all__) == set(dir(seviz)) == set(HOMES)
    assert set(HOMES) == WORKFLOWS | CLASSES | set(TABLES) | {"__version__"}


@pytest.mark.parametrize("name", sorted(set(HOMES) - {"__version__"}))
def test_a_name_is_the_function_or_class_even_when_the_module_it_is_in_is_there(name: str) -> None:
    importlib.import_module(HOMES[name])
    value = getattr(seviz, name)
    assert inspect.isclass(value) if name in CLASSES else inspect.isfunction(value)
    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_report_stays_the_function_when_its_room_is_imported() -> None:
    code = "import seviz.report.page, seviz.tables.specificity, seviz; assert callable(seviz.report), seviz.report"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(seviz, "excite")


def test_importing_seviz_and_its_command_loads_nothing_heavy() -> None:
    code = "import sys, seviz, seviz.cli; print(*{'torch', 'timm', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_importing_seviz_takes_below_a_tenth_of_a_second() -> None:
    code = "import time; begun = time.process_time(); import seviz; print(time.process_time() - begun)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 0.1


def test_tables_and_figures_load_no_torch() -> None:
    code = "import sys, seviz, seviz.figures.excitation; seviz.open_run, seviz.specificity; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"pandas", "matplotlib", "seviz.run.store"} <= set(done.stdout.split())
    assert not {"torch", "timm", "torchvision"} & set(done.stdout.split())


def test_a_script_under_strict_mypy_sees_real_types(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT.read_text()}\nreveal_type(run)\nseviz.load(7)\nseviz.nothing\n")
    settings = Path(__file__).parents[1] / "pyproject.toml"
    options = ["--strict", "--config-file", str(settings), "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "mypy", *options, str(script)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert 'Revealed type is "seviz.run.store.Run"' in done.stdout, done.stdout
    assert 'incompatible type "int"; expected "str"' in done.stdout
    assert 'Module has no attribute "nothing"' in done.stdout
    assert "Found 2 errors in 1 file" in done.stdout
