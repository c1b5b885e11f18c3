"""A person's own file: its neighbours can be imported, and whatever it raises is one error that says where."""

import hashlib
import sys
from pathlib import Path

import pytest
from torch import nn

from seviz.errors import FactoryError, OptionError, UnknownModelError
from seviz.network.factories import made_by

NETS = """
import dataclasses
import neighbour_of_nets

@dataclasses.dataclass
class Options:
    width: "int" = 4

def plain(width=4):
    import late_neighbour_of_nets
    return neighbour_of_nets.layer(late_neighbour_of_nets.factor * Options(width).width)

def needs(width):
    return plain(width)

def broken():
    raise ValueError("first line\\nlast line")

def leaves():
    raise SystemExit("no")

def deep():
    return neighbour_of_nets.layer("a")
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "neighbour_of_nets.py").write_text(
        "from torch import nn\n\ndef layer(n):\n    return nn.Linear(n, n)\n"
    )
    (tmp_path / "late_neighbour_of_nets.py").write_text("factor = 2\n")
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("neighbour_of_nets", "late_neighbour_of_nets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "nets.py"


def test_neighbours_are_imported_at_once_and_late(nets: Path) -> None:
    made = made_by(f"{nets}:plain", {})
    layer = made.module
    assert made.sha256 == hashlib.sha256(nets.read_bytes()).hexdigest()
    assert isinstance(layer, nn.Linear)
    assert layer.in_features == 8
    assert made_by(f"{nets}:needs", {"width": 3}).module.in_features == 6
    assert "nets" not in sys.modules
    assert sys.path[0] != str(nets.parent)
    assert sys.path[-1] == str(nets.parent)


def test_a_file_called_like_a_module_hides_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "torch.py").write_text("from torch import nn\n\ndef layer():\n    return nn.Linear(2, 2)\n")
    assert isinstance(made_by(f"{tmp_path}/torch.py:layer", {}).module, nn.Linear)
    assert Path(sys.modules["torch"].__file__ or "").parent != tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [("broken", "ValueError: last line"), ("leaves", "SystemExit: no"), ("deep", "TypeError: .*")],
)
def test_what_a_function_raises(nets: Path, name: str, message: str) -> None:
    line = NETS.splitlines().index(f"def {name}():") + 2
    where = rf"\(.*/nets\.py, line {line}\); mend the file, --traceback shows all"
    with pytest.raises(FactoryError, match=rf"nets\.py:{name}' raised {message} {where}"):
        made_by(f"{nets}:{name}", {})


def test_what_a_file_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for content, message in (
        ("import no_such_module_anywhere\n", r"ModuleNotFoundError: No module named 'no_such.*\(.*own.py, line 1\)"),
        ("\ndef make(:\n", r"raised SyntaxError: .*\(.*own.py, line 2\)"),
        ("1 / 0\n", "raised ZeroDivisionError: division by zero"),
    ):
        (tmp_path / "own.py").write_text(content)
        with pytest.raises(FactoryError, match=message):
            made_by(f"{tmp_path}/own.py:make", {})


def test_arguments_that_a_function_does_not_take(nets: Path) -> None:
    with pytest.raises(OptionError, match=r"in_chans is given, and plain of '.*' does not take it; it takes width"):
        made_by(f"{nets}:plain", {"in_chans": 1})
    with pytest.raises(
        OptionError, match=r"needs of '.*' cannot be called \(missing a required argument: 'width'\); give"
    ):
        made_by(f"{nets}:needs", {})
    with pytest.raises(UnknownModelError, match="there is no file"):
        made_by("none.py:plain", {})
