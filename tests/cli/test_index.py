"""Commands are listed without being imported, and imported when they are called."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from seviz.cli.index import PANELS, Commands
from seviz.registry import TABLES
from tests.cli.commands import error_of, run

HEAVY = {"torch", "pandas", "scipy", "numpy", "matplotlib", "timm", "sklearn", "xarray", "PIL", "pyarrow"}


def modules_of(*words: str) -> set[str]:
    """What a command has imported when it ends, in a process of its own."""
    code = f"""
import atexit, sys
atexit.register(lambda: print("\\nmodules:", *sys.modules))
sys.argv = {["seviz", *words]!r}
from seviz.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules:")[2].split())


def test_the_help_loads_nothing_heavy() -> None:
    loaded = modules_of("--help")
    assert "seviz.cli.index" in loaded
    assert not HEAVY & loaded
    assert not [name for name in loaded if name.startswith(("seviz.cli.commands.", "seviz.tables."))]


def test_a_command_loads_itself_and_no_other() -> None:
    loaded = modules_of("zoo", "resnet18")
    assert {name for name in loaded if name.startswith("seviz.cli.commands.")} == {"seviz.cli.commands.zoo"}
    assert "torch" not in loaded


def test_every_file_is_a_command_in_its_place() -> None:
    folder = Path(sys.modules["seviz.cli.index"].__file__ or "").with_name("commands")
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {name for names in PANELS.values() for name in names}


@pytest.mark.parametrize("name", Commands())
def test_every_command_says_in_a_list_what_it_says_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    entry, command = commands.entries[name], commands[name]
    assert entry.summary
    assert entry.summary.endswith(".")
    assert command.name == name
    assert "numpydoc" not in (command.help or "")
    if name.replace("-", "_") not in TABLES:
        assert (command.help or "").startswith(entry.summary)
    monkeypatch.setenv("COLUMNS", "200")
    for word in ("-h", "--help"):
        told = run(name, word)
        assert (told.exit_code, "Usage:" in told.stdout, told.stderr) == (0, True, "")


def test_panels_stand_in_their_order() -> None:
    shown = run("--help").stdout
    titles = re.findall(r"─ ([A-Z][\w ]+) ─", shown)
    assert titles == ["Options", "Commands", "Smaller networks", "Tables of a run"]
    names = re.findall(r"^│ ([a-z]\S*) ", shown, re.M)
    assert names == list(Commands())
    assert names[:2] == ["demo", "dashboard"]


def test_a_misspelt_command_is_answered_with_one_that_is_meant() -> None:
    result = run("specifcity")
    assert result.exit_code == 2
    assert "No such command 'specifcity'. Did you mean 'specificity'" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("components", "RUN", "SE_5_1"), "components is gone from the command line; give `seviz principal-components"),
        (("redundancy", "RUN", "SE_5_1"), "SE_5_1 is gone from the command line; give `seviz redundant-channels RUN"),
        (("convergence", "RUN", "--by-size"), "--by-size is gone from the command line; give --by size"),
        (
            ("specificity", "RUN", "--from-moments"),
            "--from-moments is gone from the command line; give --no-over-images",
        ),
    ],
)
def test_former_spellings_are_answered_with_the_new(words: tuple[str, ...], message: str) -> None:
    assert message in error_of(*words)


def test_with_traceback_an_error_shows_what_led_to_it(tmp_path: Path) -> None:
    result = run("--traceback", "verify", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: no run in")
    assert "verify" not in run("verify", tmp_path / "nowhere").stdout
