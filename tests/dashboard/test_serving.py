"""The settings that the dashboard is served with, in a checkout and as it is installed."""

import sys
import tomllib
from pathlib import Path

from streamlit import config

from seviz.dashboard.serving import SCRIPT, command

ROOT = Path(__file__).parents[2]
INSTALLED = SCRIPT.parent / ".streamlit" / "config.toml"


def test_the_settings_are_safe() -> None:
    settings = tomllib.loads(INSTALLED.read_text())
    server = settings["server"]
    assert server["address"] == "127.0.0.1"
    assert server["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert server["enableCORS"]
    assert server["enableXsrfProtection"]
    assert not server["enableStaticServing"]
    assert server["maxUploadSize"] == 20
    assert not settings["browser"]["gatherUsageStats"]
    assert settings["client"]["showErrorDetails"] == "none"


def test_every_setting_is_one_that_streamlit_knows() -> None:
    def keys(table: dict[str, object], above: str = "") -> list[str]:
        return [
            key
            for name, value in table.items()
            for key in (keys(value, f"{above}{name}.") if isinstance(value, dict) else [above + name])
        ]

    known = config.get_config_options()
    assert [key for key in keys(tomllib.loads(INSTALLED.read_text())) if key not in known] == []


def test_a_checkout_has_the_same_settings() -> None:
    assert (ROOT / ".streamlit" / "config.toml").read_bytes() == INSTALLED.read_bytes()


def test_app_py_does_what_the_installed_script_does() -> None:
    code = [path.read_text().split('"""')[2] for path in (ROOT / "app.py", SCRIPT)]
    assert code[0] == code[1]


def test_the_command() -> None:
    given = command([Path("a"), Path("b")], host="0.0.0.0", port=80, allowed=["gpu.example.com"])
    assert given[:6] == [sys.executable, "-P", "-m", "streamlit", "run", str(SCRIPT)]
    assert given[-3:] == ["--", "a", "b"]
    assert {"--server.address=0.0.0.0", "--server.port=80", "--server.allowedHosts=gpu.example.com"} < set(given)
    assert "--server.allowedHosts=localhost" in given
    assert not any("allowedHosts" in each for each in command([], host="127.0.0.1", port=8501))


def test_the_settings_are_installed_with_the_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert data["seviz.dashboard.served"] == [".streamlit/config.toml"]


def test_streamlit_finds_no_pages_of_its_own_beside_the_scripts() -> None:
    """Else an address of a page runs the file of that name, before the script has said which pages there are."""
    assert not (SCRIPT.parent / "pages").exists()
    assert not (ROOT / "pages").exists()
