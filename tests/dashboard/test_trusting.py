"""The dashboard executes nothing that a run names, unless it was started with the word for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import seviz
from seviz.dashboard.opening import given, trusts
from seviz.dashboard.serving import command
from seviz.dashboard.trusting import acts, untrusted
from seviz.errors import SavedNetworkError
from seviz.run.manifest import checksum_of
from seviz.run.store import Run, open_run
from tests.dashboard.drawing import Open
from tests.network.evil import Evil


@pytest.fixture
def evil_run(evil: Evil, make_folder: Callable[..., Path], tmp_path: Path) -> Run:
    """Of a network that a Python file makes."""
    folder = make_folder({"a": 2, "b": 2})
    with pytest.warns(UserWarning, match="near chance|untrained"):
        return seviz.collect(evil.network(), folder, tmp_path / "kept", workers=0, compile="off")


def of(run: Run, place: Path, spec: str) -> Run:
    """A copy of a run that names another network."""
    shutil.copytree(run.path, place)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["model"]["spec"] = spec
    del manifest["checksum"]
    (place / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum_of(manifest)}))
    return open_run(place)


def said(test: object) -> str:
    texts = [*test.info, *test.warning, *test.error]  # type: ignore[attr-defined]
    return "\n".join(text.value for text in texts).replace("\\", "")


def test_what_is_untrusted(evil: Evil, evil_run: Run, tmp_path: Path) -> None:
    reason = untrusted(evil_run, trust_code=False)
    assert f"executes the Python file '{evil.file}' on the machine of this server" in reason
    assert reason.endswith(f"seviz dashboard --trust-code {evil_run.path}")
    assert untrusted(evil_run, trust_code=True) == ""
    assert acts(evil_run)
    hub = of(evil_run, tmp_path / "hub", "hf-hub:some/one")
    assert "fetches a network of someone's from the Hugging Face hub" in untrusted(hub, trust_code=False)
    plain = of(evil_run, tmp_path / "plain", "timm/seresnet50")
    assert untrusted(plain, trust_code=False) == ""
    assert not acts(plain)
    nested = of(evil_run, tmp_path / "nested", evil.saved(tmp_path / "saved"))
    assert f"executes the Python file '{evil.file}'" in untrusted(nested, trust_code=False)
    (tmp_path / "saved" / "network.json").write_text("{")
    with pytest.raises(SavedNetworkError, match="is damaged"):
        untrusted(nested, trust_code=False)
    assert not evil.ran


@pytest.mark.parametrize("page", ["image", "compression"])
def test_a_page_says_what_would_be_executed_and_how(page: str, open_page: Open, evil: Evil, evil_run: Run) -> None:
    test = open_page(page, evil_run)
    assert f"executes the Python file '{evil.file}'" in said(test)
    assert f"seviz dashboard --trust-code {evil_run.path}" in said(test)
    assert not any(button.label in ("Start", "Execute it", "Load it") for button in test.button)
    assert not evil.ran


def test_jobs_get_the_word_only_where_the_dashboard_got_it(
    open_page: Open, evil: Evil, evil_run: Run, bundled_run: Run
) -> None:
    trusted = open_page("compression", evil_run, trust_code=True)
    assert trusted.code[0].value.startswith("seviz curve ")
    assert trusted.code[0].value.endswith(" --trust-code")
    for trust_code in (False, True):  # where nothing takes it
        assert "--trust-code" not in open_page("compression", bundled_run, trust_code=trust_code).code[0].value
    assert not evil.ran


def test_a_saved_network_that_cannot_be_read_is_said(
    open_page: Open, evil: Evil, evil_run: Run, tmp_path: Path
) -> None:
    nested = of(evil_run, tmp_path / "nested", evil.saved(tmp_path / "saved"))
    (tmp_path / "saved" / "network.json").write_text("[" * 100_000)
    for page in ("image", "compression"):
        assert "network.json' is damaged" in said(open_page(page, nested))


def test_the_word_is_given_on_the_command_line_only() -> None:
    assert trusts(["--trust-code", "a"])
    assert not trusts(["a"])
    assert given(["--trust-code", "a"], {}) == (Path("a"),)
    assert given(["--trust-code"], {"SEVIZ_RUNS": "b"}) == (Path("b"),)
    assert given([], {"SEVIZ_RUNS": "--trust-code"}) == (Path("--trust-code"),)
    assert command([Path("a")], host="127.0.0.1", port=1, trust_code=True)[-3:] == ["--", "--trust-code", "a"]
    assert "--trust-code" not in command([Path("a")], host="127.0.0.1", port=1)
