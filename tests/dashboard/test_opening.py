"""Which runs are opened, and what they are called."""

import os
from pathlib import Path

import pytest

from seviz.dashboard.opening import find_runs, given
from seviz.errors import RunNotFoundError


def made(path: Path) -> Path:
    """What makes a directory a run, as far as finding goes."""
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    return path


def test_runs_and_folders_of_runs(tmp_path: Path) -> None:
    made(tmp_path / "many" / "b")
    made(tmp_path / "many" / "a")
    made(tmp_path / "many" / ".hidden")
    (tmp_path / "many" / "other").mkdir()
    single = made(tmp_path / "single")
    found = find_runs([single, tmp_path / "many"])
    assert list(found) == ["single", "a", "b"]
    assert found["a"] == tmp_path / "many" / "a"


def test_runs_of_one_name_are_told_apart_by_the_folders_above(tmp_path: Path) -> None:
    for place in ("x/run", "y/run", "y/only"):
        made(tmp_path / place)
    assert list(find_runs([tmp_path / "x", tmp_path / "y"])) == ["x/run", "only", "y/run"]


def test_a_run_given_twice_is_one(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    assert list(find_runs([run, tmp_path, run / ".." / "run"])) == ["run"]


def test_a_link_out_of_a_folder_is_left_out(tmp_path: Path) -> None:
    outside = made(tmp_path / "outside")
    made(tmp_path / "folder" / "inside")
    os.symlink(outside, tmp_path / "folder" / "link")
    assert list(find_runs([tmp_path / "folder"])) == ["inside"]


@pytest.mark.parametrize("place", ["nowhere", "empty", "file"])
def test_a_place_without_a_run_is_an_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunNotFoundError, match=rf"no run in .*{place}.*: expected a directory that `seviz capture`"):
        find_runs([tmp_path / place])


def test_the_command_line_comes_before_the_environment() -> None:
    environment = {"SEVIZ_RUNS": os.pathsep.join(["a", "b"])}
    assert given(["c"], environment) == (Path("c"),)
    assert given([], environment) == (Path("a"), Path("b"))
    assert given([], {}) == ()
