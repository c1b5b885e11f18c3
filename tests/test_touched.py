import subprocess
import sys
from pathlib import Path

from tests.touched import MENTIONED, ROOT, SECONDS, Touched, distances, mentioned, mentions


def far(*changed: str) -> dict[str, int]:
    return {str(path): far for path, far in Touched.by([Path(name) for name in changed]).far.items()}


def test_the_distance_is_that_of_the_shortest_way() -> None:
    imported = {"a": {"b": 1, "d": 2}, "b": {"c": 1}, "c": {}, "d": {}, "e": {"a": 1}}
    assert distances(imported, {"c"}) == {"c": 0, "b": 1, "a": 2, "e": 3}
    assert distances(imported, {"c", "d"}) == {"c": 0, "d": 0, "b": 1, "a": 2, "e": 3}
    assert distances(imported, {"e"}) == {"e": 0}
    assert distances(imported, {"elsewhere"}) == {"elsewhere": 0}


def test_the_mirror_of_a_module_is_nearest_and_what_does_not_import_it_is_left_out() -> None:
    found = far("seviz/stats/variance.py")
    assert found["tests/stats/test_variance.py"] == 0
    assert found["tests/tables/test_specificity.py"] == 1  # imports it
    assert found["tests/tables/test_selectivity.py"] > 1  # imports what imports it
    assert found["tests/report/test_page.py"] > 1
    assert "tests/network/test_paper.py" not in found
    assert far("tests/run/test_lock.py") == {"tests/run/test_lock.py": 0}


def test_what_is_taken_from_the_package_itself_counts_as_imported() -> None:
    found = far("seviz/network/saving.py")
    assert "import seviz\n" in (ROOT / "tests/compression/test_directory.py").read_text()
    assert found["tests/network/test_saved.py"] <= 1


def test_scripts_and_data_are_found_by_their_names() -> None:
    assert mentioned([Path("analyses/benchmarks/turns.py")]) >= {"turns", "turns.py", "capture.py", "capture"}
    assert far("analyses/benchmarks/ways.py")["tests/test_analyses.py"] == MENTIONED
    assert mentions('run("reliability.py")', {"reliability.py"})
    assert not mentions("unreliability.pyc", {"reliability.py", "reliability"})
    assert far("docs/none" + "-such.png") == {}


def run(folder: Path, seconds_ago: float = 0) -> str:
    """A run of four tests in three files, of which one is near, one only names a script, and one is not touched."""
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(
        f"import sys, time; sys.path.append({str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from tests.touched import Touched\n"
        "def pytest_configure(config):\n"
        "    far = {Path('tests/test_a_script.py'): 1, Path('tests/test_near.py'): 0}\n"
        f"    plugin = Touched(far, {{'script.py'}}, Path({str(folder)!r}), time.monotonic() - {seconds_ago})\n"
        "    config.pluginmanager.register(plugin)\n"
    )
    (tests / "test_a_script.py").write_text("def test_it(): 'script.py'\ndef test_another(): pass\n")
    (tests / "test_near.py").write_text("def test_near(): pass\n")
    (tests / "test_untouched.py").write_text("raise RuntimeError\n")
    (tests / "further").mkdir()
    (tests / "further" / "conftest.py").touch()
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", str(tests)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_touched_runs_nearest_first(tmp_path: Path) -> None:
    printed = run(tmp_path)
    assert printed.index("test_near.py::test_near PASSED") < printed.index("test_a_script.py::test_it PASSED")
    assert "test_another" not in printed
    assert "2 passed, 1 deselected" in printed
    assert "the change touches 2 test files" in printed
    assert "did not fit" not in printed


def test_what_does_not_fit_into_the_time_is_counted(tmp_path: Path) -> None:
    printed = run(tmp_path, SECONDS)
    assert "PASSED" not in printed
    assert "2 tests, furthest from the change, did not fit into the time" in printed
