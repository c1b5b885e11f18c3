"""Where results go is looked at before the work."""

import os
import stat
from pathlib import Path

import pytest

from seviz.errors import WriteError
from seviz.run.places import check_directory, check_file, check_room, size


def test_a_place_that_will_do_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    for place in (tmp_path, tmp_path / "there", tmp_path / "not" / "yet"):
        check_directory(place)
    for place in (tmp_path / "there" / "file", tmp_path / "new", tmp_path / "not" / "yet" / "new"):
        check_file(place)
    check_room(tmp_path / "not" / "yet", 10, "a run")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["there", "there/file"]
    assert (tmp_path / "there" / "file").read_text() == "old"


def test_relative_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_directory("out/deep")
    check_file("report.html")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(WriteError, match=r"^nothing can be written into '.*': '.*/file' is a file\. Give another"):
            check_directory(place)
    with pytest.raises(WriteError, match=r"file' is a file"):
        check_file(tmp_path / "file" / "report.html")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WriteError, match=r"link' is a file"):
        check_directory(tmp_path / "link")


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"cannot be written: it is a directory\. Give the name of a file\."):
        check_file(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc, in which nobody can write")
def test_a_directory_that_takes_no_file() -> None:
    with pytest.raises(WriteError, match=r"^nothing can be written into '/proc/out' \(.+\)\. Give another place, or"):
        check_directory("/proc/out")


def test_a_file_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.html"
    file.touch()
    file.chmod(stat.S_IRUSR)
    if os.access(file, os.W_OK):  # as for root
        monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(WriteError, match=r"report\.html' cannot be written: it is read-only\. Give another name"):
        check_file(file)


def test_no_room(tmp_path: Path) -> None:
    message = (
        r"^a run takes up to 1e\+06 TB, and .* has .*B free\. Nothing was written: give a place with more room, or"
    )
    with pytest.raises(WriteError, match=message):
        check_room(tmp_path / "not" / "there" / "yet", 10**18, "a run", ", or a smaller one")


def test_sizes() -> None:
    assert (size(999), size(1510), size(12_300_000_000_000)) == ("999 bytes", "1.51 kB", "12.3 TB")
